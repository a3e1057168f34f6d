/* Sums of integer products of one strip: a block of its rows for one or some rows of x. */
#ifndef ES_INTEGER_TILE_H
#define ES_INTEGER_TILE_H

#include "gather_columns.h"
#include "quantised_rows.h"

enum { ES_TOKENS_OF_MANY = ES_GATHERED_ROWS, ES_LARGEST_GROUP = 32 };

/* A strip, and x with the columns that it keeps only. */
typedef struct es_integer_strip {
    const uint8_t *values;
    const uint16_t *scales;
    size_t group;
    int64_t columns; /* kept */
    es_pieces pieces;
    es_byte_rows x;
    const int32_t *corrections; /* of every row of x and piece; NULL for S8 */
    size_t correction_distance;
} es_integer_strip;

/* dtype is a constant of the caller in all functions from here on. */
ES_INLINE int es_tile_limit(const es_dtype dtype)
{
    return dtype == ES_S8 ? ES_TILE_LIMIT_SIGNED : dtype == ES_S4 ? ES_TILE_LIMIT_15 : ES_TILE_LIMIT_3;
}

/* What stored weights exceed their values by. */
ES_INLINE int32_t es_stored_offset(const es_dtype dtype) { return dtype == ES_S8 ? 0 : dtype == ES_S4 ? 8 : 1; }

/* Bytes of a row in one tile; of S4 in two. */
ES_INLINE size_t es_tile_row_bytes(const es_dtype dtype) { return dtype == ES_TERNARY ? 1 : 4; }

ES_INLINE es_bytes es_load_tile(const uint8_t *values, const es_dtype dtype)
{
    return dtype == ES_TERNARY ? es_load_quarters(values) : es_load_integers(values);
}

/* Two tiles, or one where several is not set: vectors of rows, for some rows of x. */
ES_INLINE void es_multiply_tiles(es_products *products, const uint8_t *values, size_t group, const es_columns *x,
                                 const es_dtype dtype, const int vectors, const int tokens, const bool both)
{
    const bool is_signed = dtype == ES_S8;
    const size_t row_bytes = es_tile_row_bytes(dtype);
    ES_UNROLL
    for (int v = 0; v < vectors; v++) {
        es_bytes first = es_load_tile(values + (size_t)v * ES_LANES * row_bytes, dtype), second = first;
        if (both && dtype != ES_S4)
            second = es_load_tile(values + ((size_t)v * ES_LANES + group) * row_bytes, dtype);
        ES_UNROLL
        for (int t = 0; t < tokens; t++) {
            es_products *sum = &products[t * vectors + v];
            if (dtype == ES_S4) {
                *sum = es_dot_nibbles(*sum, first, x[t]);
                continue;
            }
            *sum = es_dot_first(*sum, first, x[t], is_signed);
            if (both) *sum = es_dot_second(*sum, second, x[t], is_signed);
        }
    }
}

/* Where a block has arrived. */
typedef struct es_tile_place {
    const int8_t *x;
    const uint8_t *values;
} es_tile_place;

/* Two tiles for every row of x, or one where both is not set. */
ES_INLINE void es_step_tiles(es_products *products, const es_integer_strip *strip, es_tile_place *at,
                             const es_dtype dtype, const int vectors, const int tokens, const bool both)
{
    es_columns columns[ES_TOKENS_OF_MANY];
    ES_UNROLL
    for (int t = 0; t < tokens; t++) columns[t] = es_load_columns(at->x + (size_t)t * strip->x.distance);
    es_multiply_tiles(products, at->values, strip->group, columns, dtype, vectors, tokens, both);
    at->x += both ? 8 : 4;
    at->values += strip->group * es_tile_row_bytes(dtype) * (both && dtype != ES_S4 ? 2 : 1);
}

/* The exact sums of one piece of columns, 1 or more. */
ES_INLINE void es_sum_piece(es_sums *sums, const es_integer_strip *strip, es_tile_place *at, int64_t piece,
                            const es_dtype dtype, const int vectors, const int tokens)
{
    const int all = vectors * tokens;
    const uint64_t limit = (uint64_t)es_tile_limit(dtype) / 2;
    /* Pairs of tiles, and whether one tile more. */
    uint64_t pairs = ((uint64_t)piece + (dtype == ES_S4 ? 7 : 3)) / 8;
    const bool odd = dtype != ES_S4 && ((uint64_t)piece + 3) / 4 % 2;
    es_products products[16];
    while (pairs) {
        uint64_t some = limit == ES_NO_TILE_LIMIT / 2 ? pairs : limit == 1 || pairs > limit ? limit : pairs;
        pairs -= some;
        ES_UNROLL
        for (int i = 0; i < all; i++) products[i] = es_no_products();
        do es_step_tiles(products, strip, at, dtype, vectors, tokens, true);
        while (--some);
        ES_UNROLL
        for (int i = 0; i < all; i++) sums[i] = es_add_products(sums[i], products[i], dtype == ES_S8);
    }
    if (!odd) return;
    ES_UNROLL
    for (int i = 0; i < all; i++) products[i] = es_no_products();
    es_step_tiles(products, strip, at, dtype, vectors, tokens, false);
    ES_UNROLL
    for (int i = 0; i < all; i++) sums[i] = es_add_products(sums[i], products[i], dtype == ES_S8);
}

/* vectors * ES_LANES rows of a strip, from its row inside on. The sum of row r and token t goes to
 * totals[t * ES_LARGEST_GROUP + r], in units of x. */
ES_INLINE void es_integer_block(const es_integer_strip *strip, size_t inside, float *totals, const es_dtype dtype,
                                const int vectors, const int tokens)
{
    const int all = vectors * tokens;
    es_tile_place at = {strip->x.bytes, strip->values + inside * es_tile_row_bytes(dtype)};
    const uint16_t *scales = strip->scales + inside;
    const int32_t *corrections = strip->corrections;
    es_pieces pieces = strip->pieces;
    es_f32 results[16];
    ES_UNROLL
    for (int i = 0; i < all; i++) results[i] = es_splat(0.0f);
    for (int64_t left = strip->columns; left;) {
        bool ends;
        int64_t piece = es_next_piece(&pieces, left, &ends);
        left -= piece;
        es_sums sums[16];
        ES_UNROLL
        for (int i = 0; i < all; i++) {
            const size_t token = (size_t)(i / vectors);
            sums[i] = es_start_sums(dtype == ES_S8 ? 0 : corrections[token * strip->correction_distance]);
        }
        if (dtype != ES_S8) corrections++;
        es_sum_piece(sums, strip, &at, piece, dtype, vectors, tokens);
        ES_UNROLL
        for (int v = 0; v < vectors; v++) {
            es_f32 scale = es_load_scales(scales + v * ES_LANES);
            ES_UNROLL
            for (int i = v; i < all; i += vectors)
                results[i] = es_fma(es_to_float(es_sum_rows(sums[i])), scale, results[i]);
        }
        if (ends) scales += strip->group;
    }
    ES_UNROLL
    for (int i = 0; i < all; i++)
        es_store(totals + i / vectors * ES_LARGEST_GROUP + inside + (size_t)(i % vectors) * ES_LANES, results[i]);
}

/* Columns of x for a vector of several tiles, each of group rows: stride words apart, none beyond words. */
ES_INLINE es_bytes es_spread_columns(const int8_t *x, size_t group, size_t stride, size_t words)
{
    uint8_t spread[4 * ES_LANES] = {0};
    for (size_t lane = 0; lane < ES_LANES && lane / group * stride < words; lane++)
        memcpy(spread + 4 * lane, x + lane / group * stride * 4, 4);
    return es_load_integers(spread);
}

/* A strip of fewer rows than lanes, for one row of x: a vector holds several tiles. */
ES_INLINE void es_narrow_block(const es_integer_strip *strip, float *totals, const es_dtype dtype)
{
    const size_t group = strip->group, bytes = ES_LANES * es_tile_row_bytes(dtype);
    const size_t paired = dtype == ES_S4 ? 2 : 1, together = ES_LANES / group * paired;
    const int8_t *x = strip->x.bytes;
    const uint8_t *values = strip->values;
    const uint16_t *scales = strip->scales;
    es_pieces pieces = strip->pieces;
    for (size_t row = 0; row < ES_LANES; row++) totals[row] = 0.0f;
    size_t number = 0;
    for (int64_t left = strip->columns; left; number++) {
        bool ends;
        int64_t piece = es_next_piece(&pieces, left, &ends);
        left -= piece;
        es_sums sums = es_start_sums(0);
        for (size_t tiles = ((size_t)piece + 4 * paired - 1) / (4 * paired) * paired; tiles;) {
            size_t some = tiles < together ? tiles : together;
            uint8_t own[4 * ES_LANES] = {0};
            size_t some_bytes = some / paired * group * es_tile_row_bytes(dtype);
            /* The last vector of a file has nothing behind it. */
            if (some < together) memcpy(own, values, some_bytes);
            else memcpy(own, values, bytes);
            es_bytes first = es_load_tile(own, dtype), second;
            es_products products = es_no_products();
            if (dtype == ES_S4) {
                es_split_nibbles(first, &first, &second);
                products = es_dot(products, second, es_spread_columns(x + 4, group, 2, some), false);
            }
            products = es_dot(products, first, es_spread_columns(x, group, paired, some), dtype == ES_S8);
            sums = es_add_products(sums, products, dtype == ES_S8);
            values += some_bytes;
            x += 4 * some;
            tiles -= some;
        }
        int32_t lanes[ES_LANES];
        es_store_words(lanes, es_sum_rows(sums));
        for (size_t row = 0; row < group; row++) {
            int32_t sum = dtype == ES_S8 ? 0 : strip->corrections[number];
            for (size_t lane = row; lane < ES_LANES; lane += group) sum += lanes[lane];
            totals[row] += (float)sum * es_half_to_float(scales[row]);
        }
        if (ends) scales += group;
    }
}

/* The largest block that the registers hold and that the strip has. Conditions on constants leave only such blocks. */
ES_INLINE void es_sum_block(const es_integer_strip *strip, size_t inside, int vectors, float *totals,
                            const es_dtype dtype, const int tokens, const int most)
{
    if (most >= 4 && vectors == 4) es_integer_block(strip, inside, totals, dtype, 4, tokens);
    else if (most >= 2 && vectors == 2) es_integer_block(strip, inside, totals, dtype, 2, tokens);
    else es_integer_block(strip, inside, totals, dtype, 1, tokens);
}

ES_INLINE void es_sum_strip(const es_integer_strip *strip, bool many, float *totals, const es_dtype dtype)
{
    if (strip->group < ES_LANES) {
        es_narrow_block(strip, totals, dtype);
        return;
    }
    const int most_of_many = dtype == ES_S8 ? ES_BLOCK_VECTORS_OF_MANY_SIGNED : ES_BLOCK_VECTORS_OF_MANY;
    int vectors = (int)(strip->group / ES_LANES), most = many ? most_of_many : ES_BLOCK_VECTORS;
    if (vectors > most) vectors = most;
    for (size_t inside = 0; inside < strip->group; inside += (size_t)vectors * ES_LANES) {
        if (many) es_sum_block(strip, inside, vectors, totals, dtype, ES_TOKENS_OF_MANY, most_of_many);
        else es_sum_block(strip, inside, vectors, totals, dtype, 1, ES_BLOCK_VECTORS);
    }
}

#endif
