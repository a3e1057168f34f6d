/* Makes the checksums of damaged files right again. */
#include "seal.h"

#include <string.h>

#include "crc32.h"
#include "records.h"

static void store_u32(uint8_t *bytes, uint32_t number) { memcpy(bytes, &number, sizeof number); }

static int inside(size_t size, uint64_t offset, uint64_t length) { return offset <= size && length <= size - offset; }

static size_t section_count(const uint8_t *data, size_t size)
{
    if (size < ES_HEADER_BYTES) return 0;
    size_t count = es_load_u32(data + 24), fit = (size - ES_HEADER_BYTES) / ES_DIRECTORY_ENTRY_BYTES;
    size_t most = fit < 64 ? fit : 64;
    return count < most ? count : most;
}

/* Calls visit for every section and blob record that names a part inside the file. */
static void visit_parts(uint8_t *data, size_t size, void (*visit)(void *context, uint8_t *crc, part place),
                        void *context, int blobs)
{
    for (size_t number = 0; number < section_count(data, size); number++) {
        uint8_t *entry = data + ES_HEADER_BYTES + number * ES_DIRECTORY_ENTRY_BYTES;
        uint64_t offset = es_load_u64(entry + ES_AT_DIRECTORY_OFFSET);
        uint64_t length = es_load_u64(entry + ES_AT_DIRECTORY_LENGTH);
        if (!inside(size, offset, length)) continue;
        if (!blobs) visit(context, entry + ES_AT_DIRECTORY_CRC, (part){(size_t)offset, (size_t)length});
        if (!blobs || es_load_u32(entry) != ES_SECTION_BLOBS) continue;
        for (size_t at = 0; at + 24 <= length; at += 24) {
            uint8_t *record = data + offset + at;
            uint64_t first = es_load_u64(record + ES_AT_BLOB_OFFSET), bytes = es_load_u64(record + ES_AT_BLOB_LENGTH);
            part place = {(size_t)first, (size_t)bytes};
            if (inside(size, first, bytes)) visit(context, record + ES_AT_BLOB_CRC, place);
        }
    }
}

typedef struct part_list { part *parts; size_t count; } part_list;

static void add_part(void *context, uint8_t *crc, part place)
{
    part_list *list = context;
    (void)crc;
    if (place.length && list->count < MOST_PARTS) list->parts[list->count++] = place;
}

size_t find_parts(const uint8_t *data, size_t size, part *parts)
{
    part_list list = {parts, 0};
    visit_parts((uint8_t *)data, size, add_part, &list, 0);
    visit_parts((uint8_t *)data, size, add_part, &list, 1);
    return list.count;
}

static void repair(void *context, uint8_t *crc, part place)
{
    store_u32(crc, es_crc32_tables(0, (const uint8_t *)context + place.offset, place.length));
}

void seal(uint8_t *data, size_t size)
{
    if (size < ES_HEADER_BYTES) return;
    uint64_t length = size;
    memcpy(data + 16, &length, sizeof length);
    /* Blobs first: their records lie in a section, whose checksum lies in the directory. */
    visit_parts(data, size, repair, data, 1);
    visit_parts(data, size, repair, data, 0);
    size_t directory = section_count(data, size) * ES_DIRECTORY_ENTRY_BYTES;
    store_u32(data + 28, es_crc32_tables(0, data + ES_HEADER_BYTES, directory));
    store_u32(data + 60, es_crc32_tables(0, data, 60));
}
