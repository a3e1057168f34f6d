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
    const int32_t *corrections; /* of every row of x and piece; NULL: none */
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
        if (dtype == ES_S4)
            es_split_nibbles(first, &first, &second);
        else if (both)
            second = es_load_tile(values + ((size_t)v * ES_LANES + group) * row_bytes, dtype);
        ES_UNROLL
        for (int t = 0; t < tokens; t++) {
            es_products *sum = &products[t * vectors + v];
            *sum = es_dot_first(*sum, first, x[t], is_signed);
            if (both) *sum = es_dot_second(*sum, second, x[t], is_signed);
        }
    }
}

/* Rows inside … inside + vectors * ES_LANES - 1 of a strip: sum r of token t goes to totals[t * ES_LARGEST_GROUP + r],
 * in units of x. */
ES_INLINE void es_integer_block(const es_integer_strip *strip, size_t inside, float *totals, const es_dtype dtype,
                                const int vectors, const int tokens)
{
    const size_t group = strip->group, row_bytes = es_tile_row_bytes(dtype);
    const size_t step = group * row_bytes * (dtype == ES_S4 ? 1 : 2);
    const int8_t *x = strip->x.bytes;
    const size_t x_distance = strip->x.distance;
    const uint8_t *values = strip->values + inside * row_bytes;
    const uint16_t *scales = strip->scales + inside;
    es_pieces pieces = strip->pieces;
    es_f32 results[16];
    ES_UNROLL
    for (int i = 0; i < vectors * tokens; i++) results[i] = es_splat(0.0f);
    const uint64_t limit = (uint64_t)es_tile_limit(dtype) / 2;
    size_t number = 0;
    for (int64_t left = strip->columns; left; number++) {
        bool ends;
        int64_t piece = es_next_piece(&pieces, left, &ends);
        /* Pairs of tiles, and whether one tile more. */
        uint64_t pairs = ((uint64_t)piece + (dtype == ES_S4 ? 7 : 3)) / 8;
        const bool odd = dtype != ES_S4 && ((uint64_t)piece + 3) / 4 % 2;
        left -= piece;
        es_sums sums[16];
        ES_UNROLL
        for (int i = 0; i < vectors * tokens; i++)
            sums[i] = es_start_sums(
                dtype == ES_S8 ? 0 : strip->corrections[(size_t)(i / vectors) * strip->correction_distance + number]);
        while (pairs) {
            uint64_t some = limit == ES_NO_TILE_LIMIT / 2 ? pairs : limit == 1 || pairs > limit ? limit : pairs;
            pairs -= some;
            es_products products[16];
            es_columns columns[ES_TOKENS_OF_MANY];
            ES_UNROLL
            for (int i = 0; i < vectors * tokens; i++) products[i] = es_no_products();
            do {
                ES_UNROLL
                for (int t = 0; t < tokens; t++) columns[t] = es_load_columns(x + (size_t)t * x_distance);
                es_multiply_tiles(products, values, group, columns, dtype, vectors, tokens, true);
                x += 8;
                values += step;
            } while (--some);
            ES_UNROLL
            for (int i = 0; i < vectors * tokens; i++) sums[i] = es_add_products(sums[i], products[i], dtype == ES_S8);
        }
        if (odd) {
            es_products products[16];
            es_columns columns[ES_TOKENS_OF_MANY];
            ES_UNROLL
            for (int t = 0; t < tokens; t++) columns[t] = es_load_columns(x + (size_t)t * x_distance);
            ES_UNROLL
            for (int i = 0; i < vectors * tokens; i++) products[i] = es_no_products();
            es_multiply_tiles(products, values, group, columns, dtype, vectors, tokens, false);
            ES_UNROLL
            for (int i = 0; i < vectors * tokens; i++) sums[i] = es_add_products(sums[i], products[i], dtype == ES_S8);
            x += 4;
            values += step / 2;
        }
        ES_UNROLL
        for (int v = 0; v < vectors; v++) {
            es_f32 scale = es_load_half(scales + v * ES_LANES);
            ES_UNROLL
            for (int t = 0; t < tokens; t++) {
                es_f32 sum = es_to_float(es_sum_rows(sums[t * vectors + v]));
                results[t * vectors + v] = es_fma(sum, scale, results[t * vectors + v]);
            }
        }
        if (ends) scales += group;
    }
    ES_UNROLL
    for (int i = 0; i < vectors * tokens; i++)
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
    for (size_t row = 0; row < group; row++) totals[row] = 0.0f;
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

#endif
