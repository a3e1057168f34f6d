/* Row-major operands as rows of their last axis: how many there are, and how far apart. */
#ifndef ES_ROWS_H
#define ES_ROWS_H

#include "kernel.h"

/* Rows of a tensor in this run. */
static inline int64_t es_count_rows(const es_launch *launch, const es_tensor *tensor)
{
    int64_t rows = tensor->rank > 1 ? es_rows(launch, tensor) : 1;
    for (uint32_t axis = 1; axis + 1 < tensor->rank; axis++) rows *= (int64_t)tensor->shape[axis];
    return rows;
}

/* Elements from row to row. The stride of an axis of length 1 says nothing. */
static inline int64_t es_row_distance(const es_tensor *tensor)
{
    int64_t inner = 1;
    for (int axis = (int)tensor->rank - 2; axis >= 0; axis--) {
        if (tensor->shape[axis] > 1) return (int64_t)tensor->strides[axis] / inner;
        inner *= (int64_t)tensor->shape[axis];
    }
    return 0;
}

#endif
