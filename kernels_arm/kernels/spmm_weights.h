/* The weights of one kept column for a register tile: in registers by lane on NEON, broadcast from memory elsewhere. */
#ifndef ES_SPMM_WEIGHTS_H
#define ES_SPMM_WEIGHTS_H

#include "vec.h"

#if defined(ES_VEC_NEON_H)

typedef struct es_weights { float32x4_t rows[2]; } es_weights;

ES_INLINE es_weights es_load_weights(const float *from, const int rows)
{
    es_weights weights;
    if (rows == 1) weights.rows[0] = vld1q_dup_f32(from);
    if (rows == 2) weights.rows[0] = vcombine_f32(vld1_f32(from), vdup_n_f32(0));
    if (rows >= 4) weights.rows[0] = vld1q_f32(from);
    weights.rows[1] = rows == 8 ? vld1q_f32(from + 4) : weights.rows[0];
    return weights;
}

/* a * the weight of a row + c. vfmaq_n_f32 would cost a broadcast of its own. */
ES_INLINE es_f32 es_fma_row(es_f32 a, const es_weights *weights, const int row, es_f32 c)
{
    switch (row) {
    case 0: return vfmaq_laneq_f32(c, a, weights->rows[0], 0);
    case 1: return vfmaq_laneq_f32(c, a, weights->rows[0], 1);
    case 2: return vfmaq_laneq_f32(c, a, weights->rows[0], 2);
    case 3: return vfmaq_laneq_f32(c, a, weights->rows[0], 3);
    case 4: return vfmaq_laneq_f32(c, a, weights->rows[1], 0);
    case 5: return vfmaq_laneq_f32(c, a, weights->rows[1], 1);
    case 6: return vfmaq_laneq_f32(c, a, weights->rows[1], 2);
    default: return vfmaq_laneq_f32(c, a, weights->rows[1], 3);
    }
}

#else

typedef struct es_weights { const float *rows; } es_weights;

ES_INLINE es_weights es_load_weights(const float *from, const int rows)
{
    (void)rows;
    return (es_weights){from};
}

ES_INLINE es_f32 es_fma_row(es_f32 a, const es_weights *weights, const int row, es_f32 c)
{
    return es_fma_scalar(a, weights->rows[row], c);
}

#endif
#endif
