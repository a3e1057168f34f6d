/* The keys of one kv head in DELTA_ATTENTION: changes of a running reference, and the exact keys of the latest tokens.
 *
 * Whatever the state holds, no address leaves it: changes of token t are looked for at most at t * head_dim, bits beyond
 * head_dim are not looked at, and rows of exact keys are counted from token numbers alone. */
#ifndef ES_DELTA_KEYS_H
#define ES_DELTA_KEYS_H

#include <float.h>

#include "stored_rows.h"
#include "kernel.h"
#include "spread.h"

typedef struct es_delta_keys {
    int32_t *marks;   /* rows of mark_stride: the head's own numbers, the end of no changes, then those of tokens */
    uint8_t *deltas;
    float *exact;     /* rows of exact_stride: the reference, the sinks, the ring */
    int64_t mark_stride, exact_stride;
    int64_t head_dim, sinks, ring;
    int64_t room; /* elements of deltas */
    float theta;
    es_dtype dtype;   /* of deltas */
} es_delta_keys;

enum { ES_MARK_HEADER = 2, ES_MARK_BITS = 32 };

static inline es_delta_keys es_delta_keys_of(const es_launch *launch, int64_t head)
{
    const es_tensor *deltas = launch->in[3], *exact = launch->in[6], *marks = launch->in[7];
    es_delta_keys keys = {
        .head_dim = es_word(launch, ES_ATT_HEAD_DIM), .sinks = es_word(launch, ES_ATT_SINKS),
        .theta = es_word_float(launch->step->words[ES_ATT_THETA]), .dtype = deltas->dtype,
        .mark_stride = (int64_t)marks->strides[1], .exact_stride = (int64_t)exact->strides[0],
    };
    keys.room = (int64_t)deltas->shape[1];
    keys.ring = (int64_t)exact->shape[0] - 1 - keys.sinks;
    keys.marks = (int32_t *)(void *)launch->in_data[7] + head * (int64_t)marks->strides[0];
    keys.deltas = launch->in_data[3] + head * (int64_t)(deltas->strides[0] * es_dtype_bytes(deltas->dtype));
    keys.exact = (float *)(void *)launch->in_data[6] + head * keys.head_dim;
    return keys;
}

/* The number of changes up to a token, then one bit per element. */
static inline int32_t *es_delta_mark(const es_delta_keys *keys, int64_t token)
{
    return keys->marks + (ES_MARK_HEADER + token) * keys->mark_stride;
}

/* The exact key of a token, if it is a sink or still in the ring. */
static inline float *es_delta_exact(const es_delta_keys *keys, int64_t token)
{
    int64_t row = token < keys->sinks ? 1 + token : 1 + keys->sinks + token % keys->ring;
    return keys->exact + row * keys->exact_stride;
}

/* Bits of the changes of elements first … first + 31. */
static inline uint32_t es_delta_bits(const es_delta_keys *keys, const int32_t *mark, int64_t first)
{
    int64_t left = keys->head_dim - first;
    uint32_t bits = (uint32_t)mark[1 + first / ES_MARK_BITS];
    return left < ES_MARK_BITS ? bits & ((1u << left) - 1u) : bits;
}

/* The next `count` changes as floats, with at least ES_LANES that may be read behind them; scratch has room for them. */
static inline const float *es_delta_packed(const es_delta_keys *keys, int64_t place, int64_t count, float *scratch)
{
    bool last = place + count + 2 * ES_LANES > keys->room;
    if (keys->dtype == ES_F16) {
        /* Whole vectors, but for the end of the tensor. */
        int64_t whole = (count + ES_LANES - 1) / ES_LANES * ES_LANES;
        es_widen_halves(scratch, (const uint16_t *)(const void *)keys->deltas + place, last ? count : whole);
        return scratch;
    }
    const float *changes = (const float *)(const void *)keys->deltas + place;
    if (!last) return changes;
    memcpy(scratch, changes, (size_t)count * sizeof *changes);
    return scratch;
}

/* Write into `to` what `from` becomes by the changes of a token, which begin at *place, and move *place behind them.
 * Rows have padded floats; scratch has room for padded + 2 * ES_LANES. */
static inline void es_delta_step(const es_delta_keys *keys, int64_t token, int64_t *place, const float *from, float *to,
                                 int64_t padded, float *scratch)
{
    const int32_t *mark = es_delta_mark(keys, token);
    int64_t count = 0;
    for (int64_t first = 0; first < keys->head_dim; first += ES_MARK_BITS)
        count += es_bit_count(es_delta_bits(keys, mark, first));
    const float *changes = es_delta_packed(keys, *place, count, scratch);
    *place += count;
    for (int64_t first = 0; first < padded; first += ES_MARK_BITS) {
        uint32_t bits = es_delta_bits(keys, mark, first);
        int64_t end = padded - first < ES_MARK_BITS ? padded : first + ES_MARK_BITS;
        for (int64_t i = first; i < end; i += ES_LANES) {
            uint32_t mask = bits & ((1u << ES_LANES) - 1u);
            es_store(to + i, es_add(es_load(from + i), es_spread(changes, mask)));
            changes += es_lane_count(mask);
            bits >>= ES_LANES;
        }
    }
}

#endif
