/* DELTA_ATTENTION, first half: this run's keys become changes of the reference, its values are copied. */
#ifndef ES_DELTA_STORE_H
#define ES_DELTA_STORE_H

#include <math.h>

#include "delta_keys.h"

/* Where the changes of a token begin, held inside the room of the tokens before it. */
static inline int64_t es_delta_end_before(const es_delta_keys *keys, int64_t token)
{
    int64_t end = es_delta_mark(keys, token - 1)[0], room = token * keys->head_dim;
    return end < 0 ? 0 : end < room ? end : room;
}

/* Make the reference that of the first tokens: the way back after later ones were dropped. One element at a time, since
 * rows of the state have no padding; it happens once per conversation turn. */
static inline void es_delta_sum_changes(const es_delta_keys *keys, int64_t tokens)
{
    float *reference = keys->exact;
    int64_t place = 0;
    for (int64_t i = 0; i < keys->head_dim; i++) reference[i] = 0.0f;
    for (int64_t token = 0; token < tokens; token++) {
        const int32_t *mark = es_delta_mark(keys, token);
        for (int64_t first = 0; first < keys->head_dim; first += ES_MARK_BITS) {
            uint32_t bits = es_delta_bits(keys, mark, first);
            for (int64_t i = first; bits; i++, bits >>= 1) {
                if (!(bits & 1u)) continue;
                reference[i] += keys->dtype == ES_F16 ? es_half_to_float(((const uint16_t *)(const void *)keys->deltas)[place])
                                                      : ((const float *)(const void *)keys->deltas)[place];
                place++;
            }
        }
    }
}

/* Store the changes of up to 32 elements from *end on; move the reference and *end, and return their bits. */
static inline uint32_t es_delta_append(const es_delta_keys *keys, const float *key, float *reference, int count,
                                       int64_t *end)
{
    float changes[ES_MARK_BITS] = {0}, stored[ES_MARK_BITS];
    uint16_t halves[ES_MARK_BITS];
    uint32_t bits = 0;
    for (int i = 0; i < count; i++) changes[i] = key[i] - reference[i];
    if (keys->dtype == ES_F16) {
        for (int i = 0; i < ES_MARK_BITS; i += ES_LANES) {
            es_store_half(halves + i, es_within_halves(es_load(changes + i)));
            es_store(stored + i, es_load_half(halves + i));
        }
    } else {
        for (int i = 0; i < count; i++)
            stored[i] = changes[i] > FLT_MAX ? FLT_MAX : changes[i] < -FLT_MAX ? -FLT_MAX : changes[i];
    }
    for (int i = 0; i < count; i++) {
        if (fabsf(changes[i]) <= keys->theta) continue;
        if (keys->dtype == ES_F16)
            ((uint16_t *)(void *)keys->deltas)[(*end)++] = halves[i];
        else
            ((float *)(void *)keys->deltas)[(*end)++] = stored[i];
        reference[i] += stored[i];
        bits |= 1u << i;
    }
    return bits;
}

static inline int64_t es_larger(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t es_smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Store keys of the tokens from position on, and say which exact keys are still there. stride: from key to key. */
static inline void es_delta_store_keys(const es_delta_keys *keys, int64_t position, int64_t tokens, const float *key,
                                       int64_t stride)
{
    int64_t length = keys->marks[0], held = keys->marks[1];
    if (position < length) es_delta_sum_changes(keys, position);
    held = es_smaller(es_larger(held, length - keys->ring), position);
    int64_t end = es_delta_end_before(keys, position);
    size_t row_bytes = (size_t)keys->head_dim * sizeof(float);
    for (int64_t token = position; token < position + tokens; token++, key += stride) {
        int32_t *mark = es_delta_mark(keys, token);
        for (int64_t first = 0; first < keys->head_dim; first += ES_MARK_BITS) {
            int count = (int)es_smaller(keys->head_dim - first, ES_MARK_BITS);
            uint32_t bits = es_delta_append(keys, key + first, keys->exact + first, count, &end);
            memcpy(&mark[1 + first / ES_MARK_BITS], &bits, sizeof bits);
        }
        mark[0] = (int32_t)end;
        memcpy(keys->exact + (1 + keys->sinks + token % keys->ring) * keys->exact_stride, key, row_bytes);
        if (token < keys->sinks) memcpy(keys->exact + (1 + token) * keys->exact_stride, key, row_bytes);
    }
    keys->marks[0] = (int32_t)(position + tokens);
    keys->marks[1] = (int32_t)es_larger(held, position + tokens - keys->ring);
}

/* Store this run's keys and values of one kv head. */
static inline void es_delta_store(const es_launch *launch, int64_t head, int64_t position, int64_t tokens)
{
    es_delta_keys keys = es_delta_keys_of(launch, head);
    const es_tensor *k = launch->in[1], *v = launch->in[2], *cache = launch->in[4];
    int64_t column = head * keys.head_dim;
    const float *key = (const float *)(const void *)launch->in_data[1] + column;
    es_delta_store_keys(&keys, position, tokens, key, (int64_t)k->strides[0]);
    for (int64_t token = 0; token < tokens; token++) {
        const float *value = (const float *)(const void *)launch->in_data[2] + token * (int64_t)v->strides[0] + column;
        int64_t place = (position + token) * (int64_t)cache->strides[0] + column;
        if (cache->dtype == ES_F16)
            es_store_halves((uint16_t *)(void *)launch->in_data[4] + place, value, keys.head_dim);
        else
            memcpy((float *)(void *)launch->in_data[4] + place, value, (size_t)keys.head_dim * sizeof *value);
    }
}

#endif
