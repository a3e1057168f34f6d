/* The caches of ATTENTION: rows of one kv head lie one behind the other, so a query reads its keys and values as one
 * stream. Element (token, head, i) lies at (head * capacity + token) * head_dim + i, scales at head * capacity + token. */
#ifndef ES_ATTENTION_CACHE_H
#define ES_ATTENTION_CACHE_H

#include <math.h>

#include "stored_rows.h"
#include "kernel.h"

typedef struct es_cache {
    uint8_t *data;
    float *scales; /* of S8 */
    int64_t capacity, head_dim;
    es_dtype dtype;
} es_cache;

/* The cache that is input number index, of keys (3) or values (4). */
static inline es_cache es_attention_cache(const es_launch *launch, int index)
{
    es_cache cache = {
        .data = launch->in_data[index],
        .scales = (float *)(void *)launch->in_data[index + 3],
        .capacity = (int64_t)launch->in[index]->shape[0],
        .head_dim = es_word(launch, ES_ATT_HEAD_DIM),
        .dtype = launch->in[index]->dtype,
    };
    return cache;
}

static inline uint8_t *es_cache_row(const es_cache *cache, int64_t head, int64_t token)
{
    return cache->data + (head * cache->capacity + token) * cache->head_dim * (int64_t)es_dtype_bytes(cache->dtype);
}

/* Heads whose largest magnitude is below 2^-100 count as zero, so that 127 / magnitude is finite. */
static inline void es_cache_store_integers(const es_cache *cache, int64_t head, int64_t token, const float *from)
{
    int8_t *to = (int8_t *)(void *)es_cache_row(cache, head, token);
    float largest = 0.0f;
    for (int64_t i = 0; i < cache->head_dim; i++) {
        float size = fabsf(from[i]);
        largest = size > largest ? size : largest;
    }
    if (largest < 0x1p-100f) largest = 0.0f;
    float factor = largest > 0.0f ? 127.0f / largest : 0.0f;
    cache->scales[head * cache->capacity + token] = largest / 127.0f;
    for (int64_t i = 0; i < cache->head_dim; i += ES_LANES) {
        int count = (int)(cache->head_dim - i < ES_LANES ? cache->head_dim - i : ES_LANES);
        float rounded[ES_LANES];
        es_store(rounded, es_round(es_mul(es_load_first(from + i, count), es_splat(factor))));
        /* A NaN fails both comparisons. */
        for (int lane = 0; lane < count; lane++)
            to[i + lane] = (int8_t)(rounded[lane] > -127.0f ? rounded[lane] < 127.0f ? (int)rounded[lane] : 127 : -127);
    }
}

/* Store the head_dim elements of a new key or value. */
static inline void es_cache_store(const es_cache *cache, int64_t head, int64_t token, const float *from)
{
    uint8_t *to = es_cache_row(cache, head, token);
    if (cache->dtype == ES_F32)
        memcpy(to, from, (size_t)cache->head_dim * sizeof(float));
    else if (cache->dtype == ES_F16)
        es_store_halves((uint16_t *)(void *)to, from, cache->head_dim);
    else
        es_cache_store_integers(cache, head, token, from);
}

#endif
