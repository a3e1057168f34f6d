/* All register tiles of products in CHW: which there are on this instruction set, by rows and vectors of pixels. */
#ifndef ES_SPMM_CHW_TILES_H
#define ES_SPMM_CHW_TILES_H

#include "spmm_chw_tile.h"

typedef void (*tile_function)(const es_chw_place *at, const es_strip *strip, uint32_t inside);

#define TILE(rows, vectors, distance)                                                                                  \
    static void tile_##rows##_##vectors##_##distance(const es_chw_place *at, const es_strip *strip, uint32_t inside)   \
    {                                                                                                                  \
        es_chw_tile(at, strip, inside, rows, vectors, distance);                                                       \
    }
#define TILES_2(rows, distance) TILE(rows, 1, distance) TILE(rows, 2, distance)
#define TILES_3(rows, distance) TILES_2(rows, distance) TILE(rows, 3, distance)
#define TILES_4(rows, distance) TILES_3(rows, distance) TILE(rows, 4, distance)
#define TILES_6(rows, distance) TILES_4(rows, distance) TILE(rows, 5, distance) TILE(rows, 6, distance)
#define TILES_8(rows, distance) TILES_6(rows, distance) TILE(rows, 7, distance) TILE(rows, 8, distance)
#define NAMES_2(rows, distance) tile_##rows##_1_##distance, tile_##rows##_2_##distance
#define NAMES_3(rows, distance) NAMES_2(rows, distance), tile_##rows##_3_##distance
#define NAMES_4(rows, distance) NAMES_3(rows, distance), tile_##rows##_4_##distance
#define NAMES_6(rows, distance) NAMES_4(rows, distance), tile_##rows##_5_##distance, tile_##rows##_6_##distance
#define NAMES_8(rows, distance) NAMES_6(rows, distance), tile_##rows##_7_##distance, tile_##rows##_8_##distance
#define TILES_12(rows, distance)                                                                                       \
    TILES_8(rows, distance) TILE(rows, 9, distance) TILE(rows, 10, distance) TILE(rows, 11, distance)                  \
    TILE(rows, 12, distance)
#define NAMES_12(rows, distance)                                                                                       \
    NAMES_8(rows, distance), tile_##rows##_9_##distance, tile_##rows##_10_##distance, tile_##rows##_11_##distance,     \
        tile_##rows##_12_##distance

/* By the logarithm of the rows of a tile, then by its vectors; the last row reads a part of larger groups. */
#if defined(ES_VEC_NEON_H)
TILES_12(1, 1) TILES_8(2, 2) TILES_6(4, 4) TILES_3(8, 8) TILES_3(8, 0)
static const tile_function tiles[5][ES_CHW_VECTORS] = {{NAMES_12(1, 1)}, {NAMES_8(2, 2)}, {NAMES_6(4, 4)},
                                                       {NAMES_3(8, 8)}, {NAMES_3(8, 0)}};
static const int most_vectors[5] = {12, 8, 6, 3, 3};
enum { LARGEST_TILE = 3 };
#elif defined(ES_VEC_AVX2_H)
TILES_6(1, 1) TILES_4(2, 2) TILES_3(4, 4) TILES_3(4, 0)
static const tile_function tiles[4][ES_CHW_VECTORS] = {{NAMES_6(1, 1)}, {NAMES_4(2, 2)}, {NAMES_3(4, 4)},
                                                       {NAMES_3(4, 0)}};
static const int most_vectors[4] = {6, 4, 3, 3};
enum { LARGEST_TILE = 2 };
#else
TILES_6(1, 1) TILES_4(2, 2) TILES_2(4, 4) TILES_2(4, 0)
static const tile_function tiles[4][ES_CHW_VECTORS] = {{NAMES_6(1, 1)}, {NAMES_4(2, 2)}, {NAMES_2(4, 4)},
                                                       {NAMES_2(4, 0)}};
static const int most_vectors[4] = {6, 4, 2, 2};
enum { LARGEST_TILE = 2 };
#endif

/* The row of the table for strips of a group. */
static int tile_kind(uint32_t group)
{
    int kind = 0;
    while (kind <= LARGEST_TILE && group > 1u << kind) kind++;
    return kind;
}

#endif
