/* Which bands belong to which matrix, and which matrices are equal. */
#include "reader.h"

static int compare_numbers(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }

/* All of a matrix but its name and the place of its bands. */
static int compare_content(const void *context, uint32_t a, uint32_t b)
{
    const es_reader *reader = context;
    const uint8_t *records = reader->sections[ES_SECTION_MATRICES].data;
    const uint8_t *bands = reader->sections[ES_SECTION_BANDS].data;
    const uint8_t *one = records + (size_t)48 * a, *other = records + (size_t)48 * b;
    uint32_t bands_a = reader->first_band[a + 1] - reader->first_band[a];
    uint32_t bands_b = reader->first_band[b + 1] - reader->first_band[b];
    int order = compare_numbers(bands_a, bands_b);
    if (!order) order = memcmp(one + ES_AT_MATRIX_ROWS, other + ES_AT_MATRIX_ROWS, 8);
    if (!order) order = memcmp(one + ES_AT_MATRIX_DTYPE, other + ES_AT_MATRIX_DTYPE, 24);
    if (!order)
        order = memcmp(bands + (size_t)16 * reader->first_band[a], bands + (size_t)16 * reader->first_band[b],
                       (size_t)16 * bands_a);
    return order;
}

bool es_chain_bands(es_reader *reader)
{
    uint32_t count = reader->sections[ES_SECTION_BANDS].count, matrices = reader->model->matrix_count, first = 0;
    for (uint32_t number = 0; number < matrices; number++) {
        uint8_t record[ES_LARGEST_RECORD];
        es_load_record(reader, ES_SECTION_MATRICES, number, record);
        uint32_t own_first = es_load_u32(record + ES_AT_MATRIX_FIRST_BAND);
        uint32_t own = es_load_u32(record + ES_AT_MATRIX_BAND_COUNT);
        if (own_first != first || !own || own > count - first)
            return es_refuse(reader, ES_MATRIX_BANDS, "matrix %u: %u bands from %u are not the next of %u",
                             (unsigned)number, (unsigned)own, (unsigned)own_first, (unsigned)count);
        reader->first_band[number] = first;
        first += own;
        reader->first_band[number + 1] = first;
    }
    if (first != count)
        return es_refuse(reader, ES_MATRIX_BANDS, "%u bands belong to no matrix", (unsigned)(count - first));
    return true;
}

void es_find_same_matrices(es_reader *reader)
{
    uint32_t count = reader->model->matrix_count;
    es_sort(reader->order, reader->spare, count, compare_content, reader);
    for (uint32_t place = 0; place < count; place++) {
        uint32_t number = reader->order[place], before = place ? reader->order[place - 1] : number;
        bool same = place && !compare_content(reader, before, number);
        reader->same[number] = same ? reader->same[before] : number;
    }
}
