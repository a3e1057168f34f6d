/* Rows of halves and bytes as floats, and floats as halves, whatever their length. */
#ifndef ES_STORED_ROWS_H
#define ES_STORED_ROWS_H

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

/* Halves as floats, and zeros up to two whole vectors. */
static inline void es_widen_halves(float *to, const uint16_t *from, int64_t count)
{
    int64_t i = 0;
    for (; i + 4 * ES_LANES <= count; i += 4 * ES_LANES) {
        ES_UNROLL
        for (int part = 0; part < 4; part++) es_store(to + i + part * ES_LANES, es_load_half(from + i + part * ES_LANES));
    }
    for (; i + ES_LANES <= count; i += ES_LANES) es_store(to + i, es_load_half(from + i));
    if (i < count) {
        uint16_t rest[ES_LANES] = {0};
        memcpy(rest, from + i, (size_t)(count - i) * sizeof *from);
        es_store(to + i, es_load_half(rest));
        i += ES_LANES;
    }
    if (i % (2 * ES_LANES)) es_store(to + i, es_splat(0.0f));
}

/* Bytes as floats, and zeros up to two whole vectors. Compilers vectorise it as well as one could by hand. */
static inline void es_widen_bytes(float *restrict to, const int8_t *restrict from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) to[i] = (float)from[i];
    for (int64_t i = count; i % (2 * ES_LANES); i++) to[i] = 0.0f;
}

/* Floats, and zeros up to two whole vectors. */
static inline void es_copy_floats(float *to, const float *from, int64_t count)
{
    memcpy(to, from, (size_t)count * sizeof *to);
    for (int64_t i = count; i % (2 * ES_LANES); i++) to[i] = 0.0f;
}

#endif
