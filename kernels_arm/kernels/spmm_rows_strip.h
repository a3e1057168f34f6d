/* One strip over at most ES_ROW_PIXELS pixels: the choice among the register tiles of spmm_rows_tile.h. */
#ifndef ES_SPMM_ROWS_STRIP_H
#define ES_SPMM_ROWS_STRIP_H

#include "spmm_rows_tile.h"

typedef void (*es_row_function)(const es_row_place *place, const es_pixels *at, const es_strip *strip, uint32_t inside);

#define ES_ROW_TILE(vectors, pixels, type)                                                                     \
    static void row_tile_##type##_##vectors##_##pixels(const es_row_place *place, const es_pixels *at,         \
                                                       const es_strip *strip, uint32_t inside)                 \
    {                                                                                                          \
        es_row_tile(place, at, strip, inside, vectors, pixels, ES_ROW_IS_HALF_##type);                         \
    }
#define ES_ROW_IS_HALF_f32 false
#define ES_ROW_IS_HALF_f16 true
#define ES_ROW_TILES(vectors, type)                                                                            \
    ES_ROW_TILE(vectors, 1, type) ES_ROW_TILE(vectors, 2, type) ES_ROW_TILE(vectors, 3, type)                  \
    ES_ROW_TILE(vectors, 4, type) ES_ROW_TILES_ABOVE_4(vectors, type)                                          \
    static const es_row_function row_tiles_##type##_##vectors[ES_ROW_PIXELS] = {                               \
        row_tile_##type##_##vectors##_1, row_tile_##type##_##vectors##_2, row_tile_##type##_##vectors##_3,     \
        row_tile_##type##_##vectors##_4 ES_ROW_NAMES_ABOVE_4(vectors, type)};
#if defined(ES_VEC_SIMD128_H)
#define ES_ROW_TILES_ABOVE_4(vectors, type)
#define ES_ROW_NAMES_ABOVE_4(vectors, type)
#else
#define ES_ROW_TILES_ABOVE_4(vectors, type) ES_ROW_TILE(vectors, 5, type) ES_ROW_TILE(vectors, 6, type)
#define ES_ROW_NAMES_ABOVE_4(vectors, type) , row_tile_##type##_##vectors##_5, row_tile_##type##_##vectors##_6
#endif

#if defined(ES_VEC_NEON_H)
#define ES_ROW_WIDEST(type) ES_ROW_TILES(4, type)
#define ES_ROW_CHOOSE(type, vectors) \
    ((vectors) >= 4 ? row_tiles_##type##_4 : (vectors) == 2 ? row_tiles_##type##_2 : row_tiles_##type##_1)
#else
#define ES_ROW_WIDEST(type)
#define ES_ROW_CHOOSE(type, vectors) ((vectors) >= 2 ? row_tiles_##type##_2 : row_tiles_##type##_1)
#endif

#define ES_ROW_STRIP(name, type)                                                                               \
    ES_ROW_TILES(1, type) ES_ROW_TILES(2, type) ES_ROW_WIDEST(type)                                            \
    static void name(const es_row_place *place, const es_pixels *at, const es_strip *strip)                    \
    {                                                                                                          \
        switch (strip->group) {                                                                                \
        case 1: es_narrow_tile(place, at, strip, 1, ES_ROW_IS_HALF_##type); return;                            \
        case 2: es_narrow_tile(place, at, strip, 2, ES_ROW_IS_HALF_##type); return;                            \
        default: break;                                                                                        \
        }                                                                                                      \
        if (ES_LANES > 4 && strip->group == 4) {                                                               \
            es_narrow_tile(place, at, strip, 4, ES_ROW_IS_HALF_##type);                                        \
            return;                                                                                            \
        }                                                                                                      \
        int vectors = (int)(strip->group / ES_LANES);                                                          \
        const es_row_function *tiles = ES_ROW_CHOOSE(type, vectors);                                           \
        if (vectors > ES_ROW_VECTORS) vectors = ES_ROW_VECTORS;                                                \
        for (uint32_t inside = 0; inside < strip->group; inside += (uint32_t)(vectors * ES_LANES))             \
            tiles[at->count - 1](place, at, strip, inside);                                                    \
    }

ES_ROW_STRIP(es_row_strip, f32)

#endif
