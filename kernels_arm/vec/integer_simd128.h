/* integer.h in WebAssembly's SIMD128.
 *
 * The one fast product is i32x4.dot_i16x8, one instruction on x86 and two on ARM; lengthening bytes takes more than it.
 * So bytes stay where they are in lanes of 16 bits, one masked out and the other shifted or left in the high half, and
 * the numbers of x are shifted so that every product comes out times ES_PRODUCT_UNIT. */
#ifndef ES_INTEGER_SIMD128_H
#define ES_INTEGER_SIMD128_H

typedef v128_t es_bytes;
typedef v128_t es_words;
typedef v128_t es_products; /* of four rows, times ES_PRODUCT_UNIT */
typedef v128_t es_sums;
typedef struct es_columns { v128_t first, second; } es_columns;

enum { ES_PRODUCT_BITS = 8, ES_PRODUCT_UNIT = 1 << ES_PRODUCT_BITS };
/* x86 hosts have 16 registers. */
enum { ES_BLOCK_VECTORS = 4, ES_BLOCK_VECTORS_OF_MANY = 2, ES_BLOCK_VECTORS_OF_MANY_SIGNED = 2 };
/* Tiles, in pairs: 256 times 128 * 4 * 128 * 127, 1100 * 4 * 15 * 127 and 5500 * 4 * 3 * 127 are below 2^31. */
enum { ES_TILE_LIMIT_SIGNED = 128, ES_TILE_LIMIT_15 = 1100, ES_TILE_LIMIT_3 = 5500 };

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
static inline es_products es_no_products(void) { return wasm_i32x4_splat(0); }
static inline es_sums es_start_sums(int32_t from) { return wasm_i32x4_splat(from); }
static inline es_products es_add_dot(es_products sums, v128_t weights, v128_t x)
{
    return wasm_i32x4_add(sums, wasm_i32x4_dot_i16x8(weights, x));
}
/* Of every lane of 16 bits the low byte, and then the high one, which counts ES_PRODUCT_UNIT times in its place. */
static inline es_products es_dot(es_products sums, es_bytes weights, es_bytes x, bool is_signed)
{
    v128_t low = is_signed ? wasm_i16x8_shl(weights, 8) : wasm_v128_and(weights, wasm_i16x8_splat(0x00FF));
    v128_t high = wasm_v128_and(weights, wasm_i16x8_splat((int16_t)0xFF00));
    v128_t low_x = wasm_i16x8_shl(x, 8);
    sums = es_add_dot(sums, low, is_signed ? wasm_i16x8_shr(low_x, 8) : low_x);
    return es_add_dot(sums, high, wasm_i16x8_shr(x, 8));
}
static inline es_products es_dot_first(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    return es_dot(sums, weights, x.first, is_signed);
}
static inline es_products es_dot_second(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    return es_dot(sums, weights, x.second, is_signed);
}
#define ES_DOTS_NIBBLES 1
static inline es_products es_dot_nibbles(es_products sums, es_bytes pairs, es_columns x)
{
    const v128_t first_x = wasm_i16x8_shl(x.first, 8), second_x = wasm_i16x8_shl(x.second, 8);
    sums = es_add_dot(sums, wasm_v128_and(pairs, wasm_i16x8_splat(0x000F)), first_x);
    sums = es_add_dot(sums, wasm_v128_and(pairs, wasm_i16x8_splat(0x00F0)), wasm_i16x8_shr(second_x, 4));
    sums = es_add_dot(sums, wasm_v128_and(pairs, wasm_i16x8_splat(0x0F00)), wasm_i16x8_shr(x.first, 8));
    return es_add_dot(sums, wasm_u16x8_shr(pairs, 12), wasm_v128_and(x.second, wasm_i16x8_splat((int16_t)0xFF00)));
}
static inline es_sums es_add_products(es_sums sums, es_products products, bool is_signed)
{
    (void)is_signed;
    return wasm_i32x4_add(sums, wasm_i32x4_shr(products, ES_PRODUCT_BITS));
}
static inline es_words es_sum_rows(es_sums sums) { return sums; }
/* See es_half_to_float; scales are finite. */
#define ES_LOADS_SCALES 1
static inline es_f32 es_load_scales(const uint16_t *from)
{
    v128_t places = wasm_i32x4_shl(wasm_i32x4_load16x4(from), 13);
    return wasm_f32x4_mul(wasm_v128_and(places, wasm_i32x4_splat((int32_t)0x8FFFFFFF)), wasm_i32x4_splat(0x77800000));
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

/* Sixteen bytes by their places, four bits each. Engines take four instructions for a swizzle: the wider the better. */
#define ES_PICKS_SIXTEEN 1
typedef v128_t es_order;
static inline es_order es_load_order(const uint64_t *places)
{
    v128_t low = wasm_v128_load64_splat(places), high = wasm_u16x8_shr(low, 4);
    v128_t both = wasm_i8x16_shuffle(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return wasm_v128_and(both, wasm_i8x16_splat(15));
}
static inline void es_pick_sixteen(int8_t *to, const int8_t *from, es_order order)
{
    wasm_v128_store(to, wasm_i8x16_swizzle(wasm_v128_load(from), order));
}

#endif
