/* Integer products: vectors of ES_LANES rows x 4 columns, bytes of x that all rows share, exact sums of rows.
 *
 * Weights are unsigned and at most 15, or s8 where is_signed (a constant of the caller) is set; x is -127 to 127.
 * es_products overflows soon: after ES_TILE_LIMIT_* tiles it must be added to es_sums, which holds the products of
 * ES_EXACT_COLUMNS. Where the machine needs no such care the limit is out of reach. */
#ifndef ES_INTEGER_H
#define ES_INTEGER_H

#include <stdbool.h>

#include "vec.h"

/* A function of its own: inlined, it would take registers from loops beside it. */
#define ES_APART static __attribute__((noinline))

/* Columns whose products a 32-bit sum holds: 128 * 127 * 65536 < 2^31. */
enum { ES_EXACT_COLUMNS = 65536, ES_NO_TILE_LIMIT = ES_EXACT_COLUMNS / 4 };

#if defined(ES_VEC_AVX2_H)
#include "integer_avx2.h"
#elif defined(ES_VEC_NEON_H) && defined(__ARM_FEATURE_DOTPROD)
#include "integer_dotprod.h"
#elif defined(ES_VEC_NEON_H)
#include "integer_neon.h"
#elif defined(ES_VEC_SSE_H)
#include "integer_sse.h"
#elif defined(ES_VEC_SIMD128_H)
#include "integer_simd128.h"
#else
#include "integer_scalar.h"
#endif

/* Two tiles in the nibbles of one vector. */
#ifndef ES_DOTS_NIBBLES
static inline es_products es_dot_nibbles(es_products sums, es_bytes pairs, es_columns x)
{
    es_bytes low, high;
    es_split_nibbles(pairs, &low, &high);
    return es_dot_second(es_dot_first(sums, low, x, false), high, x, false);
}
#endif

/* Scales of rows. */
#ifndef ES_LOADS_SCALES
static inline es_f32 es_load_scales(const uint16_t *from) { return es_load_half(from); }
#endif

/* Eight of the bytes at from, by the numbers in order; 0 for 255. Up to sixteen may be read.
 * Without an instruction for it: one by one. */
#if !defined(ES_PICKS_BYTES) && !defined(ES_PICKS_SIXTEEN)
static inline void es_pick_bytes(int8_t *to, const int8_t *from, uint64_t order)
{
    for (int i = 0; i < 8; i++) {
        unsigned place = (unsigned)(order >> (8 * i)) & 255u;
        to[i] = place < 8 ? from[place] : 0;
    }
}
#endif

#endif
