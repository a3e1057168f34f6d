/* Footprints: see footprint.h. Numbers may exceed every limit as long as a tensor is not checked. */
#include "footprint.h"

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

es_frame es_frame_of(const es_tensor *tensor)
{
    const es_border *border = &tensor->border;
    es_frame frame;
    frame.row = tensor->strides[2] / tensor->strides[3];
    frame.pixels = es_huge_sum(es_huge_product(tensor->shape[2] - 1, frame.row), tensor->shape[3]);
    frame.before = es_huge_sum(es_huge_product(border->top, frame.row), border->left);
    frame.after = es_huge_sum(es_huge_product(border->bottom, frame.row), border->right);
    uint64_t vectors = (frame.pixels + ES_VECTOR_SLACK - 1) / ES_VECTOR_SLACK * ES_VECTOR_SLACK;
    uint64_t bordered = es_huge_sum(frame.pixels, frame.after);
    frame.owned = vectors > bordered ? vectors : bordered;
    return frame;
}

/* Append an axis; counts are kept in end[] until finish. */
static void add_axis(es_footprint *footprint, uint64_t distance, uint64_t count)
{
    footprint->distance[footprint->axes] = distance;
    footprint->end[footprint->axes++] = (int64_t)count;
}

static void finish(es_footprint *footprint, uint64_t length)
{
    uint64_t reach = length;
    for (uint32_t axis = footprint->axes + 1; axis-- > 0;) {
        if (axis < footprint->axes)
            reach = es_huge_sum(reach, es_huge_product(footprint->distance[axis], (uint64_t)footprint->end[axis] - 1));
        footprint->end[axis] = footprint->first + (int64_t)reach;
    }
}

static es_footprint row_major(const es_tensor *tensor, uint64_t size)
{
    uint64_t distance[ES_MAX_RANK], count[ES_MAX_RANK], length = size;
    uint32_t axes = 0;
    for (uint32_t axis = 0; axis < tensor->rank; axis++) {
        if (tensor->shape[axis] == 1) continue;
        uint32_t place = axes++;
        uint64_t own = es_huge_product(tensor->strides[axis], size);
        /* Largest distances first; of equal ones the longer axis. */
        for (; place && (distance[place - 1] < own ||
                         (distance[place - 1] == own && count[place - 1] < tensor->shape[axis])); place--) {
            distance[place] = distance[place - 1];
            count[place] = count[place - 1];
        }
        distance[place] = own;
        count[place] = tensor->shape[axis];
    }
    while (axes && distance[axes - 1] == length) length = es_huge_product(length, count[--axes]);
    es_footprint footprint = {.first = (int64_t)smaller(tensor->offset, ES_HUGE)};
    for (uint32_t axis = 0; axis < axes; axis++) add_axis(&footprint, distance[axis], count[axis]);
    finish(&footprint, length);
    return footprint;
}

es_footprint es_footprint_of(const es_tensor *tensor)
{
    uint64_t size = es_dtype_bytes(tensor->dtype);
    if (tensor->layout == ES_ROW_MAJOR) return row_major(tensor, size);
    es_frame frame = es_frame_of(tensor);
    uint64_t pixel = es_huge_product(tensor->strides[3], size);
    es_footprint footprint = {.first = (int64_t)smaller(tensor->offset, ES_HUGE) -
                                       (int64_t)es_huge_product(frame.before, pixel)};
    add_axis(&footprint, es_huge_product(tensor->strides[0], size), tensor->shape[0]);
    if (tensor->layout == ES_CHW) {
        add_axis(&footprint, es_huge_product(tensor->strides[1], size), tensor->shape[1]);
        finish(&footprint, es_huge_product(es_huge_sum(frame.before, frame.owned), size));
    } else {
        add_axis(&footprint, pixel, es_huge_sum(es_huge_sum(frame.before, frame.pixels), frame.after));
        finish(&footprint, es_huge_product(tensor->shape[1], size));
    }
    return footprint;
}

bool es_apart(const es_footprint *a, const es_footprint *b)
{
    int64_t first = a->first < b->first ? a->first : b->first;
    for (uint32_t axis = 0;; axis++) {
        if (a->end[axis] <= b->first || b->end[axis] <= a->first) return true;
        if (axis >= a->axes || axis >= b->axes || a->distance[axis] != b->distance[axis]) return false;
        int64_t inside = a->end[axis + 1] > b->end[axis + 1] ? a->end[axis + 1] : b->end[axis + 1];
        if ((uint64_t)(inside - first) > a->distance[axis]) return false;
    }
}
