/* What integer.h is in both forms of NEON. */
#ifndef ES_INTEGER_ARM_H
#define ES_INTEGER_ARM_H

typedef uint8x16_t es_bytes;
typedef int32x4_t es_words;

static inline es_bytes es_load_integers(const void *from) { return vld1q_u8(from); }
static inline void es_split_nibbles(es_bytes pairs, es_bytes *low, es_bytes *high)
{
    *low = vandq_u8(pairs, vdupq_n_u8(15));
    *high = vshrq_n_u8(pairs, 4);
}
static inline es_bytes es_load_quarters(const uint8_t *from)
{
    static const uint8_t row[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
    static const int8_t shift[16] = {0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6};
    uint32_t rows;
    memcpy(&rows, from, sizeof rows);
    uint8x16_t spread = vqtbl1q_u8(vreinterpretq_u8_u32(vdupq_n_u32(rows)), vld1q_u8(row));
    return vandq_u8(vshlq_u8(spread, vld1q_s8(shift)), vdupq_n_u8(3));
}
static inline es_words es_no_words(void) { return vdupq_n_s32(0); }
static inline int32_t es_sum_lanes(es_words a) { return vaddvq_s32(a); }
static inline void es_store_lane_sums(int32_t *to, es_words a, es_words b, es_words c, es_words d, int32_t factor)
{
    vst1q_s32(to, vmulq_n_s32(vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)), factor));
}
static inline void es_store_words(int32_t *to, es_words a) { vst1q_s32(to, a); }
static inline es_f32 es_to_float(es_words a) { return vcvtq_f32_s32(a); }
static inline void es_store_rounded(int8_t *to, es_f32 a)
{
    int16x4_t words = vmovn_s32(vcvtnq_s32_f32(a));
    uint32_t bytes = vget_lane_u32(vreinterpret_u32_s8(vmovn_s16(vcombine_s16(words, words))), 0);
    memcpy(to, &bytes, sizeof bytes);
}

/* Sixteen bytes are read: a table of eight would need a move. */
#define ES_PICKS_BYTES 1
static inline void es_pick_bytes(int8_t *to, const int8_t *from, uint64_t order)
{
    vst1_s8(to, vqtbl1_s8(vld1q_s8(from), vcreate_u8(order)));
}

#endif
