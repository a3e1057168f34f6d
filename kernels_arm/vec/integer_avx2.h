/* integer.h in AVX2: unsigned by signed bytes, pairs of products in 16 bits. */
#ifndef ES_INTEGER_AVX2_H
#define ES_INTEGER_AVX2_H

typedef __m256i es_bytes;
typedef __m256i es_words;
typedef __m256i es_products; /* in 16 bits, two per row; of signed weights in 32 bits */
typedef __m256i es_sums;
typedef struct es_columns { __m256i first, second; } es_columns;

enum { ES_BLOCK_VECTORS = 4, ES_BLOCK_VECTORS_OF_MANY = 2, ES_BLOCK_VECTORS_OF_MANY_SIGNED = 2 };
/* Tiles, in pairs: 8 * 2 * 15 * 127 and 42 * 2 * 3 * 127 are below 2^15. */
enum { ES_TILE_LIMIT_SIGNED = ES_NO_TILE_LIMIT, ES_TILE_LIMIT_15 = 8, ES_TILE_LIMIT_3 = 42 };

static inline es_bytes es_load_integers(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }
static inline void es_split_nibbles(es_bytes pairs, es_bytes *low, es_bytes *high)
{
    __m256i mask = _mm256_set1_epi8(15);
    *low = _mm256_and_si256(pairs, mask);
    *high = _mm256_and_si256(_mm256_srli_epi16(pairs, 4), mask);
}
/* Bits 0 to 7 of a lane to 0, 6, 12 and 18 and on, without a carry between the copies. */
static inline es_bytes es_load_quarters(const uint8_t *from)
{
    __m256i rows = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from));
    rows = _mm256_or_si256(rows, _mm256_slli_epi32(rows, 12));
    return _mm256_and_si256(_mm256_or_si256(rows, _mm256_slli_epi32(rows, 6)), _mm256_set1_epi8(3));
}
static inline es_columns es_load_columns(const int8_t *x)
{
    int32_t words[2];
    memcpy(words, x, sizeof words);
    return (es_columns){_mm256_set1_epi32(words[0]), _mm256_set1_epi32(words[1])};
}
static inline es_products es_no_products(void) { return _mm256_setzero_si256(); }
static inline es_sums es_start_sums(int32_t from) { return _mm256_set1_epi32(from); }
/* Of signed weights the sign goes to x: 2 * 128 * 127 still fits 16 bits. */
static inline es_products es_dot(es_products sums, es_bytes weights, es_bytes x, bool is_signed)
{
    if (!is_signed) return _mm256_add_epi16(sums, _mm256_maddubs_epi16(weights, x));
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
static inline es_products es_dot_first(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    return es_dot(sums, weights, x.first, is_signed);
}
static inline es_products es_dot_second(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    return es_dot(sums, weights, x.second, is_signed);
}
static inline es_sums es_add_products(es_sums sums, es_products products, bool is_signed)
{
    if (!is_signed) products = _mm256_madd_epi16(products, _mm256_set1_epi16(1));
    return _mm256_add_epi32(sums, products);
}
static inline es_words es_sum_rows(es_sums sums) { return sums; }
static inline void es_store_words(int32_t *to, es_words a) { _mm256_storeu_si256((__m256i *)to, a); }
static inline es_f32 es_to_float(es_words a) { return _mm256_cvtepi32_ps(a); }
static inline es_words es_add_bytes(es_words sums, es_bytes bytes)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
static inline es_words es_no_words(void) { return _mm256_setzero_si256(); }
static inline int32_t es_sum_lanes(es_words a)
{
    __m128i fours = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    __m128i pairs = _mm_add_epi32(fours, _mm_unpackhi_epi64(fours, fours));
    return _mm_cvtsi128_si32(_mm_add_epi32(pairs, _mm_shuffle_epi32(pairs, 1)));
}
static inline void es_store_lane_sums(int32_t *to, es_words a, es_words b, es_words c, es_words d, int32_t factor)
{
    __m256i halves = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
    _mm_storeu_si128((__m128i *)to, _mm_mullo_epi32(sums, _mm_set1_epi32(factor)));
}
static inline void es_store_rounded(int8_t *to, es_f32 a)
{
    __m256i words = _mm256_cvtps_epi32(a);
    __m128i halves = _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64((__m128i *)to, _mm_packs_epi16(halves, halves));
}

#define ES_PICKS_BYTES 1
static inline void es_pick_bytes(int8_t *to, const int8_t *from, uint64_t order)
{
    __m128i chosen = _mm_shuffle_epi8(_mm_loadl_epi64((const __m128i *)from), _mm_cvtsi64_si128((long long)order));
    _mm_storel_epi64((__m128i *)to, chosen);
}

#endif
