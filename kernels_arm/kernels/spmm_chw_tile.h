/* The register tile of products in CHW: rows x vectors of pixels; pixels in the lanes, one row's weight broadcast. */
#ifndef ES_SPMM_CHW_TILE_H
#define ES_SPMM_CHW_TILE_H

#include "spmm_operands.h"
#include "spmm_weights.h"

/* Where a tile lies: its first pixel in row 0 of each operand, and how far rows are apart. */
typedef struct es_chw_place {
    const float *x;
    float *y;
    const float *residual; /* NULL: none */
    int64_t y_row, residual_row;
    const float *bias; /* of row 0 */
    bool bounded;      /* whether the bounds of the epilogue bound anything */
    es_epilogue epilogue;
} es_chw_place;

/* The largest numbers of sums and of vectors of pixels. */
enum { ES_CHW_SUMS = 24, ES_CHW_VECTORS = 12 };

/* 12 sums, 3 vectors of pixels and a weight are all 16 registers of AVX2, and clang spills: so the last pixels come
 * from memory for every row (24 instructions per 12 multiply-adds instead of 36). The compiler must not see that it is
 * one address. */
#if defined(ES_VEC_AVX2_H)
enum { ES_CHW_REGISTERS = 16 };
#define ES_CHW_NEW_ADDRESS(pointer) __asm__("" : "+r"(pointer))
#else
enum { ES_CHW_REGISTERS = 64 };
#define ES_CHW_NEW_ADDRESS(pointer) ((void)0)
#endif

/* rows, vectors and, if not 0, the distance of columns in the values are constants of the caller. */
ES_INLINE void es_chw_tile(const es_chw_place *at, const es_strip *strip, uint32_t inside, const int rows,
                           const int vectors, const int distance)
{
    const int count = rows * vectors;
    const bool full = count + vectors + 1 >= ES_CHW_REGISTERS;
    const int kept_pixels = full ? vectors - 1 : vectors;
    const size_t step = distance ? (size_t)distance : strip->group;
    const float *values = (const float *)strip->values + inside;
    const int32_t *offsets = strip->offsets;
    const float *x = at->x;
    const uint32_t row = strip->row + inside;
    es_f32 sums[ES_CHW_SUMS];
    ES_UNROLL
    for (int i = 0; i < count; i++) sums[i] = es_splat(at->bias[row + (uint32_t)(i / vectors)]);
    for (uint32_t left = strip->count; left; left--) {
        const float *column = x + *offsets++;
        ES_KEEP_OFFSETS(values);
        es_f32 pixels[ES_CHW_VECTORS];
        ES_UNROLL
        for (int v = 0; v < kept_pixels; v++) pixels[v] = es_load(column + v * ES_LANES);
        const es_weights weights = es_load_weights(values, rows);
        values += step;
        ES_UNROLL
        for (int i = 0; i < count; i++) {
            const int v = i % vectors;
            if (full && v == 0) ES_CHW_NEW_ADDRESS(column);
            sums[i] = es_fma_row(v < kept_pixels ? pixels[v] : es_load(column + v * ES_LANES), &weights, i / vectors,
                                 sums[i]);
        }
    }
    if (at->residual) {
        const float *residual = at->residual + row * at->residual_row;
        ES_UNROLL
        for (int i = 0; i < count; i++)
            sums[i] = es_add(sums[i], es_load(residual + i / vectors * at->residual_row + i % vectors * ES_LANES));
    }
    if (at->bounded) {
        const es_f32 low = es_splat(at->epilogue.low), high = es_splat(at->epilogue.high);
        ES_UNROLL
        for (int i = 0; i < count; i++) sums[i] = es_bound(sums[i], low, high);
    }
    /* A local, or it is loaded again after every store. */
    const int64_t y_row = at->y_row;
    float *y = at->y + row * y_row;
    ES_UNROLL
    for (int i = 0; i < count; i++) es_store(y + i / vectors * y_row + i % vectors * ES_LANES, sums[i]);
}

#endif
