/* integer.h in WebAssembly's SIMD128, arranged as on NEON of ARMv8.0. */
#ifndef ES_INTEGER_SIMD128_H
#define ES_INTEGER_SIMD128_H

typedef v128_t es_bytes;
typedef v128_t es_words;
typedef struct es_products { v128_t low, high; } es_products;
typedef struct es_sums { v128_t low, high; } es_sums;
typedef struct es_columns { v128_t first, second; } es_columns;

/* x86 hosts have 16 registers. */
enum { ES_BLOCK_VECTORS = 2, ES_BLOCK_VECTORS_OF_MANY = 1, ES_BLOCK_VECTORS_OF_MANY_SIGNED = 1 };
/* See integer_neon.h. */
enum { ES_TILE_LIMIT_SIGNED = 2, ES_TILE_LIMIT_15 = 16, ES_TILE_LIMIT_3 = 84 };

static inline es_bytes es_load_integers(const void *from) { return wasm_v128_load(from); }
static inline void es_split_nibbles(es_bytes pairs, es_bytes *low, es_bytes *high)
{
    *low = wasm_v128_and(pairs, wasm_i8x16_splat(15));
    *high = wasm_u8x16_shr(pairs, 4);
}
/* Bits 0 to 7 of a lane to 0, 6, 12 and 18 and on, without a carry between the copies. */
static inline es_bytes es_load_quarters(const uint8_t *from)
{
    v128_t rows = wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(from)));
    rows = wasm_v128_or(rows, wasm_i32x4_shl(rows, 12));
    return wasm_v128_and(wasm_v128_or(rows, wasm_i32x4_shl(rows, 6)), wasm_i8x16_splat(3));
}
static inline es_columns es_load_columns(const int8_t *x)
{
    return (es_columns){wasm_v128_load32_splat(x), wasm_v128_load32_splat(x + 4)};
}
static inline es_products es_no_products(void) { return (es_products){wasm_i16x8_splat(0), wasm_i16x8_splat(0)}; }
static inline es_sums es_start_sums(int32_t from)
{
    v128_t once = wasm_i64x2_splat((int64_t)(uint32_t)from);
    return (es_sums){once, once};
}
static inline es_products es_dot(es_products sums, es_bytes weights, es_bytes x, bool is_signed)
{
    (void)is_signed;
    return (es_products){wasm_i16x8_add(sums.low, wasm_i16x8_extmul_low_i8x16(weights, x)),
                         wasm_i16x8_add(sums.high, wasm_i16x8_extmul_high_i8x16(weights, x))};
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
    (void)is_signed;
    return (es_sums){wasm_i32x4_add(sums.low, wasm_i32x4_extadd_pairwise_i16x8(products.low)),
                     wasm_i32x4_add(sums.high, wasm_i32x4_extadd_pairwise_i16x8(products.high))};
}
static inline es_words es_sum_rows(es_sums sums)
{
    return wasm_i32x4_add(wasm_i32x4_shuffle(sums.low, sums.high, 0, 2, 4, 6),
                          wasm_i32x4_shuffle(sums.low, sums.high, 1, 3, 5, 7));
}
static inline void es_store_words(int32_t *to, es_words a) { wasm_v128_store(to, a); }
static inline es_f32 es_to_float(es_words a) { return wasm_f32x4_convert_i32x4(a); }
static inline es_words es_add_bytes(es_words sums, es_bytes bytes)
{
    return wasm_i32x4_add(sums, wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extadd_pairwise_i8x16(bytes)));
}
static inline es_words es_no_words(void) { return wasm_i32x4_splat(0); }
static inline int32_t es_sum_lanes(es_words a)
{
    return wasm_i32x4_extract_lane(a, 0) + wasm_i32x4_extract_lane(a, 1) + wasm_i32x4_extract_lane(a, 2) +
           wasm_i32x4_extract_lane(a, 3);
}
static inline void es_store_lane_sums(int32_t *to, es_words a, es_words b, es_words c, es_words d, int32_t factor)
{
    v128_t ab = wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
    v128_t cd = wasm_i32x4_add(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
    v128_t sums = wasm_i32x4_add(wasm_i32x4_shuffle(ab, cd, 0, 1, 4, 5), wasm_i32x4_shuffle(ab, cd, 2, 3, 6, 7));
    wasm_v128_store(to, wasm_i32x4_mul(sums, wasm_i32x4_splat(factor)));
}
static inline void es_store_rounded(int8_t *to, es_f32 a)
{
    v128_t words = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(a));
    v128_t halves = wasm_i16x8_narrow_i32x4(words, words);
    wasm_v128_store32_lane(to, wasm_i8x16_narrow_i16x8(halves, halves), 0);
}

#define ES_PICKS_BYTES 1
static inline void es_pick_bytes(int8_t *to, const int8_t *from, uint64_t order)
{
    v128_t chosen = wasm_i8x16_swizzle(wasm_v128_load64_zero(from), wasm_i64x2_splat((int64_t)order));
    wasm_v128_store64_lane(to, chosen, 0);
}

#endif
