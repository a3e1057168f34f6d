/* The register tile of products whose lanes are output rows (NHWC and rows of tokens): pixels x vectors of rows, one
 * pixel of x broadcast; and the loop over pixels for groups smaller than a vector. */
#ifndef ES_SPMM_ROWS_TILE_H
#define ES_SPMM_ROWS_TILE_H

#include "finish_sums.h"
#include "spmm_operands.h"

/* Consecutive pixels, and where row 0 of their first lies in each operand. */
typedef struct es_pixels {
    const float *x;
    float *y;
    const float *residual; /* NULL: none */
    int64_t count;
} es_pixels;

/* What all tiles of a product share: distances of pixels in elements, and the epilogue. */
typedef struct es_row_place {
    int64_t x_pixel, y_pixel, residual_pixel;
    const float *bias; /* of row 0 */
    bool bounded;      /* whether the bounds of the epilogue bound anything */
    es_epilogue epilogue;
} es_row_place;

/* The largest tiles: sums, one column's weights and a pixel fill the registers, of which V8 leaves 15 to WebAssembly. */
#if defined(ES_VEC_NEON_H)
enum { ES_ROW_VECTORS = 4, ES_ROW_PIXELS = 6 };
#elif defined(ES_VEC_SIMD128_H)
enum { ES_ROW_VECTORS = 2, ES_ROW_PIXELS = 4 };
#else
enum { ES_ROW_VECTORS = 2, ES_ROW_PIXELS = 6 };
#endif
/* Columns per turn of the loop: V8 counts, and asks whether to stop, in every turn. */
#if defined(ES_VEC_SIMD128_H)
enum { ES_ROW_COLUMNS = 4 };
#else
enum { ES_ROW_COLUMNS = 1 };
#endif
enum { ES_ROW_SUMS = 32 };
/* Multiply-adds that must be under way to hide their latency: 4 cycles of 2 units. */
enum { ES_ROW_IN_FLIGHT = 8, ES_ROW_MOST_PARTS = 4 };

ES_INLINE es_f32 es_load_row_weights(const void *values, size_t at, const bool half)
{
    return half ? es_load_half((const uint16_t *)values + at) : es_load((const float *)values + at);
}

/* Add one kept column, in place `column` of every line, to the sums. */
ES_INLINE void es_row_add_column(es_f32 *sums, const float *const *lines, int32_t column, const void *values,
                                 const int vectors, const int pixels, const bool half)
{
    es_f32 weights[ES_ROW_VECTORS];
    ES_UNROLL
    for (int v = 0; v < vectors; v++) weights[v] = es_load_row_weights(values, (size_t)(v * ES_LANES), half);
    ES_UNROLL
    for (int pixel = 0; pixel < pixels; pixel++) {
        ES_UNROLL
        for (int v = 0; v < vectors; v++)
            sums[pixel * vectors + v] = es_fma_scalar(weights[v], lines[pixel][column], sums[pixel * vectors + v]);
        /* Else clang loads four columns ahead, more than there are registers. */
#if defined(ES_VEC_SIMD128_H)
        es_finish_sums(sums + pixel * vectors, vectors);
#endif
    }
}

/* vectors, pixels and half are constants of the caller. Few sums are split into parts, each over every parts-th
 * column. */
ES_INLINE void es_row_tile(const es_row_place *place, const es_pixels *at, const es_strip *strip, uint32_t inside,
                           const int vectors, const int pixels, const bool half)
{
    const int count = vectors * pixels;
    const int parts = count * 4 <= ES_ROW_IN_FLIGHT ? 4 : count * 2 <= ES_ROW_IN_FLIGHT ? 2 : 1;
    const int all = count * parts;
    const uint32_t row = strip->row + inside;
    const size_t group = strip->group;
    const int32_t *offsets = strip->offsets;
    const float *x = at->x;
    const int64_t x_pixel = place->x_pixel;
    size_t value = inside;
    es_f32 sums[ES_ROW_SUMS];
    ES_UNROLL
    for (int i = 0; i < all; i++)
        sums[i] = i < count ? es_load(place->bias + row + i % vectors * ES_LANES) : es_splat(0.0f);
    uint32_t left = strip->count;
    for (; parts > 1 && left >= (uint32_t)parts; left -= (uint32_t)parts) {
        ES_UNROLL
        for (int i = 0; i < all; i++) {
            const int part = i / count, pixel = i % count / vectors;
            const size_t weights = value + (size_t)part * group + (size_t)(i % vectors * ES_LANES);
            sums[i] = es_fma(es_splat(x[offsets[part] + pixel * x_pixel]),
                             es_load_row_weights(strip->values, weights, half), sums[i]);
        }
        offsets += parts;
        value += (size_t)parts * group;
    }
    const float *lines[ES_ROW_PIXELS];
    ES_UNROLL
    for (int pixel = 0; pixel < pixels; pixel++) lines[pixel] = x + pixel * x_pixel;
    const uint8_t *weights = (const uint8_t *)strip->values + value * (half ? sizeof(uint16_t) : sizeof(float));
    const size_t step = group * (half ? sizeof(uint16_t) : sizeof(float));
    for (; ES_ROW_COLUMNS > 1 && left >= ES_ROW_COLUMNS; left -= ES_ROW_COLUMNS, offsets += ES_ROW_COLUMNS) {
        ES_KEEP_OFFSETS(offsets);
        ES_UNROLL
        for (int column = 0; column < ES_ROW_COLUMNS; column++, weights += step) {
            ES_KEEP_OFFSETS(weights);
            es_row_add_column(sums, lines, offsets[column], weights, vectors, pixels, half);
        }
    }
    for (; left; left--, weights += step)
        es_row_add_column(sums, lines, *offsets++, weights, vectors, pixels, half);
    ES_UNROLL
    for (int i = count; i < all; i++) sums[i % count] = es_add(sums[i % count], sums[i]);
    if (at->residual) {
        const float *residual = at->residual + row;
        ES_UNROLL
        for (int i = 0; i < count; i++)
            sums[i] = es_add(sums[i], es_load(residual + i / vectors * place->residual_pixel + i % vectors * ES_LANES));
    }
    if (place->bounded) {
        const es_f32 low = es_splat(place->epilogue.low), high = es_splat(place->epilogue.high);
        ES_UNROLL
        for (int i = 0; i < count; i++) sums[i] = es_bound(sums[i], low, high);
    }
    /* A local, or it is loaded again after every store. */
    const int64_t y_pixel = place->y_pixel;
    float *y = at->y + row;
    ES_UNROLL
    for (int i = 0; i < count; i++) es_store(y + i / vectors * y_pixel + i % vectors * ES_LANES, sums[i]);
    if (!es_epilogue_is_bounds(place->epilogue))
        es_activate_rows(place->epilogue, y, y_pixel, pixels, vectors * ES_LANES);
}

/* Groups smaller than a vector: one pixel at a time, four columns at a time. group and half are constants of the
 * caller. */
ES_INLINE void es_narrow_tile(const es_row_place *place, const es_pixels *at, const es_strip *strip, const int group,
                              const bool half)
{
    const float *x = at->x;
    for (int64_t pixel = 0; pixel < at->count; pixel++, x += place->x_pixel) {
        float sums[16] = {0};
        const int32_t *offsets = strip->offsets;
        const float *values = strip->values;
        const uint16_t *halves = strip->values;
        uint32_t kept = 0;
        for (; kept + 4 <= strip->count; kept += 4) {
            ES_UNROLL
            for (int i = 0; i < 4 * group; i++)
                sums[i] += x[offsets[i / group]] * (half ? es_half_to_float(halves[i]) : values[i]);
            offsets += 4;
            values += 4 * group;
            halves += 4 * group;
        }
        for (; kept < strip->count; kept++, offsets++)
            for (int row = 0; row < group; row++)
                sums[row] += x[*offsets] * (half ? es_half_to_float(*halves++) : *values++);
        float *y = at->y + pixel * place->y_pixel + strip->row;
        for (int row = 0; row < group; row++) {
            float sum = sums[row] + sums[row + group] + (sums[row + 2 * group] + sums[row + 3 * group]);
            sum += place->bias[strip->row + (uint32_t)row];
            if (at->residual) sum += at->residual[pixel * place->residual_pixel + strip->row + (uint32_t)row];
            if (sum < place->epilogue.low) sum = place->epilogue.low;
            if (sum > place->epilogue.high) sum = place->epilogue.high;
            y[row] = sum;
        }
        if (!es_epilogue_is_bounds(place->epilogue)) es_activate_rows(place->epilogue, y, 0, 1, group);
    }
}

static inline es_row_place es_row_place_of(const es_launch *launch, const float *bias, int64_t x_pixel, int64_t y_pixel,
                                           int64_t residual_pixel)
{
    es_epilogue epilogue = es_read_epilogue(launch->step, ES_SPMM_ACTIVATION);
    return (es_row_place){.x_pixel = x_pixel,
                          .y_pixel = y_pixel,
                          .residual_pixel = residual_pixel,
                          .bias = bias,
                          .bounded = epilogue.kind == ES_ACT_RELU || epilogue.kind == ES_ACT_CLAMP,
                          .epilogue = epilogue};
}

#endif
