/* integer.h in NEON with the dot products of ARMv8.2: four products and their sum are one instruction. */
#ifndef ES_INTEGER_DOTPROD_H
#define ES_INTEGER_DOTPROD_H

#include "integer_arm.h"

typedef int32x4_t es_products;
typedef int32x4_t es_sums;
typedef int8x8_t es_columns;

/* Sums, the weights of a vector and the columns of all tokens fit 32 registers. */
enum { ES_BLOCK_VECTORS = 4, ES_BLOCK_VECTORS_OF_MANY = 4, ES_BLOCK_VECTORS_OF_MANY_SIGNED = 4 };
enum { ES_TILE_LIMIT_SIGNED = ES_NO_TILE_LIMIT };
enum { ES_TILE_LIMIT_15 = ES_NO_TILE_LIMIT, ES_TILE_LIMIT_3 = ES_NO_TILE_LIMIT };

static inline es_columns es_load_columns(const int8_t *x) { return vld1_s8(x); }
static inline es_products es_no_products(void) { return vdupq_n_s32(0); }
static inline es_sums es_start_sums(int32_t from) { return vdupq_n_s32(from); }
static inline es_products es_dot_first(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    (void)is_signed;
    return vdotq_lane_s32(sums, vreinterpretq_s8_u8(weights), x, 0);
}
static inline es_products es_dot_second(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    (void)is_signed;
    return vdotq_lane_s32(sums, vreinterpretq_s8_u8(weights), x, 1);
}
static inline es_products es_dot(es_products sums, es_bytes weights, es_bytes x, bool is_signed)
{
    (void)is_signed;
    return vdotq_s32(sums, vreinterpretq_s8_u8(weights), vreinterpretq_s8_u8(x));
}
static inline es_sums es_add_products(es_sums sums, es_products products, bool is_signed)
{
    (void)is_signed;
    return vaddq_s32(sums, products);
}
static inline es_words es_sum_rows(es_sums sums) { return sums; }
static inline es_words es_add_bytes(es_words sums, es_bytes bytes)
{
    return vdotq_s32(sums, vreinterpretq_s8_u8(bytes), vdupq_n_s8(1));
}

#endif
