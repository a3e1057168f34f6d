/* The shell of a file: header, directory, sections and blobs, every byte checksummed or known to be zero. */
#include <inttypes.h>
#include <stdatomic.h>

#include "footprint.h"
#include "reader.h"

enum { NEEDED = 1, LARGEST_SECTION_COUNT = 64 };

typedef struct section_rule {
    const char *name;
    uint32_t record_bytes, limit, flags;
    bool mandatory;
} section_rule;

static const section_rule rules[ES_SECTION_TYPES] = {
    {"", 0, 0, 0, false},
    {"STRINGS", 1, 16 << 20, NEEDED, false},
    {"MODEL", 32, 1, NEEDED, true},
    {"TENSORS", 168, 1 << 20, NEEDED, true},
    {"BANDS", 16, 1 << 20, NEEDED, false},
    {"MATRICES", 48, 1 << 20, NEEDED, false},
    {"STEPS", 128, 1 << 13, NEEDED, true}, /* every step may have to be compared with all before it */
    {"PLANS", 64, 64, NEEDED, true},
    {"PORTS", 4, 1 << 20, NEEDED, true},
    {"BLOBS", 24, 1 << 20, NEEDED, false},
    {"LABELS", 8, 1 << 20, 0, false},
    {"IMAGE", 64, 1, 0, false},
    {"TOKENIZER", 64, 1, 0, false},
    {"METADATA", 1, 1 << 20, 0, false},
};

static bool all_zero(const uint8_t *data, uint64_t length)
{
    uint8_t any = 0;
    for (uint64_t index = 0; index < length; index++) any |= data[index];
    return !any;
}

static uint64_t next_part(uint64_t end)
{
    return (end + ES_PART_ALIGNMENT - 1) / ES_PART_ALIGNMENT * ES_PART_ALIGNMENT;
}

/* What a file is that is none of ours. */
static const char *guess(const uint8_t *data, uint64_t length)
{
    if (length >= 4 && !memcmp(data, "\x89" "EGS", 4)) return "it was transferred as text";
    if (length >= 2 && !memcmp(data, "PK", 2)) return "it looks like a zip archive, perhaps a torch file";
    if (length >= 2 && !memcmp(data, "\x1f\x8b", 2)) return "it looks like gzip data";
    if (length >= 8 && !memcmp(data + 4, "TFL3", 4)) return "it looks like a LiteRT model";
    if (length >= 1 && data[0] == '<') return "it looks like a web page";
    return "its first bytes are others";
}

static bool read_header(es_reader *reader, const uint8_t *header)
{
    static const uint8_t magic[8] = {0x89, 'E', 'G', 'S', 0x0D, 0x0A, 0x1A, 0x0A};
    uint64_t length = reader->length;
    if (memcmp(header, magic, length < 8 ? (size_t)length : 8))
        return es_refuse(reader, ES_FILE_MAGIC, "this is not an .egs file: %s", guess(header, length));
    if (length < ES_HEADER_BYTES)
        return es_refuse(reader, ES_FILE_TRUNCATED, "file is %" PRIu64 " bytes, a header has 64", length);
    if (es_load_u16(header + 8) != 1)
        return es_refuse(reader, ES_FILE_VERSION, "format version %u.%u, this release reads 1.x",
                         (unsigned)es_load_u16(header + 8), (unsigned)es_load_u16(header + 10));
    if (reader->crc32(0, header, 60) != es_load_u32(header + 60))
        return es_refuse(reader, ES_HEADER_CRC, "the header is damaged: its checksum differs");
    reader->file_length = es_load_u64(header + 16);
    if (reader->file_length > length && !reader->detached)
        return es_refuse(reader, ES_FILE_TRUNCATED,
                         "file is %" PRIu64 " bytes, header promises %" PRIu64 ": the download is incomplete", length,
                         reader->file_length);
    if (reader->file_length < length)
        return es_refuse(reader, ES_FILE_TRAILING, "file is %" PRIu64 " bytes, header promises %" PRIu64, length,
                         reader->file_length);
    if (es_load_u32(header + 12) || !all_zero(header + 32, 28))
        return es_refuse(reader, ES_HEADER_RESERVED, "a reserved field of the header is set");
    return true;
}

/* A part begins at the first multiple of 64 after the end of the one before it, behind zeros; *end moves to its end. */
static bool place_part(es_reader *reader, uint64_t offset, uint64_t length, es_status status, const char *name,
                       uint32_t number, uint64_t *end)
{
    uint64_t expected = next_part(*end);
    if (offset != expected || offset > reader->length || !length || length > reader->length - offset)
        return es_refuse(reader, status,
                         "%s %u lies at byte %" PRIu64 " with %" PRIu64 " bytes, not at %" PRIu64 " inside %" PRIu64
                         " bytes", name, (unsigned)number, offset, length, expected, reader->length);
    if (!all_zero(reader->data + *end, offset - *end))
        return es_refuse(reader, ES_PADDING_NOT_ZERO, "the padding before %s %u is not zero", name, (unsigned)number);
    *end = offset + length;
    return true;
}

static bool read_section(es_reader *reader, const uint8_t *entry, uint32_t *previous)
{
    uint32_t type = es_load_u32(entry + ES_AT_DIRECTORY_TYPE), flags = es_load_u32(entry + ES_AT_DIRECTORY_FLAGS);
    uint64_t offset = es_load_u64(entry + ES_AT_DIRECTORY_OFFSET), length = es_load_u64(entry + ES_AT_DIRECTORY_LENGTH);
    bool known = type && type < ES_SECTION_TYPES;
    if (type <= *previous)
        return es_refuse(reader, ES_SECTION_ORDER, "section %u is repeated or out of order", (unsigned)type);
    *previous = type;
    if ((flags & ~(uint32_t)NEEDED) || es_load_u32(entry + ES_AT_DIRECTORY_RESERVED) ||
        (known && flags != rules[type].flags))
        return es_refuse(reader, ES_SECTION_FLAGS, "section %u has flags %#x", (unsigned)type, (unsigned)flags);
    if (flags && !known)
        return es_refuse(reader, ES_SECTION_UNKNOWN, "the file needs section %u, which this release does not know",
                         (unsigned)type);
    if (!place_part(reader, offset, length, ES_SECTION_OFFSET, "section", type, &reader->sections_end)) return false;
    if (known && (length % rules[type].record_bytes || length / rules[type].record_bytes > rules[type].limit))
        return es_refuse(reader, ES_SECTION_SIZE, "section %s has %" PRIu64 " bytes in records of %u, at most %u",
                         rules[type].name, length, (unsigned)rules[type].record_bytes, (unsigned)rules[type].limit);
    if (reader->crc32(0, reader->data + offset, (size_t)length) != es_load_u32(entry + ES_AT_DIRECTORY_CRC))
        return es_refuse(reader, ES_SECTION_CRC, "section %u is damaged: its checksum differs", (unsigned)type);
    if (known)
        reader->sections[type] =
            (es_section){reader->data + offset, length, (uint32_t)(length / rules[type].record_bytes)};
    return true;
}

static void copy_header(const es_reader *reader, uint8_t header[ES_HEADER_BYTES])
{
    memset(header, 0, ES_HEADER_BYTES);
    memcpy(header, reader->data, reader->length < ES_HEADER_BYTES ? (size_t)reader->length : ES_HEADER_BYTES);
    atomic_signal_fence(memory_order_seq_cst);
}

bool es_read_header(es_reader *reader)
{
    uint8_t header[ES_HEADER_BYTES];
    copy_header(reader, header);
    return read_header(reader, header);
}

bool es_read_sections(es_reader *reader)
{
    uint8_t header[ES_HEADER_BYTES];
    copy_header(reader, header);
    if (!read_header(reader, header)) return false;
    uint32_t count = es_load_u32(header + 24);
    if (!count || count > LARGEST_SECTION_COUNT)
        return es_refuse(reader, ES_SECTION_COUNT, "%u sections are not 1 to 64", (unsigned)count);
    size_t bytes = (size_t)count * ES_DIRECTORY_ENTRY_BYTES;
    if (ES_HEADER_BYTES + bytes > reader->length)
        return es_refuse(reader, ES_SECTION_COUNT, "a directory of %u sections does not fit the file", (unsigned)count);
    uint8_t directory[LARGEST_SECTION_COUNT * ES_DIRECTORY_ENTRY_BYTES];
    memcpy(directory, reader->data + ES_HEADER_BYTES, bytes);
    atomic_signal_fence(memory_order_seq_cst);
    if (reader->crc32(0, directory, bytes) != es_load_u32(header + 28))
        return es_refuse(reader, ES_DIRECTORY_CRC, "the directory is damaged: its checksum differs");
    uint32_t previous = 0;
    reader->sections_end = ES_HEADER_BYTES + bytes;
    for (uint32_t number = 0; number < count; number++)
        if (!read_section(reader, directory + number * ES_DIRECTORY_ENTRY_BYTES, &previous)) return false;
    for (uint32_t type = 0; type < ES_SECTION_TYPES; type++)
        if (rules[type].mandatory && !reader->sections[type].count)
            return es_refuse(reader, ES_SECTION_MISSING, "there is no section %s", rules[type].name);
    return true;
}

static bool read_blob(es_reader *reader, uint32_t number, uint64_t *end)
{
    uint8_t record[ES_LARGEST_RECORD];
    es_load_record(reader, ES_SECTION_BLOBS, number, record);
    uint64_t offset = es_load_u64(record + ES_AT_BLOB_OFFSET), length = es_load_u64(record + ES_AT_BLOB_LENGTH);
    if (es_load_u32(record + ES_AT_BLOB_RESERVED))
        return es_refuse(reader, ES_RESERVED_NOT_ZERO, "the reserved field of blob %u is set", (unsigned)number);
    if (reader->detached) {
        if (!length || length > SIZE_MAX || !reader->detached[number])
            return es_refuse(reader, ES_BLOB_OFFSET, "blob %u has no bytes", (unsigned)number);
        reader->blobs[number].bytes = (es_bytes){reader->detached[number], length};
        reader->file_length = es_huge_sum(reader->file_length, length);
        return true;
    }
    if (!place_part(reader, offset, length, ES_BLOB_OFFSET, "blob", number, end)) return false;
    if (reader->crc32(0, reader->data + offset, (size_t)length) != es_load_u32(record + ES_AT_BLOB_CRC))
        return es_refuse(reader, ES_BLOB_CRC, "blob %u is damaged: its checksum differs", (unsigned)number);
    reader->blobs[number].bytes = (es_bytes){reader->data + offset, length};
    return true;
}

bool es_read_blobs(es_reader *reader)
{
    uint64_t end = reader->sections_end;
    if (reader->detached && reader->detached_count != reader->blob_count)
        return es_refuse(reader, ES_ARGUMENT_RANGE, "%u blobs are needed", (unsigned)reader->blob_count);
    if (reader->detached) reader->file_length = reader->length;
    for (uint32_t number = 0; number < reader->blob_count; number++)
        if (!read_blob(reader, number, &end)) return false;
    if (end != reader->length && !reader->detached)
        return es_refuse(reader, ES_FILE_TRAILING, "%" PRIu64 " bytes follow the last blob", reader->length - end);
    return true;
}

bool es_check_reserved(es_reader *reader, es_section_type type, uint32_t offset, uint32_t length)
{
    const es_section *section = &reader->sections[type];
    for (uint32_t number = 0; number < section->count; number++)
        if (!all_zero(section->data + (size_t)number * rules[type].record_bytes + offset, length))
            return es_refuse(reader, ES_RESERVED_NOT_ZERO, "a reserved field of section %s is set", rules[type].name);
    return true;
}

void es_load_record(const es_reader *reader, es_section_type type, uint32_t number, uint8_t *record)
{
    memcpy(record, reader->sections[type].data + (size_t)number * rules[type].record_bytes, rules[type].record_bytes);
    /* Or a compiler may read the map a second time instead of the copy. */
    atomic_signal_fence(memory_order_seq_cst);
}

bool es_find_blob(es_reader *reader, uint32_t blob, const char *owner, uint32_t number, es_bytes *bytes)
{
    static const uint8_t nothing[16];
    *bytes = (es_bytes){nothing, 0};
    if (blob == ES_NO_BLOB) return true;
    if (blob >= reader->blob_count)
        return es_refuse(reader, ES_BLOB_NUMBER, "%s %u names blob %u of %u", owner, (unsigned)number, (unsigned)blob,
                         (unsigned)reader->blob_count);
    reader->blobs[blob].used = true;
    *bytes = reader->blobs[blob].bytes;
    return true;
}

bool es_check_blobs_used(es_reader *reader)
{
    for (uint32_t blob = 0; blob < reader->blob_count; blob++)
        if (!reader->blobs[blob].used)
            return es_refuse(reader, ES_BLOB_UNUSED, "no record names blob %u", (unsigned)blob);
    return true;
}
