/* The zeros around and between the rows of a plane in CHW, as far as they lie in a tile of flat pixels. */
#ifndef ES_SPMM_CHW_GAPS_H
#define ES_SPMM_CHW_GAPS_H

#include "border.h"
#include "spmm_chw_tile.h"

static int64_t row_pixels(const es_tensor *image) { return (int64_t)(image->strides[2] / image->strides[3]); }

/* What a tile sets to zero behind its stores, in elements from its image's pixel 0: single pixels between the rows of
 * the image, and stretches. */
typedef struct gaps {
    int pixel_count, stretch_count;
    int64_t pixels[ES_CHW_VECTORS * ES_LANES];
    struct stretch {
        int64_t first, length;
    } stretches[ES_CHW_VECTORS * ES_LANES / 2 + 4];
} gaps;

static void add_gap(gaps *all, int64_t first, int64_t end)
{
    if (end - first > 4)
        all->stretches[all->stretch_count++] = (struct stretch){first, end - first};
    else
        for (; first < end; first++) all->pixels[all->pixel_count++] = first;
}

/* Gaps between rows among the pixels first … end - 1, and the border above and below at the ends of the image. */
static void find_gaps(const es_tensor *y, int64_t first, int64_t end, bool ends_image, gaps *all)
{
    all->pixel_count = all->stretch_count = 0;
    if (!es_has_border(y)) return;
    int64_t row = row_pixels(y), width = (int64_t)y->shape[3], height = (int64_t)y->shape[2];
    int64_t before = y->border.top * row + y->border.left, after = y->border.bottom * row + y->border.right;
    if (first == 0 && before) all->stretches[all->stretch_count++] = (struct stretch){-before, before};
    for (int64_t line = first / row; line < height - 1 && line * row + width < end; line++) {
        int64_t begin = line * row + width, stop = (line + 1) * row;
        add_gap(all, begin > first ? begin : first, stop < end ? stop : end);
    }
    if (ends_image && after)
        all->stretches[all->stretch_count++] = (struct stretch){(height - 1) * row + width, after};
}

/* Not inline, so that the loop over strips keeps its registers. */
static __attribute__((noinline)) void zero_gaps(float *plane, int64_t distance, uint32_t rows, const gaps *all)
{
    /* Four rows at a time: one address serves four stores. */
    uint32_t row = 0;
    for (; row + 4 <= rows; row += 4) {
        float *first = plane + row * distance, *second = first + distance, *third = second + distance;
        float *fourth = third + distance;
        for (int number = 0; number < all->pixel_count; number++) {
            int64_t pixel = all->pixels[number];
            first[pixel] = second[pixel] = third[pixel] = fourth[pixel] = 0;
        }
    }
    for (; row < rows; row++)
        for (int number = 0; number < all->pixel_count; number++) plane[row * distance + all->pixels[number]] = 0;
    for (int number = 0; number < all->stretch_count; number++)
        for (row = 0; row < rows; row++)
            memset(plane + row * distance + all->stretches[number].first, 0,
                   (size_t)all->stretches[number].length * sizeof *plane);
}

#endif
