/* The kept columns of a strip, packed together from some quantised rows. */
#ifndef ES_GATHER_COLUMNS_H
#define ES_GATHER_COLUMNS_H

#include "bit_places.h"
#include "integer.h"
#include "model.h"

/* Rows of bytes at one distance. */
typedef struct es_byte_rows {
    const int8_t *bytes;
    size_t distance;
} es_byte_rows;

/* By a bitmap: eight columns are one table look-up, whatever the density, and shared by the rows. */
ES_INLINE size_t es_gather_bits(const uint8_t *bits, size_t bytes, es_byte_rows from, int rows, int8_t *to, size_t distance)
{
    size_t count = 0;
    for (size_t byte = 0; byte < bytes; byte++) {
        uint64_t order = es_bit_places[bits[byte]];
        for (int row = 0; row < rows; row++)
            es_pick_bytes(to + (size_t)row * distance + count, from.bytes + (size_t)row * from.distance + 8 * byte, order);
        count += es_bit_counts[bits[byte]];
    }
    return count;
}

/* Pack the columns that a strip keeps, and padding behind them. A packed row needs 8 bytes more than that.
 * Which row comes first is the caller's: row r of the result is row r of from. */
static inline void es_gather_strip(const es_matrix *matrix, uint32_t strip, es_byte_rows from, int rows, int8_t *to,
                                   size_t distance, size_t padding)
{
    size_t count = matrix->counts[strip];
    if (matrix->bitmap) {
        size_t bytes = ((size_t)matrix->columns + 7) / 8;
        const uint8_t *bits = matrix->bitmap + strip * bytes;
        if (rows == 1) es_gather_bits(bits, bytes, from, 1, to, distance);
        else es_gather_bits(bits, bytes, from, rows, to, distance);
    } else {
        const uint32_t *list = matrix->list + matrix->starts[strip];
        for (int row = 0; row < rows; row++)
            for (size_t i = 0; i < count; i++)
                to[(size_t)row * distance + i] = from.bytes[(size_t)row * from.distance + list[i]];
    }
    for (int row = 0; row < rows; row++) memset(to + (size_t)row * distance + count, 0, padding);
}

#endif
