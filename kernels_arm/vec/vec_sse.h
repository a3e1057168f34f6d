/* vec.h in SSE2, which every x86-64 has. */
#ifndef ES_VEC_SSE_H
#define ES_VEC_SSE_H

#include <emmintrin.h>

#define ES_LANES 4

typedef __m128 es_f32;

static inline es_f32 es_splat(float a) { return _mm_set1_ps(a); }
static inline es_f32 es_load(const float *from) { return _mm_loadu_ps(from); }
static inline void es_store(float *to, es_f32 a) { _mm_storeu_ps(to, a); }
static inline es_f32 es_add(es_f32 a, es_f32 b) { return _mm_add_ps(a, b); }
static inline es_f32 es_sub(es_f32 a, es_f32 b) { return _mm_sub_ps(a, b); }
static inline es_f32 es_mul(es_f32 a, es_f32 b) { return _mm_mul_ps(a, b); }
static inline es_f32 es_div(es_f32 a, es_f32 b) { return _mm_div_ps(a, b); }
static inline es_f32 es_sqrt(es_f32 a) { return _mm_sqrt_ps(a); }
static inline es_f32 es_fma(es_f32 a, es_f32 b, es_f32 c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
static inline es_f32 es_fma_scalar(es_f32 a, float b, es_f32 c) { return es_fma(a, _mm_set1_ps(b), c); }
/* The second operand comes out when either is NaN. */
static inline es_f32 es_min(es_f32 a, es_f32 b) { return _mm_min_ps(b, a); }
static inline es_f32 es_max(es_f32 a, es_f32 b) { return _mm_max_ps(b, a); }
static inline es_f32 es_round(es_f32 a) { return _mm_cvtepi32_ps(_mm_cvtps_epi32(a)); }
static inline es_f32 es_power_of_two(es_f32 a)
{
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(_mm_cvtps_epi32(a), _mm_set1_epi32(127)), 23));
}
static inline es_f32 es_select_less(es_f32 a, es_f32 b, es_f32 c, es_f32 d)
{
    __m128 less = _mm_cmplt_ps(a, b);
    return _mm_or_ps(_mm_and_ps(less, c), _mm_andnot_ps(less, d));
}
static inline void es_load_even_odd(const float *from, es_f32 *even, es_f32 *odd)
{
    __m128 low = _mm_loadu_ps(from), high = _mm_loadu_ps(from + 4);
    *even = _mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0));
    *odd = _mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1));
}
static inline es_f32 es_next_lane(es_f32 a, es_f32 b)
{
    __m128 mixed = _mm_move_ss(a, b);
    return _mm_shuffle_ps(mixed, mixed, _MM_SHUFFLE(0, 3, 2, 1));
}
static inline float es_sum(es_f32 a)
{
    es_f32 pairs = _mm_add_ps(a, _mm_shuffle_ps(a, a, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehl_ps(pairs, pairs)));
}
static inline float es_largest(es_f32 a)
{
    es_f32 pairs = _mm_max_ps(a, _mm_shuffle_ps(a, a, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtss_f32(_mm_max_ss(pairs, _mm_movehl_ps(pairs, pairs)));
}
/* See es_half_to_float. */
static inline es_f32 es_load_half(const uint16_t *from)
{
    __m128i half = _mm_unpacklo_epi16(_mm_loadl_epi64((const __m128i *)from), _mm_setzero_si128());
    __m128i magnitude = _mm_and_si128(half, _mm_set1_epi32(0x7FFF));
    __m128i sign = _mm_slli_epi32(_mm_and_si128(half, _mm_set1_epi32(0x8000)), 16);
    __m128 value = _mm_mul_ps(_mm_castsi128_ps(_mm_slli_epi32(magnitude, 13)),
                              _mm_castsi128_ps(_mm_set1_epi32(0x77800000)));
    __m128i special = _mm_and_si128(_mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7BFF)), _mm_set1_epi32(0x7F800000));
    return _mm_or_ps(value, _mm_castsi128_ps(_mm_or_si128(sign, special)));
}
static inline es_f32 es_load_bytes(const int8_t *from, int part)
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)from);
    __m128i pairs = _mm_unpacklo_epi8(bytes, bytes);
    __m128i fours = part ? _mm_unpackhi_epi16(pairs, pairs) : _mm_unpacklo_epi16(pairs, pairs);
    return _mm_cvtepi32_ps(_mm_srai_epi32(fours, 24));
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
    _MM_TRANSPOSE4_PS(a, b, c, d);
    es_store(to, es_add(es_add(a, b), es_add(c, d)));
}

#endif
