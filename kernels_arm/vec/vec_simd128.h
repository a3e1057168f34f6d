/* vec.h in WebAssembly's SIMD128: no fused multiply-add, 16 registers at most on x86 hosts. */
#ifndef ES_VEC_SIMD128_H
#define ES_VEC_SIMD128_H

#include <wasm_simd128.h>

#define ES_LANES 4

typedef v128_t es_f32;

static inline es_f32 es_splat(float a) { return wasm_f32x4_splat(a); }
static inline es_f32 es_load(const float *from) { return wasm_v128_load(from); }
static inline void es_store(float *to, es_f32 a) { wasm_v128_store(to, a); }
static inline es_f32 es_add(es_f32 a, es_f32 b) { return wasm_f32x4_add(a, b); }
static inline es_f32 es_sub(es_f32 a, es_f32 b) { return wasm_f32x4_sub(a, b); }
static inline es_f32 es_mul(es_f32 a, es_f32 b) { return wasm_f32x4_mul(a, b); }
static inline es_f32 es_div(es_f32 a, es_f32 b) { return wasm_f32x4_div(a, b); }
static inline es_f32 es_sqrt(es_f32 a) { return wasm_f32x4_sqrt(a); }
/* Relaxed: fused where the machine does, which the last bit of a result shows. */
#if defined(__wasm_relaxed_simd__)
static inline es_f32 es_fma(es_f32 a, es_f32 b, es_f32 c) { return wasm_f32x4_relaxed_madd(a, b, c); }
#else
static inline es_f32 es_fma(es_f32 a, es_f32 b, es_f32 c) { return wasm_f32x4_add(wasm_f32x4_mul(a, b), c); }
#endif
static inline es_f32 es_fma_scalar(es_f32 a, float b, es_f32 c) { return es_fma(a, wasm_f32x4_splat(b), c); }
/* pmin(a, b) is b < a ? b : a */
static inline es_f32 es_min(es_f32 a, es_f32 b) { return wasm_f32x4_pmin(a, b); }
static inline es_f32 es_max(es_f32 a, es_f32 b) { return wasm_f32x4_pmax(a, b); }
static inline es_f32 es_round(es_f32 a) { return wasm_f32x4_nearest(a); }
static inline es_f32 es_power_of_two(es_f32 a)
{
    return wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(a), wasm_i32x4_splat(127)), 23);
}
static inline es_f32 es_select_less(es_f32 a, es_f32 b, es_f32 c, es_f32 d)
{
    return wasm_v128_bitselect(c, d, wasm_f32x4_lt(a, b));
}
static inline void es_load_even_odd(const float *from, es_f32 *even, es_f32 *odd)
{
    v128_t low = wasm_v128_load(from), high = wasm_v128_load(from + 4);
    *even = wasm_i32x4_shuffle(low, high, 0, 2, 4, 6);
    *odd = wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
}
static inline es_f32 es_next_lane(es_f32 a, es_f32 b) { return wasm_i32x4_shuffle(a, b, 1, 2, 3, 4); }
static inline float es_sum(es_f32 a)
{
    return (wasm_f32x4_extract_lane(a, 0) + wasm_f32x4_extract_lane(a, 1)) +
           (wasm_f32x4_extract_lane(a, 2) + wasm_f32x4_extract_lane(a, 3));
}
static inline float es_largest(es_f32 a)
{
    es_f32 pairs = wasm_f32x4_pmax(a, wasm_i32x4_shuffle(a, a, 2, 3, 0, 1));
    return wasm_f32x4_extract_lane(wasm_f32x4_pmax(pairs, wasm_i32x4_shuffle(pairs, pairs, 1, 0, 3, 2)), 0);
}
/* See es_half_to_float. */
static inline es_f32 es_load_half(const uint16_t *from)
{
    v128_t half = wasm_u32x4_load16x4(from);
    v128_t magnitude = wasm_v128_and(half, wasm_i32x4_splat(0x7FFF));
    v128_t sign = wasm_i32x4_shl(wasm_v128_and(half, wasm_i32x4_splat(0x8000)), 16);
    v128_t value = wasm_f32x4_mul(wasm_i32x4_shl(magnitude, 13), wasm_i32x4_splat(0x77800000));
    v128_t special = wasm_v128_and(wasm_i32x4_gt(magnitude, wasm_i32x4_splat(0x7BFF)), wasm_i32x4_splat(0x7F800000));
    return wasm_v128_or(value, wasm_v128_or(sign, special));
}
static inline es_f32 es_load_bytes(const int8_t *from, int part)
{
    v128_t pairs = wasm_i16x8_load8x8(from);
    return wasm_f32x4_convert_i32x4(part ? wasm_i32x4_extend_high_i16x8(pairs) : wasm_i32x4_extend_low_i16x8(pairs));
}
static inline uint16_t es_float_to_half(float number);
static inline void es_store_half(uint16_t *to, es_f32 a)
{
    float lanes[4];
    es_store(lanes, a);
    for (int i = 0; i < 4; i++) to[i] = es_float_to_half(lanes[i]);
}
static inline void es_store_sums(float *to, es_f32 a, es_f32 b, es_f32 c, es_f32 d)
{
    v128_t ab = wasm_f32x4_add(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
    v128_t cd = wasm_f32x4_add(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
    es_store(to, wasm_f32x4_add(wasm_i32x4_shuffle(ab, cd, 0, 1, 4, 5), wasm_i32x4_shuffle(ab, cd, 2, 3, 6, 7)));
}

#endif
