/* What the float products of all layouts prepare: strips with their values and the places of their columns in x. */
#ifndef ES_SPMM_OPERANDS_H
#define ES_SPMM_OPERANDS_H

#include "activation.h"
#include "expand_values.h"

/* One strip. Offsets are elements of x, counted from the place of the output pixel. */
typedef struct es_strip {
    const void *values; /* [count][group], floats or halves */
    const int32_t *offsets;
    uint32_t count, group, row;
} es_strip;

typedef struct es_operands {
    const es_strip *strips;
    const uint32_t *chunks; /* first strips of chunk_count chunks of about equal work, then the end */
    const float *bias;      /* zeros without one */
    uint32_t chunk_count;
    uint32_t largest_group;
} es_operands;

/* Apply a function to rows of count results in place. Not inline: inside the loop over strips its constants took the
 * registers, and 36 instructions per strip and tile to put them back. */
static __attribute__((noinline, unused)) void es_activate_rows(es_epilogue epilogue, float *first, int64_t distance,
                                                               int64_t rows, int64_t count)
{
    for (int64_t row = 0; row < rows; row++) es_activate_row(epilogue, first + row * distance, count);
}

static inline const es_matrix *es_matrix_of(const es_launch *launch)
{
    return &launch->model->matrices[es_word(launch, ES_SPMM_MATRIX)];
}

static inline bool es_keeps_all(const es_matrix *matrix) { return !matrix->bitmap && !matrix->list; }

/* Whether the kernels read halves where they lie: only products of rows do, whose weights decide the memory. */
static inline bool es_reads_halves(const es_launch *launch)
{
    return es_matrix_of(launch)->dtype == ES_F16 && launch->out->layout == ES_ROW_MAJOR;
}

static inline uint64_t es_expanded_weights(const es_launch *launch)
{
    const es_matrix *matrix = es_matrix_of(launch);
    return matrix->dtype == ES_F32 || es_reads_halves(launch) ? 0 : matrix->kept_weights;
}

static inline int64_t es_floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/* How far from the output pixel's place a column is read in x. The rules of the format keep it inside the arena. */
static inline int32_t es_column_offset(const es_launch *launch, int64_t column)
{
    const es_tensor *x = launch->in[0];
    if (x->layout == ES_ROW_MAJOR) return (int32_t)column;
    enum { KERNEL_H = ES_SPMM_WINDOW, KERNEL_W, STRIDE_H, STRIDE_W, DILATION_H, DILATION_W, PAD_TOP, PAD_LEFT };
    int64_t kernel_w = es_word(launch, KERNEL_W), stride_h = es_word(launch, STRIDE_H);
    int64_t stride_w = es_word(launch, STRIDE_W);
    int64_t channels = es_matrix_of(launch)->columns / (es_word(launch, KERNEL_H) * kernel_w);
    int64_t tap = column / channels, channel = column % channels;
    int64_t down = tap / kernel_w * es_word(launch, DILATION_H) - es_word(launch, PAD_TOP);
    int64_t right = tap % kernel_w * es_word(launch, DILATION_W) - es_word(launch, PAD_LEFT);
    if (es_word(launch, ES_SPMM_PHASE_SPLIT)) {
        int64_t below = es_floor_divide(down, stride_h), beside = es_floor_divide(right, stride_w);
        channel += ((down - below * stride_h) * stride_w + right - beside * stride_w) * channels;
        down = below;
        right = beside;
    }
    int64_t offset = 0;
    if (channel) offset += channel * (int64_t)x->strides[1];
    if (down) offset += down * (int64_t)x->strides[2];
    if (right) offset += right * (int64_t)x->strides[3];
    return (int32_t)offset;
}

static inline int32_t *es_offsets_of_strip(const es_launch *launch, uint32_t strip, int32_t *to)
{
    const es_matrix *matrix = es_matrix_of(launch);
    if (matrix->list) {
        for (uint64_t at = matrix->starts[strip]; at < matrix->starts[strip + 1]; at++)
            *to++ = es_column_offset(launch, matrix->list[at]);
        return to;
    }
    const uint8_t *bits = matrix->bitmap ? matrix->bitmap + (size_t)strip * ((matrix->columns + 7) / 8) : NULL;
    for (uint32_t column = 0; column < matrix->columns; column++)
        if (!bits || bits[column / 8] >> column % 8 & 1) *to++ = es_column_offset(launch, column);
    return to;
}

/* Cut the strips into chunks of about equal work; return how many there are, at most wanted. */
static inline uint32_t es_cut_strips(const es_matrix *matrix, uint32_t wanted, uint32_t *chunks)
{
    /* A strip without columns still writes its rows: about the work of four columns. */
    uint64_t total = matrix->kept_weights + 4 * (uint64_t)matrix->rows, done = 0;
    uint32_t count = 0;
    for (uint32_t number = 0; number < matrix->band_count; number++) {
        const es_band *band = &matrix->bands[number];
        for (uint32_t strip = band->first_strip; strip < band->first_strip + band->rows / band->group; strip++) {
            if (done * wanted >= total * count) chunks[count++] = strip;
            done += (matrix->counts[strip] + 4) * (uint64_t)band->group;
        }
    }
    chunks[count] = matrix->strips;
    return count;
}

/* Places of the parts in the prepared memory, behind a head of head_bytes. */
typedef struct es_operand_places {
    uint64_t strips, chunks, bias, offsets, values, end;
} es_operand_places;

static inline es_operand_places es_place_operands(const es_launch *launch, size_t head_bytes, uint32_t wanted)
{
    const es_matrix *matrix = es_matrix_of(launch);
    uint64_t columns = es_keeps_all(matrix) ? matrix->columns : matrix->starts[matrix->strips];
    uint64_t sizes[] = {head_bytes, matrix->strips * (uint64_t)sizeof(es_strip), (wanted + 1) * (uint64_t)4,
                        matrix->rows * (uint64_t)4, columns * 4,
                        es_expanded_weights(launch) * 4};
    uint64_t places[7] = {0};
    for (int part = 0; part < 6; part++) places[part + 1] = (places[part] + sizes[part] + 63) / 64 * 64;
    return (es_operand_places){places[1], places[2], places[3], places[4], places[5], places[6]};
}

static inline void es_measure_operands(const es_launch *launch, size_t head_bytes, uint32_t wanted, es_needs *needs)
{
    uint64_t bytes = es_place_operands(launch, head_bytes, wanted).end;
    needs->prepared_bytes = bytes < SIZE_MAX / 2 ? (size_t)bytes : SIZE_MAX;
}

static inline const float *es_prepare_bias(const es_launch *launch, float *to)
{
    for (size_t row = 0; row < es_matrix_of(launch)->rows; row++) {
        uint16_t half = 0;
        to[row] = 0;
        if (!launch->in[1]) continue;
        if (launch->in[1]->dtype == ES_F32) {
            memcpy(&to[row], launch->in_data[1] + 4 * row, sizeof *to);
        } else {
            memcpy(&half, launch->in_data[1] + 2 * row, sizeof half);
            to[row] = es_half_to_float(half);
        }
    }
    return to;
}

static inline void es_prepare_operands(const es_launch *launch, size_t head_bytes, uint32_t wanted,
                                       es_operands *operands)
{
    const es_matrix *matrix = es_matrix_of(launch);
    es_operand_places places = es_place_operands(launch, head_bytes, wanted);
    uint8_t *base = launch->prepared;
    es_strip *strips = (es_strip *)(void *)(base + places.strips);
    uint32_t *chunks = (uint32_t *)(void *)(base + places.chunks);
    int32_t *offsets = (int32_t *)(void *)(base + places.offsets);
    float *expanded = (float *)(void *)(base + places.values);
    bool expands = matrix->dtype != ES_F32 && !es_reads_halves(launch), keeps_all = es_keeps_all(matrix);
    operands->largest_group = 0;
    for (uint32_t number = 0; number < matrix->band_count; number++) {
        const es_band *band = &matrix->bands[number];
        if (band->group > operands->largest_group) operands->largest_group = band->group;
        for (uint32_t index = 0; index < band->rows / band->group; index++) {
            uint32_t number_of_strip = band->first_strip + index;
            es_strip *strip = &strips[number_of_strip];
            strip->count = matrix->counts[number_of_strip];
            strip->group = band->group;
            strip->row = band->first_row + index * band->group;
            strip->offsets = offsets;
            if (!keeps_all || !number_of_strip) {
                int32_t *end = es_offsets_of_strip(launch, number_of_strip, offsets);
                if (!keeps_all) offsets = end;
            }
            strip->values = expands ? (const void *)expanded : matrix->values + matrix->value_starts[number_of_strip];
            if (!expands) continue;
            es_expand_strip(matrix, band->group, number_of_strip, expanded);
            expanded += (size_t)strip->count * band->group;
        }
    }
    operands->strips = strips;
    operands->chunks = chunks;
    operands->chunk_count = es_cut_strips(matrix, wanted, chunks);
    operands->bias = es_prepare_bias(launch, (float *)(void *)(base + places.bias));
}

#endif
