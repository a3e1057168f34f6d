/* The band that a strip or a row of a matrix lies in. Bands follow one another, so a search by halves finds it. */
#ifndef ES_BANDS_H
#define ES_BANDS_H

#include "model.h"

static inline const es_band *es_band_of(const es_matrix *matrix, uint32_t number, bool is_row)
{
    uint32_t low = 0, high = matrix->band_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        uint32_t first = is_row ? matrix->bands[middle].first_row : matrix->bands[middle].first_strip;
        if (first <= number) low = middle;
        else high = middle;
    }
    return &matrix->bands[low];
}

static inline const es_band *es_band_of_strip(const es_matrix *matrix, uint32_t strip)
{
    return es_band_of(matrix, strip, false);
}
static inline const es_band *es_band_of_row(const es_matrix *matrix, uint32_t row)
{
    return es_band_of(matrix, row, true);
}

#endif
