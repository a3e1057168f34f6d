/* vec.h in plain C: the slow twin of the others. */
#ifndef ES_VEC_SCALAR_H
#define ES_VEC_SCALAR_H

#include <math.h>

#define ES_LANES 4

typedef struct es_f32 { float lane[4]; } es_f32;

#define ES_SCALAR_EACH(expression)                                  \
    es_f32 r;                                                       \
    for (int i = 0; i < 4; i++) r.lane[i] = (expression);           \
    return r

static inline es_f32 es_splat(float a) { ES_SCALAR_EACH(a); }
static inline es_f32 es_load(const float *from) { ES_SCALAR_EACH(from[i]); }
static inline void es_store(float *to, es_f32 a) { for (int i = 0; i < 4; i++) to[i] = a.lane[i]; }
static inline es_f32 es_add(es_f32 a, es_f32 b) { ES_SCALAR_EACH(a.lane[i] + b.lane[i]); }
static inline es_f32 es_sub(es_f32 a, es_f32 b) { ES_SCALAR_EACH(a.lane[i] - b.lane[i]); }
static inline es_f32 es_mul(es_f32 a, es_f32 b) { ES_SCALAR_EACH(a.lane[i] * b.lane[i]); }
static inline es_f32 es_div(es_f32 a, es_f32 b) { ES_SCALAR_EACH(a.lane[i] / b.lane[i]); }
static inline es_f32 es_sqrt(es_f32 a) { ES_SCALAR_EACH(sqrtf(a.lane[i])); }
/* a * b + c */
static inline es_f32 es_fma(es_f32 a, es_f32 b, es_f32 c) { ES_SCALAR_EACH(a.lane[i] * b.lane[i] + c.lane[i]); }
/* a * one number + c; on NEON the number comes from a lane of a register */
static inline es_f32 es_fma_scalar(es_f32 a, float b, es_f32 c) { return es_fma(a, es_splat(b), c); }
/* NaN in a gives NaN */
static inline es_f32 es_min(es_f32 a, es_f32 b) { ES_SCALAR_EACH(b.lane[i] < a.lane[i] ? b.lane[i] : a.lane[i]); }
static inline es_f32 es_max(es_f32 a, es_f32 b) { ES_SCALAR_EACH(b.lane[i] > a.lane[i] ? b.lane[i] : a.lane[i]); }
/* to the nearest whole number, ties to even, for magnitudes below 2^22 */
static inline es_f32 es_round(es_f32 a) { ES_SCALAR_EACH((a.lane[i] + 12582912.0f) - 12582912.0f); }
/* 2^a for whole numbers a from -126 to 127 */
static inline es_f32 es_power_of_two(es_f32 a)
{
    es_f32 r;
    for (int i = 0; i < 4; i++) {
        union { int32_t bits; float number; } power = {((int32_t)a.lane[i] + 127) << 23};
        r.lane[i] = power.number;
    }
    return r;
}
/* a < b ? c : d, lane by lane */
static inline es_f32 es_select_less(es_f32 a, es_f32 b, es_f32 c, es_f32 d)
{
    ES_SCALAR_EACH(a.lane[i] < b.lane[i] ? c.lane[i] : d.lane[i]);
}
/* Of the 2 * ES_LANES floats at from, those with even and with odd numbers. */
static inline void es_load_even_odd(const float *from, es_f32 *even, es_f32 *odd)
{
    for (int i = 0; i < 4; i++) {
        even->lane[i] = from[2 * i];
        odd->lane[i] = from[2 * i + 1];
    }
}
/* The lanes of a but the first, then the first of b. */
static inline es_f32 es_next_lane(es_f32 a, es_f32 b) { ES_SCALAR_EACH(i < 3 ? a.lane[i + 1] : b.lane[0]); }
static inline float es_sum(es_f32 a) { return (a.lane[0] + a.lane[1]) + (a.lane[2] + a.lane[3]); }
static inline float es_largest(es_f32 a)
{
    float m = a.lane[0];
    for (int i = 1; i < 4; i++) m = a.lane[i] > m ? a.lane[i] : m;
    return m;
}

static inline float es_half_to_float(uint16_t half);
/* ES_LANES halves */
static inline es_f32 es_load_half(const uint16_t *from) { ES_SCALAR_EACH(es_half_to_float(from[i])); }
/* part 0 or 1 of 2 * ES_LANES signed bytes; both parts together may cost less than twice one */
static inline es_f32 es_load_bytes(const int8_t *from, int part) { ES_SCALAR_EACH((float)from[4 * part + i]); }
static inline uint16_t es_float_to_half(float number);
/* ES_LANES halves, the nearest ones, ties to even; infinity for what is too large */
static inline void es_store_half(uint16_t *to, es_f32 a)
{
    for (int i = 0; i < 4; i++) to[i] = es_float_to_half(a.lane[i]);
}
/* the sums of four vectors */
static inline void es_store_sums(float *to, es_f32 a, es_f32 b, es_f32 c, es_f32 d)
{
    to[0] = es_sum(a), to[1] = es_sum(b), to[2] = es_sum(c), to[3] = es_sum(d);
}

#endif
