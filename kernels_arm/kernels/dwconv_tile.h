/* The register tile of a depthwise convolution in CHW: ROWS x VECTORS vectors of pixels of one plane. An input row is
 * loaded once for all the output rows that it reaches. Everything in capitals is a constant where the tile is used. */
#ifndef ES_DWCONV_TILE_H
#define ES_DWCONV_TILE_H

#include "finish_sums.h"

enum { ES_MAX_DWCONV_TAPS = 25, ES_MAX_DWCONV_KERNEL = 5, ES_DWCONV_ROWS = 4 };

/* A plane's weights in registers: four to a register on NEON, whose multiply-add picks a lane; spread elsewhere. V8 has
 * no registers left for them, but broadcasts from memory with one instruction. */
#if defined(ES_VEC_NEON_H)
enum { ES_DWCONV_VECTORS = 4 };
typedef struct es_taps { es_f32 quad[(ES_MAX_DWCONV_TAPS + 3) / 4]; } es_taps;
ES_INLINE es_f32 es_fma_tap(es_f32 x, const es_taps *taps, int tap, es_f32 sum)
{
    return vfmaq_n_f32(sum, x, taps->quad[tap / 4][tap % 4]);
}
#elif defined(ES_VEC_SIMD128_H)
enum { ES_DWCONV_VECTORS = 2 };
typedef struct es_taps { const float *memory; } es_taps;
ES_INLINE es_f32 es_fma_tap(es_f32 x, const es_taps *taps, int tap, es_f32 sum)
{
    return es_fma_scalar(x, taps->memory[tap], sum);
}
#else
enum { ES_DWCONV_VECTORS = 2 };
typedef struct es_taps { es_f32 spread[ES_MAX_DWCONV_TAPS]; } es_taps;
ES_INLINE es_f32 es_fma_tap(es_f32 x, const es_taps *taps, int tap, es_f32 sum)
{
    return es_fma(x, taps->spread[tap], sum);
}
#endif

/* 9 and 25 taps are quads and one more. */
ES_INLINE void es_load_weights(es_taps *taps, const float *weights, const int COUNT)
{
#if defined(ES_VEC_NEON_H)
    ES_UNROLL
    for (int quad = 0; quad < COUNT / 4; quad++) taps->quad[quad] = es_load(weights + 4 * quad);
    taps->quad[COUNT / 4] = es_splat(weights[COUNT - 1]);
#elif defined(ES_VEC_SIMD128_H)
    (void)COUNT;
    taps->memory = weights;
#else
    ES_UNROLL
    for (int tap = 0; tap < COUNT; tap++) taps->spread[tap] = es_splat(weights[tap]);
#endif
}

/* Neighbouring vectors; NEON loads up to four with one instruction, at any address. */
ES_INLINE void es_load_vectors(es_f32 *to, const float *from, const int VECTORS)
{
#if defined(ES_VEC_NEON_H)
    if (VECTORS == 4) {
        float32x4x4_t all = vld1q_f32_x4(from);
        to[0] = all.val[0], to[1] = all.val[1], to[2] = all.val[2], to[3] = all.val[3];
        return;
    }
    if (VECTORS == 3) {
        float32x4x3_t all = vld1q_f32_x3(from);
        to[0] = all.val[0], to[1] = all.val[1], to[2] = all.val[2];
        return;
    }
    if (VECTORS == 2) {
        float32x4x2_t both = vld1q_f32_x2(from);
        to[0] = both.val[0], to[1] = both.val[1];
        return;
    }
#endif
    ES_UNROLL
    for (int v = 0; v < VECTORS; v++) to[v] = es_load(from + v * ES_LANES);
}

/* What all tiles of a plane share. next is the distance of taps along a row: 1, but in a register, as an increment. */
typedef struct es_dwconv_plane {
    int64_t x_row, y_row, next;
    int64_t tiles[3]; /* of 4, 3 and 1 rows, one below the other */
    float bias, low, high;
} es_dwconv_plane;

/* Walk on by a step that becomes the increment of the load before: NEON's wide loads have no offsets. */
ES_INLINE const float *es_step_on(const float *x, int64_t step)
{
    x += step;
#if defined(ES_VEC_NEON_H)
    __asm__ volatile("" : "+r"(x));
#endif
    return x;
}

/* Add what a tap of every row finds in `in` to the sums of the output rows that it belongs to. */
ES_INLINE void es_add_tap(es_f32 *sums, const es_f32 *in, const es_taps *taps, int row, int kx, const int KERNEL,
                          const int STRIDE, const int ROWS, const int VECTORS)
{
    ES_UNROLL
    for (int r = 0; r < ROWS; r++) {
        int ky = row - r * STRIDE;
        if (ky < 0 || ky >= KERNEL) continue;
        ES_UNROLL
        for (int v = 0; v < VECTORS; v++)
            sums[r * VECTORS + v] = es_fma_tap(in[v], taps, ky * KERNEL + kx, sums[r * VECTORS + v]);
    }
}

/* Move pixels one on, the next one comes in at the end. */
ES_INLINE void es_move_on(es_f32 *in, float next, const int VECTORS)
{
    ES_UNROLL
    for (int v = 0; v + 1 < VECTORS; v++) in[v] = es_next_lane(in[v], in[v + 1]);
    in[VECTORS - 1] = es_next_lane(in[VECTORS - 1], es_splat(next));
}

/* Add everything that an input row gives to the sums of a tile; returns the next row. */
ES_INLINE const float *es_add_row(es_f32 *sums, const es_taps *taps, const float *x, int64_t x_row, int64_t next,
                                  int row, const int KERNEL, const int STRIDE, const int ROWS, const int VECTORS)
{
    es_f32 even[ES_DWCONV_VECTORS], odd[ES_DWCONV_VECTORS];
#if defined(ES_VEC_SIMD128_H)
    /* Every row loads its taps anew. */
    es_taps here = *taps;
    ES_KEEP_OFFSETS(here.memory);
    taps = &here;
#endif
    if (STRIDE == 1) {
        ES_UNROLL
        for (int kx = 0; kx < KERNEL; kx++) {
            es_finish_sums(sums, ROWS * VECTORS);
            es_load_vectors(even, x, VECTORS);
            es_add_tap(sums, even, taps, row, kx, KERNEL, STRIDE, ROWS, VECTORS);
            x = es_step_on(x, kx + 1 < KERNEL ? next : x_row - (KERNEL - 1) * next);
        }
        return x;
    }
    /* Even and odd pixels are taps 0 and 1; each further pair of taps is the same, moved on by a lane. */
    es_finish_sums(sums, ROWS * VECTORS);
    ES_UNROLL
    for (int v = 0; v < VECTORS; v++) {
        es_load_even_odd(x, &even[v], &odd[v]);
        x = es_step_on(x, 2 * ES_LANES);
    }
    ES_UNROLL
    for (int kx = 0; kx < KERNEL; kx++) {
        es_f32 *in = kx % 2 ? odd : even;
        if (kx > 1) es_move_on(in, x[kx - 2], VECTORS);
        es_add_tap(sums, in, taps, row, kx, KERNEL, STRIDE, ROWS, VECTORS);
    }
    return es_step_on(x, x_row - 2 * VECTORS * ES_LANES);
}

/* One tile; what is behind a pointer would be loaded again after every es_finish_sums, so nothing is. */
ES_INLINE void es_dwconv_tile(const es_taps *taps, es_f32 bias, es_f32 low, es_f32 high, int64_t x_row, int64_t y_row,
                              int64_t next, const float *x, float *y, const int KERNEL, const int STRIDE,
                              const int ROWS, const int VECTORS)
{
    es_f32 sums[ES_DWCONV_ROWS * ES_DWCONV_VECTORS];
    ES_UNROLL
    for (int s = 0; s < ROWS * VECTORS; s++) sums[s] = bias;
    ES_UNROLL
    for (int row = 0; row < (ROWS - 1) * STRIDE + KERNEL; row++)
        x = es_add_row(sums, taps, x, x_row, next, row, KERNEL, STRIDE, ROWS, VECTORS);
    ES_UNROLL
    for (int r = 0; r < ROWS; r++, y += y_row) {
        ES_UNROLL
        for (int v = 0; v < VECTORS; v++)
            es_store(y + v * ES_LANES, es_min(es_max(sums[r * VECTORS + v], low), high));
    }
}

/* Tiles of 4 rows and 25 taps are 2 KB of compressed WebAssembly; there tiles of 3 do instead. */
#if defined(ES_VEC_SIMD128_H)
enum { ES_DWCONV_FOURS_UP_TO = 3 };
#else
enum { ES_DWCONV_FOURS_UP_TO = 5 };
#endif

/* A strip of a plane: tiles of 4 rows, then of 3, then of 1, as many as the plane says. */
ES_INLINE void es_dwconv_strip(const es_dwconv_plane *plane, const float *weights, const float *x, float *y,
                               const int KERNEL, const int STRIDE, const int VECTORS)
{
    const int64_t x_row = plane->x_row, y_row = plane->y_row, next = plane->next;
    const es_f32 bias = es_splat(plane->bias), low = es_splat(plane->low), high = es_splat(plane->high);
    const int64_t fours = plane->tiles[0], threes = plane->tiles[1], ones = plane->tiles[2];
    es_taps taps;
    es_load_weights(&taps, weights, KERNEL * KERNEL);
    for (int64_t tile = 0; KERNEL <= ES_DWCONV_FOURS_UP_TO && tile < fours;
         tile++, x += 4 * STRIDE * x_row, y += 4 * y_row)
        es_dwconv_tile(&taps, bias, low, high, x_row, y_row, next, x, y, KERNEL, STRIDE, 4, VECTORS);
    for (int64_t tile = 0; tile < threes; tile++, x += 3 * STRIDE * x_row, y += 3 * y_row)
        es_dwconv_tile(&taps, bias, low, high, x_row, y_row, next, x, y, KERNEL, STRIDE, 3, VECTORS);
    for (int64_t tile = 0; tile < ones; tile++, x += STRIDE * x_row, y += y_row)
        es_dwconv_tile(&taps, bias, low, high, x_row, y_row, next, x, y, KERNEL, STRIDE, 1, VECTORS);
}

#endif
