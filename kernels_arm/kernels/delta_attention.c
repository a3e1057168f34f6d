/* DELTA_ATTENTION, second half: queries against keys that are summed up from their changes.
 *
 * A unit is a kv head and up to ES_TILE_ROWS of its query rows. For every tile of keys the changes are spread out and added
 * to the running reference, the values widened and, where a query sees them, exact keys copied; then all rows meet the
 * tile. What is saved is the bytes of changes that are 0, not their products: a vector with some of its lanes missing
 * costs as much as a full one. */
#include "attention_rows.h"
#include "delta_store.h"

enum { STORE, ATTEND };

typedef struct es_delta_unit {
    es_delta_keys keys;
    es_attention_rows rows;
    int64_t lowest[ES_TILE_ROWS]; /* first token whose exact key a row sees, sinks aside */
    int64_t head, position, place; /* place: of the changes of the next tile */
    float *carried;    /* the reference before the tile */
    float *references; /* tiles */
    float *exact;
    float *values;
    float *changes; /* of one token */
    float *second;  /* scores of all rows */
} es_delta_unit;

static int64_t group_of(const es_launch *launch)
{
    return es_word(launch, ES_ATT_HEADS) / es_word(launch, ES_ATT_KV_HEADS);
}

static int64_t rows_of(const es_launch *launch) { return es_rows(launch, launch->out) * group_of(launch); }

static void measure(const es_launch *launch, es_needs *needs)
{
    int64_t count = es_smaller(rows_of(launch), ES_TILE_ROWS), padded = es_padded(es_word(launch, ES_ATT_HEAD_DIM));
    int64_t rows = 3 * ES_TILE_KEYS + 2; /* three tiles, the reference before them, changes */
    needs->thread_scratch_bytes = es_attention_rows_bytes(count, padded) +
                                  (size_t)(rows * padded + 2 * ES_LANES + count * ES_TILE_KEYS) * sizeof(float);
}

static int64_t units(const es_launch *launch, int phase)
{
    int64_t blocks = phase == STORE ? 1 : (rows_of(launch) + ES_TILE_ROWS - 1) / ES_TILE_ROWS;
    return es_word(launch, ES_ATT_KV_HEADS) * blocks;
}

static void begin_unit(const es_launch *launch, es_delta_unit *unit, int64_t number, float *memory)
{
    int64_t blocks = (rows_of(launch) + ES_TILE_ROWS - 1) / ES_TILE_ROWS, group = group_of(launch);
    int64_t first_row = number % blocks * ES_TILE_ROWS, head = number / blocks;
    int64_t count = es_smaller(rows_of(launch) - first_row, ES_TILE_ROWS);
    int32_t numbers[2];
    memcpy(numbers, launch->in_data[5], sizeof numbers);
    int64_t window = es_larger(numbers[1], 1);
    unit->keys = es_delta_keys_of(launch, head);
    unit->head = head;
    unit->position = numbers[0];
    unit->place = 0;
    int64_t head_dim = unit->keys.head_dim, padded = es_padded(head_dim);
    float *places = es_place_attention_rows(&unit->rows, count, padded, memory);
    unit->carried = places;
    unit->references = unit->carried + padded;
    unit->exact = unit->references + ES_TILE_KEYS * padded;
    unit->values = unit->exact + ES_TILE_KEYS * padded;
    unit->changes = unit->values + ES_TILE_KEYS * padded;
    unit->second = unit->changes + padded + 2 * ES_LANES;
    memset(unit->carried, 0, (size_t)padded * sizeof(float));
    for (int64_t row = 0; row < count; row++) {
        int64_t token = (first_row + row) / group, query_head = head * group + (first_row + row) % group;
        const float *query = (const float *)(const void *)launch->in_data[0] +
                             token * (int64_t)launch->in[0]->strides[0] + query_head * head_dim;
        int64_t at = unit->position + token;
        es_begin_attention_row(&unit->rows, row, query, head_dim, es_word_float(launch->step->words[ES_ATT_SCALE]), at + 1);
        unit->lowest[row] = es_larger(at / window * window, unit->keys.marks[1]);
    }
}

/* References and values of a tile; rows of tokens beyond count are what they were, and no row sees them. */
static void load_tile(const es_launch *launch, es_delta_unit *unit, int64_t tile, int64_t count, bool changes)
{
    const es_tensor *cache = launch->in[4];
    int64_t padded = unit->rows.padded, head_dim = unit->keys.head_dim;
    const float *from = unit->carried;
    for (int64_t key = 0; key < count; key++) {
        float *to = unit->references + key * padded;
        if (changes) es_delta_step(&unit->keys, tile + key, &unit->place, from, to, padded, unit->changes);
        from = to;
        int64_t place = (tile + key) * (int64_t)cache->strides[0] + unit->head * head_dim;
        if (cache->dtype == ES_F16)
            es_widen_halves(unit->values + key * padded, (const uint16_t *)(const void *)launch->in_data[4] + place,
                            head_dim);
        else
            es_copy_floats(unit->values + key * padded, (const float *)(const void *)launch->in_data[4] + place, head_dim);
    }
    if (changes) memcpy(unit->carried, from, (size_t)padded * sizeof *from);
}

/* Scores of a tile: from references, from exact keys, or from both where rows see both. */
static void score_tile(es_delta_unit *unit, int64_t first, int64_t tile, int64_t count)
{
    es_attention_rows *rows = &unit->rows;
    int64_t end = tile + count, sinks = unit->keys.sinks;
    bool some_exact = tile < sinks || end > unit->lowest[first];
    bool some_changed = end > sinks && tile < unit->lowest[rows->count - 1];
    if (some_changed || !some_exact) es_score_rows(rows, first, es_wide_tile(unit->references, rows->padded));
    if (!some_exact) return;
    for (int64_t key = 0; key < count; key++)
        es_copy_floats(unit->exact + key * rows->padded, es_delta_exact(&unit->keys, tile + key), unit->keys.head_dim);
    float *stored = rows->scores;
    if (some_changed) rows->scores = unit->second;
    es_score_rows(rows, first, es_wide_tile(unit->exact, rows->padded));
    rows->scores = stored;
    if (!some_changed) return;
    for (int64_t row = first; row < rows->count; row++)
        for (int64_t key = 0; key < count; key++)
            if (tile + key < sinks || tile + key >= unit->lowest[row])
                stored[row * ES_TILE_KEYS + key] = unit->second[row * ES_TILE_KEYS + key];
}

static void attend(const es_launch *launch, int64_t number, float *memory)
{
    es_delta_unit unit;
    begin_unit(launch, &unit, number, memory);
    es_attention_rows *rows = &unit.rows;
    int64_t group = group_of(launch), blocks = (rows_of(launch) + ES_TILE_ROWS - 1) / ES_TILE_ROWS;
    int64_t first_row = number % blocks * ES_TILE_ROWS;
    int64_t stop = rows->end[rows->count - 1];
    for (int64_t tile = 0; tile < stop; tile += ES_TILE_KEYS) {
        int64_t count = es_smaller(stop - tile, ES_TILE_KEYS), first = es_begin_tile(rows, tile);
        load_tile(launch, &unit, tile, count, tile < unit.lowest[rows->count - 1]);
        score_tile(&unit, first, tile, count);
        for (int64_t row = first; row < rows->count; row++) es_weigh_row(rows, row);
        es_add_values(rows, first, es_wide_tile(unit.values, rows->padded));
    }
    for (int64_t row = 0; row < rows->count; row++) {
        int64_t token = (first_row + row) / group, query_head = unit.head * group + (first_row + row) % group;
        float *y = (float *)(void *)launch->out_data + token * (int64_t)launch->out->strides[0];
        es_finish_attention_row(rows, row, y + query_head * unit.keys.head_dim, unit.keys.head_dim);
    }
}

static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    int32_t position;
    memcpy(&position, launch->in_data[5], sizeof position);
    for (int64_t unit = begin; unit < end; unit++)
        if (phase == STORE)
            es_delta_store(launch, unit, position, es_rows(launch, launch->out));
        else
            attend(launch, unit, (float *)(void *)thread_scratch);
}

static bool accepts(const es_launch *launch)
{
    for (int index = 0; index < 3; index++)
        if (launch->in[index]->dtype != ES_F32) return false;
    return true;
}

static const es_kernel delta_attention = {
    .name = ES_KERNEL_NAME("delta_attention"), .op = ES_DELTA_ATTENTION, .variant = ES_THIS_VARIANT,
    .accepts = accepts, .measure = measure, .phases = 2, .units = units, .run = run,
};

ES_FAMILY(delta_attention) = {&delta_attention, NULL};
