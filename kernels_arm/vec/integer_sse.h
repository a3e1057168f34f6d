/* integer.h in SSE2: bytes are widened to 16 bits, of which pmaddwd multiplies and adds pairs. */
#ifndef ES_INTEGER_SSE_H
#define ES_INTEGER_SSE_H

typedef __m128i es_bytes;
typedef __m128i es_words;
/* Two sums per row: rows 0 and 1, rows 2 and 3. */
typedef struct es_products { __m128i low, high; } es_products;
typedef es_products es_sums;
typedef struct es_columns { __m128i first, second; } es_columns; /* in 16 bits, twice */

enum { ES_BLOCK_VECTORS = 2, ES_BLOCK_VECTORS_OF_MANY = 1, ES_BLOCK_VECTORS_OF_MANY_SIGNED = 1 };
enum { ES_TILE_LIMIT_SIGNED = ES_NO_TILE_LIMIT };
enum { ES_TILE_LIMIT_15 = ES_NO_TILE_LIMIT, ES_TILE_LIMIT_3 = ES_NO_TILE_LIMIT };

static inline es_bytes es_load_integers(const void *from) { return _mm_loadu_si128((const __m128i *)from); }
static inline void es_split_nibbles(es_bytes pairs, es_bytes *low, es_bytes *high)
{
    __m128i mask = _mm_set1_epi8(15);
    *low = _mm_and_si128(pairs, mask);
    *high = _mm_and_si128(_mm_srli_epi16(pairs, 4), mask);
}
/* Bits 0 to 7 of a lane to 0, 6, 12 and 18 and on, without a carry between the copies. */
static inline es_bytes es_load_quarters(const uint8_t *from)
{
    int32_t bytes;
    memcpy(&bytes, from, sizeof bytes);
    __m128i zero = _mm_setzero_si128();
    __m128i rows = _mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), zero), zero);
    rows = _mm_or_si128(rows, _mm_slli_epi32(rows, 12));
    return _mm_and_si128(_mm_or_si128(rows, _mm_slli_epi32(rows, 6)), _mm_set1_epi8(3));
}
static inline __m128i es_widen_low(__m128i bytes) { return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8); }
static inline __m128i es_widen_high(__m128i bytes) { return _mm_srai_epi16(_mm_unpackhi_epi8(bytes, bytes), 8); }
static inline es_columns es_load_columns(const int8_t *x)
{
    __m128i wide = es_widen_low(_mm_loadl_epi64((const __m128i *)x));
    return (es_columns){_mm_unpacklo_epi64(wide, wide), _mm_unpackhi_epi64(wide, wide)};
}
static inline es_products es_no_products(void) { return (es_products){_mm_setzero_si128(), _mm_setzero_si128()}; }
static inline es_sums es_start_sums(int32_t from)
{
    __m128i once = _mm_set_epi32(0, from, 0, from);
    return (es_sums){once, once};
}
static inline es_products es_multiply_wide(es_products sums, es_bytes weights, __m128i x_low, __m128i x_high,
                                           bool is_signed)
{
    __m128i zero = _mm_setzero_si128();
    __m128i low = is_signed ? es_widen_low(weights) : _mm_unpacklo_epi8(weights, zero);
    __m128i high = is_signed ? es_widen_high(weights) : _mm_unpackhi_epi8(weights, zero);
    return (es_products){_mm_add_epi32(sums.low, _mm_madd_epi16(low, x_low)),
                         _mm_add_epi32(sums.high, _mm_madd_epi16(high, x_high))};
}
static inline es_products es_dot_first(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    return es_multiply_wide(sums, weights, x.first, x.first, is_signed);
}
static inline es_products es_dot_second(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    return es_multiply_wide(sums, weights, x.second, x.second, is_signed);
}
static inline es_products es_dot(es_products sums, es_bytes weights, es_bytes x, bool is_signed)
{
    return es_multiply_wide(sums, weights, es_widen_low(x), es_widen_high(x), is_signed);
}
static inline es_sums es_add_products(es_sums sums, es_products products, bool is_signed)
{
    (void)is_signed;
    return (es_sums){_mm_add_epi32(sums.low, products.low), _mm_add_epi32(sums.high, products.high)};
}
static inline es_words es_sum_rows(es_sums sums)
{
    __m128 low = _mm_castsi128_ps(sums.low), high = _mm_castsi128_ps(sums.high);
    return _mm_add_epi32(_mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0))),
                         _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1))));
}
static inline void es_store_words(int32_t *to, es_words a) { _mm_storeu_si128((__m128i *)to, a); }
static inline es_f32 es_to_float(es_words a) { return _mm_cvtepi32_ps(a); }
/* As unsigned bytes, which one instruction adds by eights. */
static inline es_words es_add_bytes(es_words sums, es_bytes bytes)
{
    __m128i eights = _mm_sad_epu8(_mm_xor_si128(bytes, _mm_set1_epi8((char)0x80)), _mm_setzero_si128());
    return _mm_add_epi32(sums, _mm_sub_epi32(eights, _mm_set_epi32(0, 8 * 128, 0, 8 * 128)));
}
static inline es_words es_no_words(void) { return _mm_setzero_si128(); }
static inline int32_t es_sum_lanes(es_words a)
{
    __m128i pairs = _mm_add_epi32(a, _mm_unpackhi_epi64(a, a));
    return _mm_cvtsi128_si32(_mm_add_epi32(pairs, _mm_shuffle_epi32(pairs, 1)));
}
static inline void es_store_lane_sums(int32_t *to, es_words a, es_words b, es_words c, es_words d, int32_t factor)
{
    to[0] = es_sum_lanes(a) * factor, to[1] = es_sum_lanes(b) * factor;
    to[2] = es_sum_lanes(c) * factor, to[3] = es_sum_lanes(d) * factor;
}
static inline void es_store_rounded(int8_t *to, es_f32 a)
{
    __m128i words = _mm_cvtps_epi32(a);
    __m128i halves = _mm_packs_epi32(words, words);
    int32_t bytes = _mm_cvtsi128_si32(_mm_packs_epi16(halves, halves));
    memcpy(to, &bytes, sizeof bytes);
}

#endif
