/* COPY: elements in logical order, from any shape and layout to any other. */
#ifndef ES_COPY_H
#define ES_COPY_H

#include "axes.h"
#include "border.h"
#include "constants.h"

enum { X, Y };

static void copy_strided(const float *from, int64_t from_step, float *to, int64_t to_step, int64_t count)
{
    if (from_step == 1 && to_step == 1) {
        memcpy(to, from, (size_t)count * sizeof(float));
        return;
    }
    for (int64_t at = 0; at < count; at++) to[at * to_step] = from[at * from_step];
}

/* The axes of x and y, from the first on, cut into common ones. False where they do not nest, like 2 x 3 and 3 x 2. */
static bool common_axes(const es_tensor *x, const es_tensor *y, uint32_t first, es_axes *axes)
{
    es_axes inward = {.count = 0};
    int i = (int)x->rank - 1, j = (int)y->rank - 1, stop = (int)first;
    int64_t left = 1, right = 1, left_step = 0, right_step = 0;
    for (;;) {
        while (left == 1 && i >= stop) left = (int64_t)x->shape[i], left_step = (int64_t)x->strides[i--];
        while (right == 1 && j >= stop) right = (int64_t)y->shape[j], right_step = (int64_t)y->strides[j--];
        if (left == 1 || right == 1) break;
        int64_t length = left < right ? left : right;
        if (left % length || right % length) return false;
        es_add_axis(&inward, length, left_step, right_step, 0);
        left /= length, left_step *= length;
        right /= length, right_step *= length;
    }
    for (int axis = inward.count - 1; axis >= 0; axis--)
        es_add_axis(axes, inward.length[axis], inward.stride[axis][X], inward.stride[axis][Y], 0);
    return true;
}

/* Bring the axis along which y is written densest to the end; the first `fixed` stay. */
static void sort_axes(es_axes *axes, int fixed)
{
    int best = axes->count - 1;
    for (int axis = fixed; axis < axes->count; axis++)
        if (axes->stride[axis][Y] < axes->stride[best][Y]) best = axis;
    for (int axis = best; axis + 1 < axes->count; axis++) {
        int64_t length = axes->length[axis], stride[ES_WALKED];
        memcpy(stride, axes->stride[axis], sizeof stride);
        axes->length[axis] = axes->length[axis + 1];
        memcpy(axes->stride[axis], axes->stride[axis + 1], sizeof stride);
        axes->length[axis + 1] = length;
        memcpy(axes->stride[axis + 1], stride, sizeof stride);
    }
}

/* Rows of a copy: units are rows, or elements where axes do not nest. */
static bool copy_axes(const es_launch *launch, es_axes *axes)
{
    const es_tensor *x = launch->in[0], *y = launch->out;
    bool symbolic = y->symbol_axis == 0;
    axes->count = 0;
    if (symbolic) es_add_axis(axes, launch->tokens, (int64_t)x->strides[0], (int64_t)y->strides[0], 0);
    int fixed = axes->count;
    if (!common_axes(x, y, symbolic, axes)) return false;
    if (axes->count > fixed) sort_axes(axes, fixed);
    es_merge_axes(axes);
    return true;
}

static int64_t elements(const es_launch *launch)
{
    const es_tensor *y = launch->out;
    int64_t size = (int64_t)es_tensor_size(y);
    return y->symbol_axis == 0 ? size / (int64_t)y->shape[0] * launch->tokens : size;
}

/* A copy in rows of rows: first the axis of the inner loop, then the one around it. Very short rows change places with
 * it: the three channels of a pixel are no loop. */
enum { SHORTEST_ROW = 8 };
typedef struct plane {
    int64_t count[2];
    int64_t stride[2][ES_WALKED];
} plane;

/* Takes both axes away, but never the tokens. */
static plane pop_plane(const es_launch *launch, es_axes *axes)
{
    plane plane = {.count = {1, 1}};
    bool symbolic = launch->out->symbol_axis == 0;
    plane.count[0] = es_pop_axis(axes, plane.stride[0]);
    if (axes->count > (symbolic ? 1 : 0)) plane.count[1] = es_pop_axis(axes, plane.stride[1]);
    if (plane.count[0] >= SHORTEST_ROW || plane.count[1] <= plane.count[0]) return plane;
    struct plane turned = {.count = {plane.count[1], plane.count[0]}};
    memcpy(turned.stride[0], plane.stride[1], sizeof plane.stride[1]);
    memcpy(turned.stride[1], plane.stride[0], sizeof plane.stride[0]);
    return turned;
}

static int64_t copy_units(const es_launch *launch, int phase)
{
    if (phase == 1) return es_border_units(launch);
    es_axes axes;
    if (!copy_axes(launch, &axes)) return elements(launch);
    pop_plane(launch, &axes);
    return es_axes_size(&axes);
}

static es_axes own_axes(const es_tensor *tensor)
{
    es_axes axes = {.count = 0};
    for (uint32_t axis = 0; axis < tensor->rank; axis++)
        es_add_axis(&axes, (int64_t)tensor->shape[axis], (int64_t)tensor->strides[axis], 0, 0);
    return axes;
}

static void copy_elements(const es_launch *launch, int64_t begin, int64_t end)
{
    es_axes x = own_axes(launch->in[0]), y = own_axes(launch->out);
    es_walk from = es_walk_to(&x, begin), to = es_walk_to(&y, begin);
    for (int64_t at = begin; at < end; at++) {
        ((float *)(void *)launch->out_data)[to.offset[0]] =
            es_float_at(launch->in[0], launch->in_data[0], from.offset[0]);
        es_walk_on(&from);
        es_walk_on(&to);
    }
}

static void copy_row(const es_launch *launch, const plane *plane, int64_t x, int64_t y)
{
    float *to = (float *)(void *)launch->out_data + y;
    if (!es_is_half(launch->in[0])) {
        const float *from = (const float *)(void *)launch->in_data[0] + x;
        copy_strided(from, plane->stride[0][X], to, plane->stride[0][Y], plane->count[0]);
        return;
    }
    for (int64_t at = 0; at < plane->count[0]; at++)
        to[at * plane->stride[0][Y]] = es_float_at(launch->in[0], launch->in_data[0], x + at * plane->stride[0][X]);
}

static void copy_run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)thread_scratch;
    if (phase == 1) {
        es_border_run(launch, begin, end);
        return;
    }
    es_axes axes;
    if (!copy_axes(launch, &axes)) {
        copy_elements(launch, begin, end);
        return;
    }
    plane plane = pop_plane(launch, &axes);
    es_walk walk = es_walk_to(&axes, begin);
    for (int64_t unit = begin; unit < end; unit++, es_walk_on(&walk))
        for (int64_t row = 0; row < plane.count[1]; row++)
            copy_row(launch, &plane, walk.offset[X] + row * plane.stride[1][X],
                     walk.offset[Y] + row * plane.stride[1][Y]);
}

#endif
