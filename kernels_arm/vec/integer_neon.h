/* integer.h in NEON of ARMv8.0: products are summed in 16 bits for as long as they fit. */
#ifndef ES_INTEGER_NEON_H
#define ES_INTEGER_NEON_H

#include "integer_arm.h"

/* Rows 0 and 1, rows 2 and 3, four columns each. */
typedef struct es_products { int16x8_t low, high; } es_products;
/* Two sums per row. */
typedef struct es_sums { int32x4_t low, high; } es_sums;
typedef struct es_columns { int8x16_t first, second; } es_columns;

/* A sum takes two registers here; of signed weights products and sums are needed at the same time. */
enum { ES_BLOCK_VECTORS = 4, ES_BLOCK_VECTORS_OF_MANY = 2, ES_BLOCK_VECTORS_OF_MANY_SIGNED = 1 };
/* Tiles, in pairs: 2 * 128 * 127, 16 * 15 * 127 and 84 * 3 * 127 are below 2^15. */
enum { ES_TILE_LIMIT_SIGNED = 2, ES_TILE_LIMIT_15 = 16, ES_TILE_LIMIT_3 = 84 };

static inline int8x16_t es_repeat_column_word(const int8_t *x)
{
    int32_t word;
    memcpy(&word, x, sizeof word);
    int8x16_t columns = vreinterpretq_s8_s32(vdupq_n_s32(word));
    /* Clang sees that both halves are equal and moves the weights' upper half down instead of using smlal2: 13 % more
     * instructions. Here it cannot see it. */
    __asm__("" : "+w"(columns));
    return columns;
}
static inline es_columns es_load_columns(const int8_t *x)
{
    return (es_columns){es_repeat_column_word(x), es_repeat_column_word(x + 4)};
}
static inline es_products es_no_products(void) { return (es_products){vdupq_n_s16(0), vdupq_n_s16(0)}; }
static inline es_sums es_start_sums(int32_t from)
{
    int32x4_t once = vreinterpretq_s32_s64(vdupq_n_s64((int64_t)(uint32_t)from));
    return (es_sums){once, once};
}
static inline es_products es_multiply_add(es_products sums, int8x16_t weights, int8x16_t x)
{
    sums.low = vmlal_s8(sums.low, vget_low_s8(weights), vget_low_s8(x));
    sums.high = vmlal_high_s8(sums.high, weights, x);
    return sums;
}
static inline es_products es_dot_first(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    (void)is_signed;
    return es_multiply_add(sums, vreinterpretq_s8_u8(weights), x.first);
}
static inline es_products es_dot_second(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    (void)is_signed;
    return es_multiply_add(sums, vreinterpretq_s8_u8(weights), x.second);
}
static inline es_products es_dot(es_products sums, es_bytes weights, es_bytes x, bool is_signed)
{
    (void)is_signed;
    return es_multiply_add(sums, vreinterpretq_s8_u8(weights), vreinterpretq_s8_u8(x));
}
static inline es_sums es_add_products(es_sums sums, es_products products, bool is_signed)
{
    (void)is_signed;
    return (es_sums){vpadalq_s16(sums.low, products.low), vpadalq_s16(sums.high, products.high)};
}
static inline es_words es_sum_rows(es_sums sums) { return vpaddq_s32(sums.low, sums.high); }
static inline es_words es_add_bytes(es_words sums, es_bytes bytes)
{
    return vpadalq_s16(sums, vpaddlq_s8(vreinterpretq_s8_u8(bytes)));
}

#endif
