/* Where the kept columns of every strip lie, prepared once for machines that then pick sixteen bytes at a time: the
 * place of a kept column among sixteen takes four bits, so that orders of sixteen columns are one word. */
#ifndef ES_COLUMN_ORDERS_H
#define ES_COLUMN_ORDERS_H

#include "integer.h"
#include "model.h"

#ifdef ES_PICKS_SIXTEEN
static inline size_t es_orders_of_strip(const es_matrix *matrix) { return ((size_t)matrix->columns + 15) / 16; }
#else
/* This machine looks bytes of the bitmap up. */
static inline size_t es_orders_of_strip(const es_matrix *matrix)
{
    (void)matrix;
    return 0;
}
#endif

/* Words of all orders of a matrix. */
static inline uint64_t es_count_orders(const es_matrix *matrix)
{
    return matrix->bitmap ? (uint64_t)matrix->strips * es_orders_of_strip(matrix) : 0;
}

static inline uint64_t es_order_of_columns(const uint8_t *bits, size_t first, size_t columns)
{
    uint64_t order = 0;
    unsigned shift = 0;
    for (size_t place = 0; place < 16 && first + place < columns; place++) {
        if (!(bits[(first + place) / 8] >> place % 8 & 1)) continue;
        order |= (uint64_t)place << shift;
        shift += 4;
    }
    return order;
}

static inline void es_write_orders(const es_matrix *matrix, uint64_t *orders)
{
    if (!es_count_orders(matrix)) return;
    const size_t bytes = ((size_t)matrix->columns + 7) / 8, count = es_orders_of_strip(matrix);
    for (uint32_t strip = 0; strip < matrix->strips; strip++)
        for (size_t number = 0; number < count; number++)
            *orders++ = es_order_of_columns(matrix->bitmap + strip * bytes, 16 * number, matrix->columns);
}

#endif
