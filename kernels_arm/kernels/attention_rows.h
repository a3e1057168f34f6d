/* Online softmax of a few query rows over tiles of keys and values; ATTENTION and DELTA_ATTENTION share it.
 *
 * Rows of one kv head meet a tile while it is in the first cache, so every key and value is read once for all of them.
 * A row keeps its largest score so far, the sum of its weights and the weighted values, both relative to that score. */
#ifndef ES_ATTENTION_ROWS_H
#define ES_ATTENTION_ROWS_H

#include <math.h>

#include "edge_sparse.h"
#include "vec.h"
#include "vec_math.h"

enum {
    ES_TILE_KEYS = 16,  /* divides the rows of every cache */
    ES_TILE_ROWS = 32,  /* 32 rows, 16 keys and 16 values of 64 elements are 24 KiB, a first cache has 32 */
    ES_ROW_PARTS = 4    /* vectors of a row that are in registers at a time */
};

/* Rows that are in registers at a time: NEON has 32 registers, the others 16. */
#if defined(ES_VEC_NEON_H)
#define ES_ROWS_AT_ONCE 4
#else
#define ES_ROWS_AT_ONCE 2
#endif

/* Rows 0 to count - 1 are padded to pairs of vectors; the padding of queries is zero. */
typedef struct es_attention_rows {
    int64_t count;
    int64_t padded;  /* floats from row to row */
    float *queries;  /* times scale */
    float *sums;     /* weighted values */
    float *largest;  /* score */
    float *weights;  /* their sum */
    float *scores;   /* ES_TILE_KEYS of every row */
    int64_t end[ES_TILE_ROWS];  /* keys that a row sees at all: its first ones; never fewer than the row before */
    int64_t seen[ES_TILE_ROWS]; /* of the tile at hand; 0 to ES_TILE_KEYS */
} es_attention_rows;

/* ES_TILE_KEYS keys or values, in rows of stride elements that have no padding or that of es_attention_rows. */
typedef struct es_key_tile {
    const void *data;
    int64_t stride;
    es_dtype dtype; /* F32, F16 or S8 */
} es_key_tile;

static inline es_key_tile es_wide_tile(const float *data, int64_t stride)
{
    return (es_key_tile){data, stride, ES_F32};
}

/* Vector part (0, 1, …) of the elements from `at` on, a whole pair of vectors. */
ES_INLINE es_f32 es_load_part(const void *data, es_dtype dtype, int64_t at, int part)
{
    if (dtype == ES_S8) return es_load_bytes((const int8_t *)data + at + part / 2 * 2 * ES_LANES, part % 2);
    if (dtype == ES_F16) return es_load_half((const uint16_t *)data + at + part * ES_LANES);
    return es_load((const float *)data + at + part * ES_LANES);
}

ES_INLINE int64_t es_padded(int64_t elements)
{
    return (elements + 2 * ES_LANES - 1) / (2 * ES_LANES) * (2 * ES_LANES);
}

static inline size_t es_attention_rows_bytes(int64_t count, int64_t padded)
{
    return (size_t)count * (size_t)(2 * padded + 2 + ES_TILE_KEYS) * sizeof(float);
}

/* Give the rows their places in memory of es_attention_rows_bytes; return its end. */
static inline float *es_place_attention_rows(es_attention_rows *rows, int64_t count, int64_t padded, float *memory)
{
    rows->count = count;
    rows->padded = padded;
    rows->queries = memory;
    rows->sums = rows->queries + count * padded;
    rows->scores = rows->sums + count * padded;
    rows->largest = rows->scores + count * ES_TILE_KEYS;
    rows->weights = rows->largest + count;
    return rows->weights + count;
}

/* Begin with a query of head_dim elements that sees the first `end` keys. */
static inline void es_begin_attention_row(es_attention_rows *rows, int64_t row, const float *query, int64_t head_dim,
                                          float scale, int64_t end)
{
    rows->end[row] = end;
    float *to = rows->queries + row * rows->padded;
    for (int64_t i = 0; i < head_dim; i++) to[i] = query[i] * scale;
    for (int64_t i = head_dim; i < rows->padded; i++) to[i] = 0.0f;
    memset(rows->sums + row * rows->padded, 0, (size_t)rows->padded * sizeof(float));
    rows->largest[row] = -INFINITY;
    rows->weights[row] = 0.0f;
}

/* Say which keys of the tile that begins at a token every row sees; return the first row that sees any. */
static inline int64_t es_begin_tile(es_attention_rows *rows, int64_t tile)
{
    int64_t first = 0;
    for (int64_t row = 0; row < rows->count; row++) {
        int64_t seen = rows->end[row] - tile;
        rows->seen[row] = seen < 0 ? 0 : seen < ES_TILE_KEYS ? seen : ES_TILE_KEYS;
        first += rows->seen[row] == 0;
    }
    return first;
}

/* Products of count rows with the keys of a tile. */
ES_INLINE void es_score_few(const es_attention_rows *rows, int64_t row, int count, es_key_tile tile, es_dtype dtype)
{
    const float *queries = rows->queries + row * rows->padded;
    for (int key = 0; key < ES_TILE_KEYS; key += 4) {
        es_f32 products[ES_ROWS_AT_ONCE][4];
        ES_UNROLL
        for (int r = 0; r < count; r++) {
            ES_UNROLL
            for (int k = 0; k < 4; k++) products[r][k] = es_splat(0.0f);
        }
        for (int64_t i = 0; i < rows->padded; i += 2 * ES_LANES) {
            ES_UNROLL
            for (int part = 0; part < 2; part++) {
                es_f32 keys[4];
                ES_UNROLL
                for (int k = 0; k < 4; k++) keys[k] = es_load_part(tile.data, dtype, (key + k) * tile.stride + i, part);
                ES_UNROLL
                for (int r = 0; r < count; r++) {
                    es_f32 query = es_load(queries + r * rows->padded + i + part * ES_LANES);
                    ES_UNROLL
                    for (int k = 0; k < 4; k++) products[r][k] = es_fma(query, keys[k], products[r][k]);
                }
            }
        }
        ES_UNROLL
        for (int r = 0; r < count; r++)
            es_store_sums(rows->scores + (row + r) * ES_TILE_KEYS + key, products[r][0], products[r][1], products[r][2],
                          products[r][3]);
    }
}

ES_INLINE void es_score_rows_of(const es_attention_rows *rows, int64_t first, es_key_tile tile, es_dtype dtype)
{
    int64_t row = first;
    for (; row + ES_ROWS_AT_ONCE <= rows->count; row += ES_ROWS_AT_ONCE)
        es_score_few(rows, row, ES_ROWS_AT_ONCE, tile, dtype);
    switch (rows->count - row) {
#if ES_ROWS_AT_ONCE > 2
    case 3: es_score_few(rows, row, 3, tile, dtype); break;
    case 2: es_score_few(rows, row, 2, tile, dtype); break;
#endif
    case 1: es_score_few(rows, row, 1, tile, dtype); break;
    default: break;
    }
}

/* Scores of rows first to rows->count - 1 with the keys of a tile. */
static void es_score_rows(const es_attention_rows *rows, int64_t first, es_key_tile tile)
{
    if (tile.dtype == ES_S8) es_score_rows_of(rows, first, tile, ES_S8);
    else if (tile.dtype == ES_F16) es_score_rows_of(rows, first, tile, ES_F16);
    else es_score_rows_of(rows, first, tile, ES_F32);
}

/* Turn the scores of a row into weights relative to its largest score, and its sums too where that has grown. */
static void es_weigh_row(es_attention_rows *rows, int64_t row)
{
    float *scores = rows->scores + row * ES_TILE_KEYS, *sums = rows->sums + row * rows->padded;
    int64_t seen = rows->seen[row];
    for (int64_t key = seen; key < ES_TILE_KEYS; key++) scores[key] = -INFINITY;
    es_f32 most = es_load(scores);
    for (int key = ES_LANES; key < ES_TILE_KEYS; key += ES_LANES) most = es_max(most, es_load(scores + key));
    float before = rows->largest[row], highest = es_largest(most);
    if (highest > before) {
        float shrink[ES_LANES];
        es_store(shrink, es_exp(es_splat(before - highest)));
        es_f32 factor = es_splat(before == -INFINITY ? 0.0f : shrink[0]);
        for (int64_t i = 0; i < rows->padded; i += ES_LANES) es_store(sums + i, es_mul(es_load(sums + i), factor));
        rows->weights[row] = before == -INFINITY ? 0.0f : rows->weights[row] * shrink[0];
        rows->largest[row] = highest;
    }
    es_f32 total = es_splat(0.0f), largest = es_splat(rows->largest[row]);
    for (int key = 0; key < ES_TILE_KEYS; key += ES_LANES)
        es_store(scores + key, es_exp(es_sub(es_load(scores + key), largest)));
    for (int64_t key = seen; key < ES_TILE_KEYS; key++) scores[key] = 0.0f;
    for (int key = 0; key < ES_TILE_KEYS; key += ES_LANES) total = es_add(total, es_load(scores + key));
    rows->weights[row] += es_sum(total);
}

/* Add the weighted values of the keys that count rows see to parts of these rows, from element i on. */
ES_INLINE void es_add_parts(const es_attention_rows *rows, int64_t row, int count, int64_t i, int parts, es_key_tile tile,
                            es_dtype dtype)
{
    es_f32 sums[ES_ROWS_AT_ONCE][ES_ROW_PARTS];
    float *to = rows->sums + row * rows->padded + i;
    const float *weights = rows->scores + row * ES_TILE_KEYS;
    int64_t seen = rows->seen[row];
    ES_UNROLL
    for (int r = 0; r < count; r++) {
        ES_UNROLL
        for (int p = 0; p < parts; p++) sums[r][p] = es_load(to + r * rows->padded + p * ES_LANES);
    }
    for (int64_t key = 0; key < seen; key++) {
        es_f32 values[ES_ROW_PARTS];
        ES_UNROLL
        for (int p = 0; p < parts; p++) values[p] = es_load_part(tile.data, dtype, key * tile.stride + i, p);
        ES_UNROLL
        for (int r = 0; r < count; r++) {
            ES_UNROLL
            for (int p = 0; p < parts; p++)
                sums[r][p] = es_fma_scalar(values[p], weights[r * ES_TILE_KEYS + key], sums[r][p]);
        }
    }
    ES_UNROLL
    for (int r = 0; r < count; r++) {
        ES_UNROLL
        for (int p = 0; p < parts; p++) es_store(to + r * rows->padded + p * ES_LANES, sums[r][p]);
    }
}

ES_INLINE void es_add_few(const es_attention_rows *rows, int64_t row, int count, es_key_tile tile, es_dtype dtype)
{
    int64_t i = 0;
    for (; i + ES_ROW_PARTS * ES_LANES <= rows->padded; i += ES_ROW_PARTS * ES_LANES)
        es_add_parts(rows, row, count, i, ES_ROW_PARTS, tile, dtype);
    for (; i < rows->padded; i += 2 * ES_LANES) es_add_parts(rows, row, count, i, 2, tile, dtype);
}

/* Rows that see different keys are not taken together: a value that a row does not see must not reach it, not even with
 * weight 0, since it may be infinite. */
ES_INLINE void es_add_values_of(const es_attention_rows *rows, int64_t first, es_key_tile tile, es_dtype dtype)
{
    int64_t row = first;
    while (row < rows->count) {
        int64_t last = row + 1;
        while (last < rows->count && last - row < ES_ROWS_AT_ONCE && rows->seen[last] == rows->seen[row]) last++;
        switch (last - row) {
#if ES_ROWS_AT_ONCE > 2
        case 4: es_add_few(rows, row, 4, tile, dtype); break;
        case 3: es_add_few(rows, row, 3, tile, dtype); break;
#endif
        case 2: es_add_few(rows, row, 2, tile, dtype); break;
        default: es_add_few(rows, row, 1, tile, dtype); break;
        }
        row = last;
    }
}

/* Add the weighted values of a tile to rows first to rows->count - 1. */
static void es_add_values(const es_attention_rows *rows, int64_t first, es_key_tile tile)
{
    if (tile.dtype == ES_S8) es_add_values_of(rows, first, tile, ES_S8);
    else if (tile.dtype == ES_F16) es_add_values_of(rows, first, tile, ES_F16);
    else es_add_values_of(rows, first, tile, ES_F32);
}

/* The result of a row. */
static inline void es_finish_attention_row(const es_attention_rows *rows, int64_t row, float *result, int64_t head_dim)
{
    const float *sums = rows->sums + row * rows->padded;
    float weight = rows->weights[row];
    for (int64_t i = 0; i < head_dim; i++) result[i] = sums[i] / weight;
}

#endif
