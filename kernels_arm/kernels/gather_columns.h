/* The kept columns of a strip, packed together from some quantised rows. */
#ifndef ES_GATHER_COLUMNS_H
#define ES_GATHER_COLUMNS_H

#include "column_orders.h"

/* Rows of bytes at one distance. */
typedef struct es_byte_rows {
    const int8_t *bytes;
    size_t distance;
} es_byte_rows;

/* Half of the loop's own instructions: a tenth of all. */
#if defined(__clang__)
#define ES_UNROLL_TWICE _Pragma("clang loop unroll_count(2)")
#else
#define ES_UNROLL_TWICE _Pragma("GCC unroll 2")
#endif

/* The most rows that are packed at once. Up to as many can be read and written, whatever rows is. */
enum { ES_GATHERED_ROWS = 4 };

#ifdef ES_PICKS_SIXTEEN
/* By a bitmap, whose orders are prepared and shared by the rows. */
ES_INLINE void es_gather_bits(const uint8_t *bits, size_t bytes, const uint64_t *orders, es_byte_rows from,
                              const int rows, int8_t *to, size_t distance)
{
    ES_UNROLL_TWICE
    for (size_t byte = 0;; byte += 2) {
        const es_order order = es_load_order(orders++);
        ES_UNROLL
        for (int row = 0; row < rows; row++)
            es_pick_sixteen(to + (size_t)row * distance, from.bytes + (size_t)row * from.distance, order);
        /* There may be no second byte in the end, but there is nothing to count for then either. */
        if (byte + 2 >= bytes) return;
        to += __builtin_popcount(bits[byte] | (unsigned)bits[byte + 1] << 8);
        from.bytes += 16;
    }
}
#else
#include "bit_places.h"

/* By a bitmap: eight columns are one table look-up, whatever the density, and shared by the rows. */
ES_INLINE void es_gather_bits(const uint8_t *bits, size_t bytes, const uint64_t *orders, es_byte_rows from,
                              const int rows, int8_t *to, size_t distance)
{
    (void)orders;
    size_t count = 0;
    ES_UNROLL_TWICE
    for (size_t byte = 0; byte < bytes; byte++) {
        const uint8_t kept = bits[byte];
        const uint64_t order = es_bit_places[kept];
        ES_UNROLL
        for (int row = 0; row < rows; row++) {
            const int8_t *eight = from.bytes + (size_t)row * from.distance + 8 * byte;
            es_pick_bytes(to + (size_t)row * distance + count, eight, order);
        }
        count += es_bit_counts[kept];
    }
}
#endif

/* Pack the columns that a strip keeps, and padding behind them, of at most ES_GATHERED_ROWS rows. */
ES_APART void es_gather_strip(const es_matrix *matrix, uint32_t strip, const uint64_t *orders, es_byte_rows from,
                              int rows, int8_t *to, size_t distance, size_t padding)
{
    size_t count = matrix->counts[strip];
    if (matrix->bitmap) {
        size_t bytes = ((size_t)matrix->columns + 7) / 8;
        const uint8_t *bits = matrix->bitmap + strip * bytes;
        orders += strip * es_orders_of_strip(matrix);
        if (rows == 1) es_gather_bits(bits, bytes, orders, from, 1, to, distance);
        else if (rows == 2) es_gather_bits(bits, bytes, orders, from, 2, to, distance);
        else es_gather_bits(bits, bytes, orders, from, ES_GATHERED_ROWS, to, distance);
    } else {
        const uint32_t *list = matrix->list + matrix->starts[strip];
        for (int row = 0; row < rows; row++)
            for (size_t i = 0; i < count; i++)
                to[(size_t)row * distance + i] = from.bytes[(size_t)row * from.distance + list[i]];
    }
    for (int row = 0; row < rows; row++) memset(to + (size_t)row * distance + count, 0, padding);
}

#endif
