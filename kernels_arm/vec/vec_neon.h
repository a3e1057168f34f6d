/* vec.h in NEON of ARMv8.0. */
#ifndef ES_VEC_NEON_H
#define ES_VEC_NEON_H

#include <arm_neon.h>

#define ES_LANES 4
#define ES_HAS_FMA 1

typedef float32x4_t es_f32;

static inline es_f32 es_splat(float a) { return vdupq_n_f32(a); }
static inline es_f32 es_load(const float *from) { return vld1q_f32(from); }
static inline void es_store(float *to, es_f32 a) { vst1q_f32(to, a); }
static inline es_f32 es_add(es_f32 a, es_f32 b) { return vaddq_f32(a, b); }
static inline es_f32 es_sub(es_f32 a, es_f32 b) { return vsubq_f32(a, b); }
static inline es_f32 es_mul(es_f32 a, es_f32 b) { return vmulq_f32(a, b); }
static inline es_f32 es_div(es_f32 a, es_f32 b) { return vdivq_f32(a, b); }
static inline es_f32 es_sqrt(es_f32 a) { return vsqrtq_f32(a); }
static inline es_f32 es_fma(es_f32 a, es_f32 b, es_f32 c) { return vfmaq_f32(c, a, b); }
static inline es_f32 es_fma_scalar(es_f32 a, float b, es_f32 c) { return vfmaq_n_f32(c, a, b); }
static inline es_f32 es_min(es_f32 a, es_f32 b) { return vminq_f32(a, b); }
static inline es_f32 es_max(es_f32 a, es_f32 b) { return vmaxq_f32(a, b); }
static inline es_f32 es_round(es_f32 a) { return vrndnq_f32(a); }
static inline es_f32 es_power_of_two(es_f32 a)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(a), vdupq_n_s32(127)), 23));
}
static inline es_f32 es_select_less(es_f32 a, es_f32 b, es_f32 c, es_f32 d) { return vbslq_f32(vcltq_f32(a, b), c, d); }
static inline void es_load_even_odd(const float *from, es_f32 *even, es_f32 *odd)
{
    float32x4x2_t both = vld2q_f32(from);
    *even = both.val[0];
    *odd = both.val[1];
}
static inline es_f32 es_next_lane(es_f32 a, es_f32 b) { return vextq_f32(a, b, 1); }
static inline float es_sum(es_f32 a)
{
    float32x2_t pairs = vpadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(vpadd_f32(pairs, pairs), 0);
}
static inline float es_largest(es_f32 a) { return vmaxvq_f32(a); }
static inline es_f32 es_load_half(const uint16_t *from) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from))); }
static inline es_f32 es_load_bytes(const int8_t *from, int part)
{
    int16x8_t pairs = vmovl_s8(vld1_s8(from));
    return vcvtq_f32_s32(part ? vmovl_high_s16(pairs) : vmovl_s16(vget_low_s16(pairs)));
}
static inline void es_store_half(uint16_t *to, es_f32 a) { vst1_u16(to, vreinterpret_u16_f16(vcvt_f16_f32(a))); }
static inline void es_store_sums(float *to, es_f32 a, es_f32 b, es_f32 c, es_f32 d)
{
    vst1q_f32(to, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}

#endif
