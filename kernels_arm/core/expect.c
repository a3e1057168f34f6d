/* What a file will need, told from its beginning: for downloads that are to be refused before they are complete. */
#include "footprint.h"
#include "reader.h"

enum { LARGEST_SECTION_COUNT = 64, AT_SECTION_COUNT = 24 };

/* One past the last byte of the sections; the directory is checked later, so its numbers may be anything. */
static uint64_t sections_end(const uint8_t *head, uint32_t count)
{
    uint64_t end = ES_HEADER_BYTES + (uint64_t)count * ES_DIRECTORY_ENTRY_BYTES;
    for (uint32_t number = 0; number < count; number++) {
        const uint8_t *entry = head + ES_HEADER_BYTES + number * ES_DIRECTORY_ENTRY_BYTES;
        uint64_t offset = es_load_u64(entry + ES_AT_DIRECTORY_OFFSET), size = es_load_u64(entry + ES_AT_DIRECTORY_LENGTH);
        uint64_t last = es_huge_sum(offset, size);
        if (last > end) end = last;
    }
    return end;
}

/* Arena and state of the plan with the largest arena. */
static bool read_session_bytes(es_reader *reader, uint64_t *bytes)
{
    uint8_t record[ES_LARGEST_RECORD];
    uint64_t state, most = 0;
    if (!es_read_state_bytes(reader, &state)) return false;
    for (uint32_t plan = 0; plan < reader->sections[ES_SECTION_PLANS].count; plan++) {
        es_load_record(reader, ES_SECTION_PLANS, plan, record);
        uint64_t arena = es_load_u64(record + ES_AT_PLAN_ARENA_BYTES);
        /* Larger ones are refused with the plan's name when all is there. */
        if (arena <= ES_ARENA_LIMIT && arena > most) most = arena;
    }
    *bytes = es_huge_sum(most, state);
    return true;
}

es_status es_model_expect(const void *head, size_t length, es_expectation *expectation, es_error *error)
{
    static const void *const none[1];
    if (error) error->message[0] = 0;
    if (!expectation) return ES_ARGUMENT_NULL;
    *expectation = (es_expectation){.head_bytes = ES_HEADER_BYTES};
    if (!head && length) return ES_ARGUMENT_NULL;
    es_reader reader = {.data = head, .length = length, .detached = none, .error = error, .crc32 = es_choose_crc32()};
    if (!es_read_header(&reader)) return reader.status;
    expectation->file_bytes = reader.file_length;
    uint32_t count = es_load_u32((const uint8_t *)head + AT_SECTION_COUNT);
    if (count > LARGEST_SECTION_COUNT) count = LARGEST_SECTION_COUNT;
    expectation->head_bytes = ES_HEADER_BYTES + (uint64_t)count * ES_DIRECTORY_ENTRY_BYTES;
    if (expectation->head_bytes > length) return ES_OK;
    uint64_t end = sections_end(head, count);
    if (end > expectation->file_bytes) end = expectation->file_bytes; /* refused below, when all is there */
    expectation->head_bytes = end;
    if (end > length) return ES_OK;
    if (!es_read_sections(&reader) || !read_session_bytes(&reader, &expectation->session_bytes)) return reader.status;
    return ES_OK;
}
