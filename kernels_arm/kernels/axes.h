/* Walking through several tensors of one shape at once: common axes, each tensor with a stride of its own. */
#ifndef ES_AXES_H
#define ES_AXES_H

#include <string.h>

#include "kernel.h"

enum { ES_WALKED = 3, ES_MAX_AXES = 2 * ES_MAX_RANK };

/* Outermost axis first. */
typedef struct es_axes {
    int count;
    int64_t length[ES_MAX_AXES];
    int64_t stride[ES_MAX_AXES][ES_WALKED];
} es_axes;

static inline void es_add_axis(es_axes *axes, int64_t length, int64_t a, int64_t b, int64_t c)
{
    if (length == 1) return;
    axes->length[axes->count] = length;
    axes->stride[axes->count][0] = a;
    axes->stride[axes->count][1] = b;
    axes->stride[axes->count++][2] = c;
}

/* Make one axis of neighbours wherever one step of the outer is, in all tensors, a whole round of the inner. */
static inline void es_merge_axes(es_axes *axes)
{
    int last = 0;
    for (int axis = 1; axis < axes->count; axis++) {
        bool whole = true;
        for (int t = 0; t < ES_WALKED; t++)
            whole = whole && axes->stride[last][t] == axes->stride[axis][t] * axes->length[axis];
        if (!whole) last++;
        axes->length[last] = whole ? axes->length[last] * axes->length[axis] : axes->length[axis];
        memcpy(axes->stride[last], axes->stride[axis], sizeof axes->stride[last]);
    }
    if (axes->count) axes->count = last + 1;
}

/* Take the innermost axis away; returns its length, 1 if there is none. */
static inline int64_t es_pop_axis(es_axes *axes, int64_t stride[ES_WALKED])
{
    memset(stride, 0, ES_WALKED * sizeof *stride);
    if (!axes->count) return 1;
    axes->count--;
    memcpy(stride, axes->stride[axes->count], ES_WALKED * sizeof *stride);
    return axes->length[axes->count];
}

static inline int64_t es_axes_size(const es_axes *axes)
{
    int64_t size = 1;
    for (int axis = 0; axis < axes->count; axis++) size *= axes->length[axis];
    return size;
}

/* A place on the way, and the offset of every tensor there. */
typedef struct es_walk {
    const es_axes *axes;
    int64_t index[ES_MAX_AXES];
    int64_t offset[ES_WALKED];
} es_walk;

static inline es_walk es_walk_to(const es_axes *axes, int64_t place)
{
    es_walk walk = {.axes = axes};
    for (int axis = axes->count - 1; axis >= 0; axis--) {
        walk.index[axis] = place % axes->length[axis];
        place /= axes->length[axis];
        for (int t = 0; t < ES_WALKED; t++) walk.offset[t] += walk.index[axis] * axes->stride[axis][t];
    }
    return walk;
}

static inline void es_walk_on(es_walk *walk)
{
    const es_axes *axes = walk->axes;
    for (int axis = axes->count - 1; axis >= 0; axis--) {
        for (int t = 0; t < ES_WALKED; t++) walk->offset[t] += axes->stride[axis][t];
        if (++walk->index[axis] < axes->length[axis]) return;
        for (int t = 0; t < ES_WALKED; t++) walk->offset[t] -= axes->length[axis] * axes->stride[axis][t];
        walk->index[axis] = 0;
    }
}

#endif
