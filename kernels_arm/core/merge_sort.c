/* A stable sort that takes n log n comparisons whatever is sorted. */
#include "reader.h"

static void merge(const uint32_t *from, uint32_t *to, uint32_t first, uint32_t middle, uint32_t end,
                  int (*compare)(const void *, uint32_t, uint32_t), const void *context)
{
    uint32_t left = first, right = middle;
    for (uint32_t at = first; at < end; at++) {
        bool take_left = left < middle && (right >= end || compare(context, from[left], from[right]) <= 0);
        to[at] = take_left ? from[left++] : from[right++];
    }
}

void es_sort(uint32_t *order, uint32_t *spare, uint32_t count, int (*compare)(const void *, uint32_t, uint32_t),
             const void *context)
{
    for (uint32_t index = 0; index < count; index++) order[index] = index;
    for (uint64_t width = 1; width < count; width *= 2) {
        for (uint64_t first = 0; first < count; first += 2 * width) {
            uint64_t middle = first + width < count ? first + width : count;
            uint64_t end = middle + width < count ? middle + width : count;
            merge(order, spare, (uint32_t)first, (uint32_t)middle, (uint32_t)end, compare, context);
        }
        memcpy(order, spare, count * sizeof *order);
    }
}
