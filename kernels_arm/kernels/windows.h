/* Windows of pools that are clipped to the image. */
#ifndef ES_WINDOWS_H
#define ES_WINDOWS_H

#include "kernel.h"

/* Along one axis: window i has taps at i * stride - before + tap * dilation. */
typedef struct es_window_axis {
    int64_t kernel, stride, dilation, before;
    int64_t length;         /* of the image */
    int64_t count_length;   /* of what an average counts: image and padding after it */
    int64_t count_before;   /* padding in front that an average counts */
    int64_t windows;
} es_window_axis;

/* axis: 0 for rows, 1 for columns. */
static inline es_window_axis es_read_window(const es_launch *launch, int axis)
{
    const es_tensor *x = launch->in[0], *y = launch->out;
    es_window_axis window = {.kernel = es_word(launch, ES_W_KERNEL_H + axis),
                             .stride = es_word(launch, ES_W_STRIDE_H + axis),
                             .dilation = es_word(launch, ES_W_DILATION_H + axis),
                             .before = es_word(launch, ES_W_PAD_TOP + axis),
                             .length = (int64_t)x->shape[2 + axis],
                             .windows = (int64_t)y->shape[2 + axis]};
    window.count_length = window.length;
    if (launch->step->op == ES_AVG_POOL && es_word(launch, ES_AVG_COUNT_INCLUDE_PAD)) {
        window.count_before = window.before;
        window.count_length += es_word(launch, ES_AVG_PAD_BOTTOM + axis);
    }
    return window;
}

/* Number of taps of window i at places low … high - 1; *first is the number of the first. */
static inline int64_t es_taps_between(const es_window_axis *axis, int64_t i, int64_t low, int64_t high, int64_t *first)
{
    int64_t start = i * axis->stride - axis->before, d = axis->dilation;
    *first = start >= low ? 0 : (low - start + d - 1) / d;
    int64_t end = start >= high ? 0 : (high - start + d - 1) / d;
    if (end > axis->kernel) end = axis->kernel;
    return end > *first ? end - *first : 0;
}

static inline int64_t es_taps_inside(const es_window_axis *axis, int64_t i, int64_t *first)
{
    return es_taps_between(axis, i, 0, axis->length, first);
}

/* How many pixels along this axis an average of window i divides by. */
static inline int64_t es_taps_counted(const es_window_axis *axis, int64_t i)
{
    int64_t first;
    return es_taps_between(axis, i, -axis->count_before, axis->count_length, &first);
}

#endif
