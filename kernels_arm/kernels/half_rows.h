/* Rows of halves: stored from floats and widened to them, whatever their length. */
#ifndef ES_HALF_ROWS_H
#define ES_HALF_ROWS_H

#include "vec.h"

/* Halves hold numbers up to 65504. */
ES_INLINE es_f32 es_within_halves(es_f32 a) { return es_min(es_max(a, es_splat(-65504.0f)), es_splat(65504.0f)); }

/* The nearest halves. */
static inline void es_store_halves(uint16_t *to, const float *from, int64_t count)
{
    int64_t i = 0;
    for (; i + ES_LANES <= count; i += ES_LANES) es_store_half(to + i, es_within_halves(es_load(from + i)));
    if (i == count) return;
    uint16_t rest[ES_LANES];
    es_store_half(rest, es_within_halves(es_load_first(from + i, (int)(count - i))));
    memcpy(to + i, rest, (size_t)(count - i) * sizeof *to);
}

/* Halves as floats, and zeros up to the next whole vector. */
static inline void es_widen_halves(float *to, const uint16_t *from, int64_t count)
{
    int64_t i = 0;
    for (; i + ES_LANES <= count; i += ES_LANES) es_store(to + i, es_load_half(from + i));
    if (i == count) return;
    uint16_t rest[ES_LANES] = {0};
    memcpy(rest, from + i, (size_t)(count - i) * sizeof *from);
    es_store(to + i, es_load_half(rest));
}

/* Floats, and zeros up to the next whole vector. */
static inline void es_copy_floats(float *to, const float *from, int64_t count)
{
    memcpy(to, from, (size_t)count * sizeof *to);
    for (int64_t i = count; i % ES_LANES; i++) to[i] = 0.0f;
}

#endif
