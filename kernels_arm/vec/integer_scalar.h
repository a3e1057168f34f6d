/* integer.h in plain C. */
#ifndef ES_INTEGER_SCALAR_H
#define ES_INTEGER_SCALAR_H

typedef struct es_bytes { uint8_t byte[16]; } es_bytes;
typedef struct es_words { int32_t lane[4]; } es_words;
typedef es_words es_products;
typedef es_words es_sums;
/* 8 columns of x */
typedef struct es_columns { int8_t byte[8]; } es_columns;

enum { ES_BLOCK_VECTORS = 1, ES_BLOCK_VECTORS_OF_MANY = 1, ES_BLOCK_VECTORS_OF_MANY_SIGNED = 1 };
enum { ES_TILE_LIMIT_SIGNED = ES_NO_TILE_LIMIT };
enum { ES_TILE_LIMIT_15 = ES_NO_TILE_LIMIT, ES_TILE_LIMIT_3 = ES_NO_TILE_LIMIT };

static inline es_bytes es_load_integers(const void *from)
{
    es_bytes r;
    memcpy(&r, from, sizeof r);
    return r;
}

/* The low and the high half of every byte. */
static inline void es_split_nibbles(es_bytes pairs, es_bytes *low, es_bytes *high)
{
    for (int i = 0; i < 16; i++) {
        low->byte[i] = pairs.byte[i] & 15u;
        high->byte[i] = pairs.byte[i] >> 4;
    }
}

/* ES_LANES bytes of four 2-bit numbers each, the lowest bits first. */
static inline es_bytes es_load_quarters(const uint8_t *from)
{
    es_bytes r;
    for (int i = 0; i < 16; i++) r.byte[i] = (uint8_t)(from[i / 4] >> (2 * (i % 4)) & 3u);
    return r;
}

static inline es_columns es_load_columns(const int8_t *x)
{
    es_columns r;
    memcpy(&r, x, sizeof r);
    return r;
}

static inline es_products es_no_products(void) { return (es_products){{0}}; }
/* A sum of every row that starts from one number. */
static inline es_sums es_start_sums(int32_t from) { return (es_sums){{from, from, from, from}}; }

static inline es_products es_dot_four(es_products sums, es_bytes weights, const int8_t *x, int step, bool is_signed)
{
    for (int row = 0; row < 4; row++)
        for (int i = 0; i < 4; i++) {
            int weight = weights.byte[4 * row + i];
            if (is_signed) weight = (int8_t)weight;
            /* Rows of x that nobody reads may start from anything. */
            sums.lane[row] = (int32_t)((uint32_t)sums.lane[row] + (uint32_t)(weight * x[step * row + i]));
        }
    return sums;
}

/* sums + weights of every row . the first or second four columns */
static inline es_products es_dot_first(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    return es_dot_four(sums, weights, x.byte, 0, is_signed);
}
static inline es_products es_dot_second(es_products sums, es_bytes weights, es_columns x, bool is_signed)
{
    return es_dot_four(sums, weights, x.byte + 4, 0, is_signed);
}
/* Every row with four columns of its own. */
static inline es_products es_dot(es_products sums, es_bytes weights, es_bytes x, bool is_signed)
{
    int8_t own[16];
    memcpy(own, x.byte, sizeof own);
    return es_dot_four(sums, weights, own, 4, is_signed);
}

static inline es_sums es_add_products(es_sums sums, es_products products, bool is_signed)
{
    (void)is_signed;
    for (int i = 0; i < 4; i++) sums.lane[i] = (int32_t)((uint32_t)sums.lane[i] + (uint32_t)products.lane[i]);
    return sums;
}

/* One sum per row. */
static inline es_words es_sum_rows(es_sums sums) { return sums; }

static inline void es_store_words(int32_t *to, es_words a) { memcpy(to, &a, sizeof a); }

static inline es_f32 es_to_float(es_words a) { ES_SCALAR_EACH((float)a.lane[i]); }

/* Add 4 * ES_LANES signed bytes to a sum that is spread over the lanes. */
static inline es_words es_add_bytes(es_words sums, es_bytes bytes)
{
    for (int i = 0; i < 16; i++) sums.lane[i / 4] += (int8_t)bytes.byte[i];
    return sums;
}
static inline es_words es_no_words(void) { return (es_words){{0}}; }
static inline int32_t es_sum_lanes(es_words a) { return a.lane[0] + a.lane[1] + a.lane[2] + a.lane[3]; }
/* The sums of the lanes of four, times a number. */
static inline void es_store_lane_sums(int32_t *to, es_words a, es_words b, es_words c, es_words d, int32_t factor)
{
    to[0] = es_sum_lanes(a) * factor, to[1] = es_sum_lanes(b) * factor;
    to[2] = es_sum_lanes(c) * factor, to[3] = es_sum_lanes(d) * factor;
}

/* ES_LANES floats from -127 to 127 to the nearest integers, ties to even; NaN becomes any. */
static inline void es_store_rounded(int8_t *to, es_f32 a)
{
    for (int i = 0; i < 4; i++) {
        float number = (a.lane[i] + 12582912.0f) - 12582912.0f;
        to[i] = number >= -127.0f && number <= 127.0f ? (int8_t)number : 0;
    }
}

#endif
