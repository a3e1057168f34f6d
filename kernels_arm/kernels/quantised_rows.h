/* Rows of x as s8: q = rint(x * (127 / m)) with m the largest magnitude of the row; one unit is worth m / 127. */
#ifndef ES_QUANTISED_ROWS_H
#define ES_QUANTISED_ROWS_H

#include <math.h>

#include "integer.h"

/* Rows below this count as zero, so that 127 / m is finite. */
#define ES_SMALLEST_ROW 7.888609052210118e-31f /* 2^-100 */

/* Zeros behind a row of q, so that vectors may read past its columns. */
enum { ES_ROW_PADDING = 16 };

/* The largest magnitude of a row; *poison gets NaN if the row holds a number that is none, or infinite, else 0. */
static inline float es_largest_magnitude(const float *x, int64_t columns, float *poison)
{
    es_f32 zero = es_splat(0.0f), high = zero, low = zero, nothing = zero;
    int64_t i = 0;
    for (; i + ES_LANES <= columns; i += ES_LANES) {
        es_f32 value = es_load(x + i);
        high = es_max(high, value);
        low = es_min(low, value);
        nothing = es_fma(value, zero, nothing);
    }
    float largest = es_largest(es_max(high, es_sub(zero, low)));
    *poison = es_sum(nothing);
    for (; i < columns; i++) {
        float magnitude = fabsf(x[i]);
        largest = magnitude > largest ? magnitude : largest;
        *poison += x[i] * 0.0f;
    }
    return largest;
}

/* Quantise one row, with padding behind it; return what a unit is worth. */
static inline float es_quantise_row(const float *x, int64_t columns, int8_t *q)
{
    float poison, largest = es_largest_magnitude(x, columns, &poison);
    float inverse = largest >= ES_SMALLEST_ROW ? 127.0f / largest : 0.0f;
    const es_f32 factor = es_splat(inverse);
    int64_t i = 0;
    for (; i + ES_LANES <= columns; i += ES_LANES) es_store_rounded(q + i, es_mul(es_load(x + i), factor));
    memset(q + i, 0, (size_t)(columns - i) + ES_ROW_PADDING);
    if (i < columns) {
        int8_t rest[ES_LANES];
        es_store_rounded(rest, es_mul(es_load_first(x + i, (int)(columns - i)), factor));
        memcpy(q + i, rest, (size_t)(columns - i));
    }
    return largest / 127.0f + poison;
}

/* Cuts the kept columns of a strip into pieces: segments, and parts of them that 32-bit sums can hold. */
typedef struct es_pieces {
    int64_t segment; /* columns, at least 1 */
    int64_t left;    /* of the segment */
} es_pieces;

static inline es_pieces es_cut_pieces(uint32_t segment, uint32_t columns)
{
    return (es_pieces){segment ? segment : columns, segment ? segment : columns};
}

/* Columns of the next piece; *ends says whether a segment ends with it. */
ES_INLINE int64_t es_next_piece(es_pieces *pieces, int64_t columns, bool *ends)
{
    int64_t piece = pieces->left < ES_EXACT_COLUMNS ? pieces->left : ES_EXACT_COLUMNS;
    pieces->left -= piece;
    *ends = !pieces->left;
    if (*ends) pieces->left = pieces->segment;
    return piece < columns ? piece : columns;
}

/* The most pieces that a strip has. */
static inline uint64_t es_count_pieces(uint32_t segment, uint32_t columns)
{
    uint64_t length = segment ? segment : columns;
    return (columns + length - 1) / length * ((length + ES_EXACT_COLUMNS - 1) / ES_EXACT_COLUMNS);
}

/* Sums of consecutive bytes, spread over the lanes. */
ES_INLINE es_words es_sum_row_bytes(const int8_t *q, int64_t count)
{
    enum { STEP = 4 * ES_LANES };
    es_words sum = es_no_words();
    for (; count >= STEP; count -= STEP, q += STEP) sum = es_add_bytes(sum, es_load_integers(q));
    if (!count) return sum;
    int8_t rest[STEP] = {0};
    memcpy(rest, q, (size_t)count);
    return es_add_bytes(sum, es_load_integers(rest));
}

/* Write -offset times the sum of every piece: what corrects weights that are stored with an offset. */
ES_APART void es_sum_pieces(const int8_t *q, int64_t columns, es_pieces pieces, int32_t offset, int32_t *sums)
{
    enum { AT_ONCE = 4 };
    const int64_t segment = pieces.segment;
    if (segment % (4 * ES_LANES) == 0 && segment <= ES_EXACT_COLUMNS) {
        /* Segments that are pieces and have no rest, four at a time: a third of the instructions. */
        for (; columns >= AT_ONCE * segment; columns -= AT_ONCE * segment, sums += AT_ONCE) {
            es_words sum[AT_ONCE];
            ES_UNROLL
            for (int i = 0; i < AT_ONCE; i++) {
                sum[i] = es_no_words();
                for (int64_t left = segment; left; left -= 4 * ES_LANES, q += 4 * ES_LANES)
                    sum[i] = es_add_bytes(sum[i], es_load_integers(q));
            }
            es_store_lane_sums(sums, sum[0], sum[1], sum[2], sum[3], -offset);
        }
    }
    for (bool ends; columns;) {
        int64_t piece = es_next_piece(&pieces, columns, &ends);
        *sums++ = -offset * es_sum_lanes(es_sum_row_bytes(q, piece));
        q += piece;
        columns -= piece;
    }
}

#endif
