/* Which bytes of its storage a tensor may touch, and whether two tensors can touch the same ones. */
#ifndef ES_FOOTPRINT_H
#define ES_FOOTPRINT_H

#include "model.h"

/* Pixels of a vector that may overrun the last pixel of a plane in CHW. */
enum { ES_VECTOR_SLACK = 16 };

/* Sums and products of numbers that a file may say: what exceeds ES_HUGE is ES_HUGE, far beyond every limit. */
#define ES_HUGE ((uint64_t)1 << 60)

static inline uint64_t es_huge_sum(uint64_t a, uint64_t b)
{
    return a >= ES_HUGE || b >= ES_HUGE - a ? ES_HUGE : a + b;
}

static inline uint64_t es_huge_product(uint64_t a, uint64_t b)
{
    return a && b > ES_HUGE / a ? ES_HUGE : a * b;
}

/* An image plane in pixels, counted from pixel (0, 0): row is the distance of rows, pixels go from the first to the
 * last real one, gaps included; the border begins before pixels in front of pixel 0 and ends after pixels past the
 * last; owned pixels after pixel 0 belong to the plane in CHW. */
typedef struct es_frame {
    uint64_t row, pixels, before, after, owned;
} es_frame;

es_frame es_frame_of(const es_tensor *tensor);

/* Runs of bytes; the first begins at byte first. Axes are outermost first; end[i] is one past the last byte of what is
 * left without the i outermost axes. */
typedef struct es_footprint {
    int64_t first;
    uint32_t axes;
    uint64_t distance[ES_MAX_RANK];
    int64_t end[ES_MAX_RANK + 1];
} es_footprint;

/* The bytes that a step which writes the tensor may change, relative to its storage. */
es_footprint es_footprint_of(const es_tensor *tensor);
/* Whether both are known to share no byte: one ends before the other begins, or they are slices of a larger tensor. */
bool es_apart(const es_footprint *a, const es_footprint *b);

#endif
