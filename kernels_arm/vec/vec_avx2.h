/* vec.h in AVX2 with FMA and F16C. */
#ifndef ES_VEC_AVX2_H
#define ES_VEC_AVX2_H

#include <immintrin.h>

#define ES_LANES 8
#define ES_HAS_FMA 1

typedef __m256 es_f32;

static inline es_f32 es_splat(float a) { return _mm256_set1_ps(a); }
static inline es_f32 es_load(const float *from) { return _mm256_loadu_ps(from); }
static inline void es_store(float *to, es_f32 a) { _mm256_storeu_ps(to, a); }
static inline es_f32 es_add(es_f32 a, es_f32 b) { return _mm256_add_ps(a, b); }
static inline es_f32 es_sub(es_f32 a, es_f32 b) { return _mm256_sub_ps(a, b); }
static inline es_f32 es_mul(es_f32 a, es_f32 b) { return _mm256_mul_ps(a, b); }
static inline es_f32 es_div(es_f32 a, es_f32 b) { return _mm256_div_ps(a, b); }
static inline es_f32 es_sqrt(es_f32 a) { return _mm256_sqrt_ps(a); }
static inline es_f32 es_fma(es_f32 a, es_f32 b, es_f32 c) { return _mm256_fmadd_ps(a, b, c); }
static inline es_f32 es_fma_scalar(es_f32 a, float b, es_f32 c) { return es_fma(a, _mm256_set1_ps(b), c); }
/* The second operand comes out when either is NaN. */
static inline es_f32 es_min(es_f32 a, es_f32 b) { return _mm256_min_ps(b, a); }
static inline es_f32 es_max(es_f32 a, es_f32 b) { return _mm256_max_ps(b, a); }
static inline es_f32 es_round(es_f32 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline es_f32 es_power_of_two(es_f32 a)
{
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
static inline es_f32 es_select_less(es_f32 a, es_f32 b, es_f32 c, es_f32 d)
{
    return _mm256_blendv_ps(d, c, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
static inline void es_load_even_odd(const float *from, es_f32 *even, es_f32 *odd)
{
    __m256 low = _mm256_loadu_ps(from), high = _mm256_loadu_ps(from + 8);
    __m256d evens = _mm256_castps_pd(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)));
    __m256d odds = _mm256_castps_pd(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
    *even = _mm256_castpd_ps(_mm256_permute4x64_pd(evens, _MM_SHUFFLE(3, 1, 2, 0)));
    *odd = _mm256_castpd_ps(_mm256_permute4x64_pd(odds, _MM_SHUFFLE(3, 1, 2, 0)));
}
static inline es_f32 es_next_lane(es_f32 a, es_f32 b)
{
    __m256i middle = _mm256_castps_si256(_mm256_permute2f128_ps(a, b, 0x21));
    return _mm256_castsi256_ps(_mm256_alignr_epi8(middle, _mm256_castps_si256(a), 4));
}
static inline float es_sum(es_f32 a)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    __m128 pairs = _mm_add_ps(half, _mm_shuffle_ps(half, half, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehl_ps(pairs, pairs)));
}
static inline float es_largest(es_f32 a)
{
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    __m128 pairs = _mm_max_ps(half, _mm_shuffle_ps(half, half, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtss_f32(_mm_max_ss(pairs, _mm_movehl_ps(pairs, pairs)));
}
static inline es_f32 es_load_half(const uint16_t *from)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from));
}
static inline es_f32 es_load_bytes(const int8_t *from, int part)
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(from + 8 * part));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}
static inline void es_store_half(uint16_t *to, es_f32 a)
{
    _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline void es_store_sums(float *to, es_f32 a, es_f32 b, es_f32 c, es_f32 d)
{
    __m256 fours = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(fours), _mm256_extractf128_ps(fours, 1)));
}

#endif
