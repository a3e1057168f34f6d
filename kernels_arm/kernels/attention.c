/* ATTENTION: this run's keys and values go into the caches, then every query meets all keys up to its own.
 *
 * A unit is a kv head and up to ES_TILE_ROWS of its query rows (tokens of the run times query heads), so keys and values
 * are widened once for all of them. Where there are fewer kv heads than threads may want, a few rows share the keys among
 * several units, which a last phase combines; how many depends on the position only. */
#include "attention_cache.h"
#include "attention_rows.h"

enum {
    STORE, ATTEND, COMBINE,
    ENOUGH_UNITS = 16,   /* of a single token: four threads then wait for less than a quarter of their work */
    LEAST_KEYS = 256,    /* of a unit: below, combining costs more than sharing gains */
    WIDENED_BY_ITSELF = 4 /* rows: up to here widening tiles in registers takes fewer instructions than a copy */
};

typedef struct es_heads {
    int64_t kv_heads, group, head_dim, padded; /* group: query heads of a kv head */
    int64_t rows;                              /* of a kv head in this run */
    int64_t blocks, splits;                    /* of its rows; of its keys */
    int64_t position;
} es_heads;

static es_heads heads_of(const es_launch *launch)
{
    es_heads heads = {.kv_heads = es_word(launch, ES_ATT_KV_HEADS), .head_dim = es_word(launch, ES_ATT_HEAD_DIM)};
    heads.group = es_word(launch, ES_ATT_HEADS) / heads.kv_heads;
    heads.padded = es_padded(heads.head_dim);
    heads.rows = es_rows(launch, launch->out) * heads.group;
    heads.blocks = (heads.rows + ES_TILE_ROWS - 1) / ES_TILE_ROWS;
    return heads;
}

/* Units per kv head among which few rows share the keys, at most. */
static int64_t most_splits(const es_heads *heads, const es_launch *launch)
{
    int64_t wanted = (ENOUGH_UNITS + heads->kv_heads - 1) / heads->kv_heads;
    int64_t possible = (int64_t)launch->in[3]->shape[0] / LEAST_KEYS;
    int64_t splits = wanted < possible ? wanted : possible;
    return splits > 1 ? splits : 1;
}

static es_heads heads_of_run(const es_launch *launch)
{
    es_heads heads = heads_of(launch);
    int32_t position;
    memcpy(&position, launch->in_data[5], sizeof position);
    heads.position = position;
    int64_t keys = heads.position + es_rows(launch, launch->out), most = most_splits(&heads, launch);
    heads.splits = heads.blocks > 1 || keys < 2 * LEAST_KEYS ? 1 : keys / LEAST_KEYS < most ? keys / LEAST_KEYS : most;
    return heads;
}

/* Floats of what a split leaves of a row: largest score, sum of weights, weighted values. */
static int64_t partial_floats(const es_heads *heads) { return 2 + heads->head_dim; }

static void measure(const es_launch *launch, es_needs *needs)
{
    es_heads heads = heads_of(launch);
    int64_t rows = heads.rows < ES_TILE_ROWS ? heads.rows : ES_TILE_ROWS, splits = most_splits(&heads, launch);
    needs->thread_scratch_bytes = es_attention_rows_bytes(rows, heads.padded) +
                                  ES_TILE_KEYS * (size_t)heads.padded * sizeof(float);
    if (splits > 1)
        needs->scratch_bytes = (size_t)(heads.kv_heads * splits * rows) * (size_t)partial_floats(&heads) * sizeof(float);
}

static int64_t units(const es_launch *launch, int phase)
{
    es_heads heads = heads_of_run(launch);
    if (phase == STORE) return es_rows(launch, launch->out) * heads.kv_heads;
    if (phase == ATTEND) return heads.kv_heads * heads.blocks * heads.splits;
    return heads.splits > 1 ? heads.kv_heads * heads.rows : 0;
}

static const float *row_of(const es_tensor *tensor, const uint8_t *data, int64_t token, int64_t column)
{
    return (const float *)(const void *)data + token * (int64_t)tensor->strides[0] + column;
}

static void store(const es_launch *launch, const es_heads *heads, int64_t begin, int64_t end)
{
    for (int index = 1; index <= 2; index++) {
        es_cache cache = es_attention_cache(launch, index + 2);
        for (int64_t unit = begin; unit < end; unit++) {
            int64_t token = unit / heads->kv_heads, head = unit % heads->kv_heads;
            const float *from = row_of(launch->in[index], launch->in_data[index], token, head * heads->head_dim);
            es_cache_store(&cache, head, heads->position + token, from);
        }
    }
}

/* A tile of the cache: for few rows and heads without padding where it is, else as floats in scratch memory. */
static es_key_tile tile_of(const es_cache *cache, int64_t head, int64_t first, const es_attention_rows *rows,
                           float *scratch)
{
    const uint8_t *from = es_cache_row(cache, head, first);
    bool padded = rows->padded != cache->head_dim;
    if (!padded && (cache->dtype == ES_F32 || rows->count <= WIDENED_BY_ITSELF))
        return (es_key_tile){from, cache->head_dim, cache->dtype};
    /* Rows without padding are one long row. */
    int64_t parts = padded ? ES_TILE_KEYS : 1, count = ES_TILE_KEYS / parts * cache->head_dim;
    for (int64_t part = 0; part < parts; part++) {
        float *to = scratch + part * rows->padded;
        if (cache->dtype == ES_S8)
            es_widen_bytes(to, (const int8_t *)(const void *)from + part * count, count);
        else if (cache->dtype == ES_F16)
            es_widen_halves(to, (const uint16_t *)(const void *)from + part * count, count);
        else
            es_copy_floats(to, (const float *)(const void *)from + part * count, count);
    }
    return es_wide_tile(scratch, rows->padded);
}

static void scale_scores(es_attention_rows *rows, int64_t first, const float *scales)
{
    for (int64_t row = first; row < rows->count; row++) {
        float *scores = rows->scores + row * ES_TILE_KEYS;
        for (int key = 0; key < ES_TILE_KEYS; key += ES_LANES)
            es_store(scores + key, es_mul(es_load(scores + key), es_load(scales + key)));
    }
}

static void meet_tile(es_attention_rows *rows, const es_cache *keys, const es_cache *values, int64_t head, int64_t tile,
                      float *scratch)
{
    int64_t scales = head * keys->capacity + tile, first = es_begin_tile(rows, tile);
    es_score_rows(rows, first, tile_of(keys, head, tile, rows, scratch));
    if (keys->dtype == ES_S8) scale_scores(rows, first, keys->scales + scales);
    for (int64_t row = first; row < rows->count; row++) es_weigh_row(rows, row);
    if (keys->dtype == ES_S8) scale_scores(rows, first, values->scales + scales);
    es_add_values(rows, first, tile_of(values, head, tile, rows, scratch));
}

/* What a unit leaves of its rows: results, or its part of them. */
static void finish(const es_launch *launch, const es_heads *heads, const es_attention_rows *rows, int64_t head,
                   int64_t first_row, int64_t split)
{
    for (int64_t row = 0; row < rows->count; row++) {
        int64_t token = (first_row + row) / heads->group, query_head = (first_row + row) % heads->group;
        if (heads->splits == 1) {
            float *y = (float *)(void *)launch->out_data + token * (int64_t)launch->out->strides[0];
            y += (head * heads->group + query_head) * heads->head_dim;
            es_finish_attention_row(rows, row, y, heads->head_dim);
        } else {
            float *part = (float *)(void *)launch->scratch +
                          ((head * heads->rows + row) * heads->splits + split) * partial_floats(heads);
            part[0] = rows->largest[row];
            part[1] = rows->weights[row];
            memcpy(part + 2, rows->sums + row * rows->padded, (size_t)heads->head_dim * sizeof(float));
        }
    }
}

static void attend(const es_launch *launch, const es_heads *heads, int64_t unit, float *memory)
{
    int64_t split = unit % heads->splits, block = unit / heads->splits % heads->blocks;
    int64_t head = unit / heads->splits / heads->blocks, first_row = block * ES_TILE_ROWS;
    int64_t count = heads->rows - first_row < ES_TILE_ROWS ? heads->rows - first_row : ES_TILE_ROWS;
    es_cache keys = es_attention_cache(launch, 3), values = es_attention_cache(launch, 4);
    es_attention_rows rows;
    float *scratch = es_place_attention_rows(&rows, count, heads->padded, memory);
    for (int64_t row = 0; row < count; row++) {
        int64_t token = (first_row + row) / heads->group, query_head = (first_row + row) % heads->group;
        int64_t column = (head * heads->group + query_head) * heads->head_dim;
        es_begin_attention_row(&rows, row, row_of(launch->in[0], launch->in_data[0], token, column), heads->head_dim,
                               es_word_float(launch->step->words[ES_ATT_SCALE]), heads->position + token + 1);
    }
    int64_t last = heads->position + (first_row + count - 1) / heads->group, tiles = last / ES_TILE_KEYS + 1;
    for (int64_t number = tiles * split / heads->splits; number < tiles * (split + 1) / heads->splits; number++)
        meet_tile(&rows, &keys, &values, head, number * ES_TILE_KEYS, scratch);
    finish(launch, heads, &rows, head, first_row, split);
}

/* A row of one kv head, from what its splits left. A split may have seen nothing: then it weighs nothing. */
static void combine(const es_launch *launch, const es_heads *heads, int64_t unit)
{
    int64_t head = unit / heads->rows, row = unit % heads->rows, floats = partial_floats(heads);
    const float *parts = (const float *)(const void *)launch->scratch + unit * heads->splits * floats;
    float largest = parts[0], weight = 0.0f;
    for (int64_t split = 1; split < heads->splits; split++)
        if (parts[split * floats] > largest) largest = parts[split * floats];
    float *y = (float *)(void *)launch->out_data + row / heads->group * (int64_t)launch->out->strides[0];
    y += (head * heads->group + row % heads->group) * heads->head_dim;
    memset(y, 0, (size_t)heads->head_dim * sizeof *y);
    for (int64_t split = 0; split < heads->splits; split++) {
        const float *part = parts + split * floats;
        if (part[1] == 0.0f) continue;
        float factor = expf(part[0] - largest);
        weight += factor * part[1];
        for (int64_t i = 0; i < heads->head_dim; i++) y[i] += factor * part[2 + i];
    }
    for (int64_t i = 0; i < heads->head_dim; i++) y[i] /= weight;
}

static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    es_heads heads = heads_of_run(launch);
    if (phase == STORE) {
        store(launch, &heads, begin, end);
        return;
    }
    for (int64_t unit = begin; unit < end; unit++)
        if (phase == ATTEND)
            attend(launch, &heads, unit, (float *)(void *)thread_scratch);
        else
            combine(launch, &heads, unit);
}

static bool accepts(const es_launch *launch, es_dtype cache)
{
    for (int index = 0; index < 3; index++)
        if (launch->in[index]->dtype != ES_F32) return false;
    return launch->in[3]->dtype == cache;
}

#define ES_ATTENTION(kernel, cache)                                                                                \
    static bool accepts_##kernel(const es_launch *launch) { return accepts(launch, cache); }                       \
    static const es_kernel attention_##kernel = {                                                                  \
        .name = ES_KERNEL_NAME("attention_" #kernel), .op = ES_ATTENTION_OP, .variant = ES_THIS_VARIANT,           \
        .accepts = accepts_##kernel, .measure = measure, .phases = 3, .units = units, .run = run,                  \
    };
ES_ATTENTION(f32, ES_F32)
ES_ATTENTION(f16, ES_F16)
ES_ATTENTION(s8, ES_S8)

ES_FAMILY(attention) = {&attention_f32, &attention_f16, &attention_s8, NULL};
