/* Images plane by plane: plane number image * channels + channel, in any layout. */
#ifndef ES_PLANES_H
#define ES_PLANES_H

#include "kernel.h"

static inline int64_t es_count_planes(const es_tensor *tensor)
{
    return (int64_t)(tensor->shape[0] * tensor->shape[1]);
}

/* Pixel 0 of a plane; data is element zero of the tensor. */
static inline float *es_plane(uint8_t *data, const es_tensor *tensor, int64_t number)
{
    int64_t channels = (int64_t)tensor->shape[1];
    return (float *)(void *)data + number / channels * (int64_t)tensor->strides[0] +
           number % channels * (int64_t)tensor->strides[1];
}

#endif
