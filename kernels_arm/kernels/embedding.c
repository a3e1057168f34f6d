/* EMBEDDING: rows of a table, or of a matrix of any type, decoded where they lie. */
#include "bands.h"
#include "expand_values.h"
#include "rows.h"

static const es_matrix *matrix_of(const es_launch *launch)
{
    return launch->in[1] ? NULL : &launch->model->matrices[es_word(launch, 0)];
}

static void widen(const uint8_t *halves, int64_t count, float *y)
{
    int64_t i = 0;
    for (; i + ES_LANES <= count; i += ES_LANES)
        es_store(y + i, es_load_half((const uint16_t *)(const void *)halves + i));
    for (; i < count; i++) {
        uint16_t half;
        memcpy(&half, halves + 2 * i, sizeof half);
        y[i] = es_half_to_float(half);
    }
}

static void copy_table_row(const es_launch *launch, int64_t row, float *y)
{
    const es_tensor *table = launch->in[1];
    int64_t columns = (int64_t)table->shape[1];
    const uint8_t *from = launch->in_data[1] + (uint64_t)(row * es_row_distance(table)) * es_dtype_bytes(table->dtype);
    if (table->dtype == ES_F16) widen(from, columns, y);
    else memcpy(y, from, (size_t)columns * sizeof *y);
}

/* A strip, and one of its rows. */
typedef struct strip_row {
    const es_matrix *matrix;
    const uint8_t *values;
    const uint16_t *scales; /* NULL for floats */
    uint32_t group, inside;
} strip_row;

/* Weight of a kept column. */
static float weight_at(const strip_row *row, uint32_t kept)
{
    const es_matrix *matrix = row->matrix;
    size_t place = (size_t)kept * row->group + row->inside;
    if (matrix->dtype == ES_F32) {
        float number;
        memcpy(&number, row->values + 4 * place, sizeof number);
        return number;
    }
    if (matrix->dtype == ES_F16) {
        uint16_t half;
        memcpy(&half, row->values + 2 * place, sizeof half);
        return es_half_to_float(half);
    }
    size_t segment = matrix->segment ? kept / matrix->segment : 0;
    return (float)es_stored_integer(matrix, row->values, row->group, kept, row->inside) *
           es_half_to_float(row->scales[segment * row->group + row->inside]);
}

static void decode_matrix_row(const es_matrix *matrix, uint32_t number, float *y)
{
    const es_band *band = es_band_of_row(matrix, number);
    strip_row row = {.matrix = matrix, .group = band->group, .inside = (number - band->first_row) % band->group};
    uint32_t strip = band->first_strip + (number - band->first_row) / band->group;
    row.values = matrix->values + matrix->value_starts[strip];
    if (matrix->scales) row.scales = matrix->scales + matrix->scale_starts[strip];
    uint32_t count = matrix->counts[strip];
    if (!matrix->bitmap && !matrix->list) {
        for (uint32_t column = 0; column < count; column++) y[column] = weight_at(&row, column);
        return;
    }
    memset(y, 0, (size_t)matrix->columns * sizeof *y);
    if (matrix->list) {
        const uint32_t *list = matrix->list + matrix->starts[strip];
        for (uint32_t kept = 0; kept < count; kept++) y[list[kept]] = weight_at(&row, kept);
        return;
    }
    const uint8_t *bits = matrix->bitmap + (size_t)strip * (((size_t)matrix->columns + 7) / 8);
    for (uint32_t column = 0, kept = 0; column < matrix->columns; column++)
        if (bits[column / 8] >> column % 8 & 1) y[column] = weight_at(&row, kept++);
}

static int64_t units(const es_launch *launch, int phase)
{
    (void)phase;
    return es_count_rows(launch, launch->out);
}

/* Ids are in range: every run checks them first. */
static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase, (void)thread_scratch;
    const es_matrix *matrix = matrix_of(launch);
    for (int64_t token = begin; token < end; token++) {
        int32_t id;
        memcpy(&id, launch->in_data[0] + sizeof id * (size_t)token, sizeof id);
        float *y = (float *)(void *)launch->out_data + token * es_row_distance(launch->out);
        if (matrix) decode_matrix_row(matrix, (uint32_t)id, y);
        else copy_table_row(launch, id, y);
    }
}

static bool accepts(const es_launch *launch, es_dtype dtype)
{
    const es_matrix *matrix = matrix_of(launch);
    return (matrix ? matrix->dtype : launch->in[1]->dtype) == dtype;
}

#define KERNEL(type, dtype)                                                                \
    static bool accepts_##type(const es_launch *launch) { return accepts(launch, dtype); }  \
    static const es_kernel kernel_##type = {                                                \
        ES_KERNEL_NAME("embedding_" #type), ES_EMBEDDING, ES_THIS_VARIANT, accepts_##type,  \
        NULL, NULL, 1, units, run};
KERNEL(f32, ES_F32)
KERNEL(f16, ES_F16)
KERNEL(s8, ES_S8)
KERNEL(s4, ES_S4)
KERNEL(ternary, ES_TERNARY)

ES_FAMILY(embedding) = {&kernel_f32, &kernel_f16, &kernel_s8, &kernel_s4, &kernel_ternary, NULL};
