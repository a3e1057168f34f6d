/* es_spread: packed numbers back to the places that a bit mask names. */
#ifndef ES_SPREAD_H
#define ES_SPREAD_H

#include "vec.h"

/* The next numbers of `from`, one in every lane whose bit of the mask is set, 0 in the others. Reads ES_LANES floats. */
#if defined(ES_VEC_NEON_H) || defined(ES_VEC_SIMD128_H)
/* Bytes of the result's lanes among the packed ones; 255 gives 0. */
#define ES_SPREAD_LANE(mask, lane, before) \
    (mask) >> (lane) & 1 ? 4 * (before) : 255, (mask) >> (lane) & 1 ? 4 * (before) + 1 : 255, \
    (mask) >> (lane) & 1 ? 4 * (before) + 2 : 255, (mask) >> (lane) & 1 ? 4 * (before) + 3 : 255
#define ES_SPREAD_ROW(mask)                                                                     \
    {ES_SPREAD_LANE(mask, 0, 0), ES_SPREAD_LANE(mask, 1, ((mask) & 1)),                         \
     ES_SPREAD_LANE(mask, 2, ((mask) & 1) + ((mask) >> 1 & 1)),                                 \
     ES_SPREAD_LANE(mask, 3, ((mask) & 1) + ((mask) >> 1 & 1) + ((mask) >> 2 & 1))}
static const uint8_t es_spread_bytes[16][16] = {
    ES_SPREAD_ROW(0), ES_SPREAD_ROW(1), ES_SPREAD_ROW(2), ES_SPREAD_ROW(3), ES_SPREAD_ROW(4), ES_SPREAD_ROW(5),
    ES_SPREAD_ROW(6), ES_SPREAD_ROW(7), ES_SPREAD_ROW(8), ES_SPREAD_ROW(9), ES_SPREAD_ROW(10), ES_SPREAD_ROW(11),
    ES_SPREAD_ROW(12), ES_SPREAD_ROW(13), ES_SPREAD_ROW(14), ES_SPREAD_ROW(15),
};

static inline es_f32 es_spread(const float *from, uint32_t mask)
{
#if defined(ES_VEC_NEON_H)
    return vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(vld1q_f32(from)), vld1q_u8(es_spread_bytes[mask])));
#else
    return wasm_i8x16_swizzle(es_load(from), wasm_v128_load(es_spread_bytes[mask]));
#endif
}
#else
static inline es_f32 es_spread(const float *from, uint32_t mask)
{
    float lanes[ES_LANES];
    int place = 0;
    /* Read also where the bit is not set, which no processor could foresee. */
    for (int lane = 0; lane < ES_LANES; lane++) {
        int set = (int)(mask >> lane & 1u);
        lanes[lane] = set ? from[place] : 0.0f;
        place += set;
    }
    return es_load(lanes);
}
#endif

static inline int es_bit_count(uint32_t bits) { return __builtin_popcount(bits); }

/* Bits of a mask of ES_LANES bits. NEON counts bits in vector registers only: a table is 4 instructions shorter. */
static inline int es_lane_count(uint32_t mask)
{
    static const uint8_t counts[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
    return counts[mask & 15u] + (ES_LANES > 4 ? counts[mask >> 4] : 0);
}

#endif
