/* The weights of a matrix of any value type as floats in kernel order: [strip][kept column][row of the strip]. */
#ifndef ES_EXPAND_VALUES_H
#define ES_EXPAND_VALUES_H

#include "model.h"
#include "vec.h"

static inline bool es_is_float(const es_matrix *matrix) { return matrix->dtype == ES_F32 || matrix->dtype == ES_F16; }

/* One stored integer; column counts the kept columns of the strip. */
static inline int es_stored_integer(const es_matrix *matrix, const uint8_t *values, uint32_t group, uint32_t column,
                                    uint32_t row)
{
    size_t tile = column / 4, inside = column % 4;
    if (matrix->dtype == ES_S8) return (int8_t)values[(tile * group + row) * 4 + inside];
    if (matrix->dtype == ES_TERNARY) return (int)((values[tile * group + row] >> (2 * inside)) & 3u) - 1;
    unsigned pair = values[(tile / 2 * group + row) * 4 + inside];
    return (int)(tile % 2 ? pair >> 4 : pair & 15u) - 8;
}

/* One strip: counts[strip] * group floats. */
static inline void es_expand_strip(const es_matrix *matrix, uint32_t group, uint32_t strip, float *to)
{
    const uint8_t *values = matrix->values + matrix->value_starts[strip];
    size_t count = matrix->counts[strip];
    if (matrix->dtype == ES_F32) {
        if (count) memcpy(to, values, count * group * sizeof *to);
        return;
    }
    if (matrix->dtype == ES_F16) {
        for (size_t index = 0; index < count * group; index++) {
            uint16_t half;
            memcpy(&half, values + 2 * index, sizeof half);
            to[index] = es_half_to_float(half);
        }
        return;
    }
    const uint16_t *scales = matrix->scales + matrix->scale_starts[strip];
    for (uint32_t column = 0; column < count; column++) {
        const uint16_t *scale = scales + (matrix->segment ? column / matrix->segment : 0) * (size_t)group;
        for (uint32_t row = 0; row < group; row++)
            *to++ = (float)es_stored_integer(matrix, values, group, column, row) * es_half_to_float(scale[row]);
    }
}

/* The whole matrix: kept_weights floats. */
static inline void es_expand_values(const es_matrix *matrix, float *to)
{
    for (uint32_t number = 0; number < matrix->band_count; number++) {
        const es_band *band = &matrix->bands[number];
        for (uint32_t index = 0; index < band->rows / band->group; index++) {
            uint32_t strip = band->first_strip + index;
            es_expand_strip(matrix, band->group, strip, to);
            to += (size_t)matrix->counts[strip] * band->group;
        }
    }
}

#endif
