/* Activations, as the last act of a step: bounds in the registers, the others as one pass over what was written. */
#ifndef ES_ACTIVATION_H
#define ES_ACTIVATION_H

#include <math.h>

#include "kernel.h"
#include "vec_math.h"

/* NONE, RELU and CLAMP are bounds, infinite where there is none; any other kind has infinite bounds and a function. */
typedef struct es_epilogue {
    es_activation kind;
    float low, high;
} es_epilogue;

/* word: that of the activation; the clamps follow it. */
static inline es_epilogue es_read_epilogue(const es_step *step, int word)
{
    es_epilogue epilogue = {(es_activation)step->words[word], -INFINITY, INFINITY};
    if (epilogue.kind == ES_ACT_RELU) epilogue.low = 0;
    if (epilogue.kind != ES_ACT_CLAMP) return epilogue;
    epilogue.low = es_word_float(step->words[word + 1]);
    epilogue.high = es_word_float(step->words[word + 2]);
    return epilogue;
}

static inline bool es_epilogue_is_bounds(es_epilogue epilogue) { return epilogue.kind <= ES_ACT_CLAMP; }

/* All that bounds need; harmless for functions. NaN stays. */
ES_INLINE es_f32 es_bound(es_f32 a, es_f32 low, es_f32 high) { return es_min(es_max(a, low), high); }

ES_INLINE es_f32 es_hardsigmoid(es_f32 a)
{
    return es_bound(es_fma(a, es_splat(1.0f / 6), es_splat(0.5f)), es_splat(0.0f), es_splat(1.0f));
}

/* The function of a kind that is no bounds. */
ES_INLINE es_f32 es_activation_function(es_activation kind, es_f32 a)
{
    switch (kind) {
    case ES_ACT_HARDSWISH: return es_mul(a, es_hardsigmoid(a));
    case ES_ACT_HARDSIGMOID: return es_hardsigmoid(a);
    case ES_ACT_SIGMOID: return es_sigmoid(a);
    case ES_ACT_SILU: return es_mul(a, es_sigmoid(a));
    case ES_ACT_TANH: return es_tanh(a);
    case ES_ACT_GELU: return es_mul(a, es_normal_share(a));
    default: return a;
    }
}

/* One loop per kind, so that the loop has no branch in it. */
#define ES_ACTIVATION_ROW(kind_)                                                                      \
    case kind_:                                                                                       \
        for (; at + ES_LANES <= count; at += ES_LANES)                                                \
            es_store(row + at, es_activation_function(kind_, es_load(row + at)));                     \
        if (at < count)                                                                               \
            es_store_first(row + at, es_activation_function(kind_, es_load_first(row + at, (int)(count - at))), \
                           (int)(count - at));                                                        \
        break;

/* Apply a function to a row in place, after the kernel wrote it; nothing for bounds, which the kernel applied. */
static inline void es_activate_row(es_epilogue epilogue, float *row, int64_t count)
{
    int64_t at = 0;
    switch (epilogue.kind) {
        ES_ACTIVATION_ROW(ES_ACT_HARDSWISH)
        ES_ACTIVATION_ROW(ES_ACT_HARDSIGMOID)
        ES_ACTIVATION_ROW(ES_ACT_SIGMOID)
        ES_ACTIVATION_ROW(ES_ACT_SILU)
        ES_ACTIVATION_ROW(ES_ACT_TANH)
        ES_ACTIVATION_ROW(ES_ACT_GELU)
    default: break;
    }
}
#undef ES_ACTIVATION_ROW

/* One vector, whatever the kind. */
ES_INLINE es_f32 es_activate(es_epilogue epilogue, es_f32 a)
{
    if (es_epilogue_is_bounds(epilogue)) return es_bound(a, es_splat(epilogue.low), es_splat(epilogue.high));
    return es_activation_function(epilogue.kind, a);
}

#endif
