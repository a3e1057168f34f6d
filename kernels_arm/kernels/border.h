/* The zero border of an image: every kernel that writes an image writes it too. */
#ifndef ES_BORDER_H
#define ES_BORDER_H

#include <string.h>

#include "kernel.h"

static inline bool es_has_border(const es_tensor *image)
{
    const es_border *border = &image->border;
    return border->top || border->left || border->bottom || border->right;
}

/* Pixels first … end - 1 after pixel (0, 0): in CHW elements, in NHWC all channels of each. */
static inline void es_zero_pixels(const es_tensor *image, float *origin, int64_t first, int64_t end)
{
    if (first >= end) return;
    int64_t pixel = (int64_t)image->strides[3];
    size_t channels = image->layout == ES_NHWC ? (size_t)image->shape[1] : 1;
    if (end - first <= 2 && channels == 1) { /* the gap between two rows, mostly: a call would cost more */
        origin[first * pixel] = 0;
        origin[(end - 1) * pixel] = 0;
        return;
    }
    if (pixel == (int64_t)channels) {
        memset(origin + first * pixel, 0, (size_t)(end - first) * channels * sizeof(float));
        return;
    }
    for (int64_t at = first; at < end; at++) memset(origin + at * pixel, 0, channels * sizeof(float));
}

/* What belongs to rows begin … end - 1 of a plane (CHW) or image (NHWC) whose pixel (0, 0) is at origin: the gaps
 * behind the rows, what lies before row 0, and what lies after the last row. */
static inline void es_zero_border_rows(const es_tensor *image, float *origin, int64_t begin, int64_t end)
{
    if (!es_has_border(image)) return;
    const es_border *border = &image->border;
    int64_t height = (int64_t)image->shape[2], width = (int64_t)image->shape[3];
    int64_t row = (int64_t)(image->strides[2] / image->strides[3]);
    if (begin == 0) es_zero_pixels(image, origin, -((int64_t)border->top * row + border->left), 0);
    for (int64_t y = begin; y < end && y < height - 1; y++)
        es_zero_pixels(image, origin, y * row + width, (y + 1) * row);
    if (end == height)
        es_zero_pixels(image, origin, (height - 1) * row + width,
                       (height - 1 + border->bottom) * row + width + border->right);
}

static inline void es_zero_border(const es_tensor *image, float *origin)
{
    es_zero_border_rows(image, origin, 0, (int64_t)image->shape[2]);
}

/* A phase of its own, for kernels whose units are not planes: units are planes (CHW) or images (NHWC) of y. */
static inline int64_t es_border_units(const es_launch *launch)
{
    const es_tensor *y = launch->out;
    if (y->layout == ES_ROW_MAJOR || !es_has_border(y)) return 0;
    return (int64_t)(y->layout == ES_CHW ? y->shape[0] * y->shape[1] : y->shape[0]);
}

static inline void es_border_run(const es_launch *launch, int64_t begin, int64_t end)
{
    const es_tensor *y = launch->out;
    int64_t channels = y->layout == ES_CHW ? (int64_t)y->shape[1] : 1;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t at = unit / channels * (int64_t)y->strides[0] + unit % channels * (int64_t)y->strides[1];
        es_zero_border(y, (float *)(void *)launch->out_data + at);
    }
}

#endif
