/* Rules of the operations that decoders need: EMBEDDING, RMS_NORM, ROPE, ATTENTION, TAKE_LAST. */
#include "step_view.h"

/* Caches have a multiple of so many rows, which kernels keep together. */
enum { CACHE_BLOCK = 16 };
enum { ROPE_HEAD_DIM = 0, ROPE_INTERLEAVED = 1 };

/* Rows of floats, one per token. */
static bool need_rows(const es_step_view *view, const es_tensor *tensor, const char *name)
{
    return es_need_float(view, tensor, name) && es_need_even_rows(view, tensor, name) &&
           ES_NEED(view, tensor->rank == 2, ES_STEP_SHAPE, "%s has shape %s, not (tokens, width)", name,
                   ES_SHAPE_TEXT(tensor));
}

static bool need_rows_of(const es_step_view *view, const es_tensor *tensor, const char *name, uint64_t width)
{
    return need_rows(view, tensor, name) &&
           ES_NEED(view, tensor->shape[1] == width, ES_STEP_SHAPE, "%s has rows of %llu, not %llu", name,
                   (unsigned long long)tensor->shape[1], (unsigned long long)width);
}

static bool need_same_tokens(const es_step_view *view, const es_tensor *tensor, const char *name)
{
    return es_need_same_symbol(view, tensor, name) &&
           ES_NEED(view, tensor->shape[0] == view->y->shape[0], ES_STEP_SHAPE, "%s has %llu rows, y %llu", name,
                   (unsigned long long)tensor->shape[0], (unsigned long long)view->y->shape[0]);
}

static bool need_table_matrix(const es_step_view *view)
{
    int64_t number = es_attribute(view, 0);
    if (number < 0 || number >= view->reader->model->matrix_count)
        return es_refuse_step(view, ES_STEP_MATRIX, "matrix %lld", (long long)number);
    uint32_t columns = view->reader->model->matrices[number].columns;
    return ES_NEED(view, columns == view->y->shape[1], ES_STEP_SHAPE, "y has shape %s, the matrix has %u columns",
                   ES_SHAPE_TEXT(view->y), (unsigned)columns);
}

bool es_rule_embedding(const es_step_view *view)
{
    const es_tensor *ids = view->in[0], *table = view->in[1], *y = view->y;
    if (!ES_NEED(view, ids->dtype == ES_S32, ES_STEP_DTYPE, "ids hold elements of type %d", (int)ids->dtype) ||
        !es_need_storage(view, ids, "ids", ES_IN_INPUT) ||
        !ES_NEED(view, ids->rank == 1, ES_STEP_SHAPE, "ids have shape %s", ES_SHAPE_TEXT(ids)) ||
        !need_rows(view, y, "y") || !need_same_tokens(view, ids, "ids"))
        return false;
    if (!table) return need_table_matrix(view);
    return es_need_word(view, "matrix", 0, -1, -1) && es_need_storage(view, table, "table", ES_IN_CONSTANT) &&
           need_rows_of(view, table, "table", y->shape[1]);
}

bool es_rule_rms_norm(const es_step_view *view)
{
    const es_tensor *x = view->in[0], *y = view->y;
    return es_need_number(view, "epsilon", 0, true, true) && es_need_float(view, x, "x") &&
           es_need_even_rows(view, x, "x") && es_need_float(view, y, "y") && es_need_even_rows(view, y, "y") &&
           es_need_shape_of(view, x, "x", y) && es_need_same_symbol(view, x, "x") &&
           es_need_vector(view, view->in[1], "weight", y->shape[y->rank - 1]);
}

bool es_rule_rope(const es_step_view *view)
{
    const es_tensor *x = view->in[0], *y = view->y;
    if (!es_need_word(view, "interleaved", ROPE_INTERLEAVED, 0, 1) ||
        !es_need_word(view, "head_dim", ROPE_HEAD_DIM, 2, ES_WINDOW_LIMIT) || !need_rows(view, y, "y") ||
        !need_rows_of(view, x, "x", y->shape[1]) || !need_same_tokens(view, x, "x") ||
        !es_need_position(view, view->in[1], 2, false))
        return false;
    uint64_t head = (uint64_t)es_attribute(view, ROPE_HEAD_DIM), width = y->shape[1];
    return ES_NEED(view, head % 2 == 0 && width % head == 0, ES_STEP_ATTRIBUTE, "head_dim %llu does not divide %llu",
                   (unsigned long long)head, (unsigned long long)width) &&
           es_need_vector(view, view->in[2], "inverse_frequencies", head / 2);
}

/* A state tensor of one row per token; kernels arrange its elements as they like. */
static bool need_cache(const es_step_view *view, const es_tensor *tensor, const char *name, uint64_t width)
{
    uint64_t rows = view->in[3]->shape[0];
    const uint64_t shape[2] = {rows, width};
    return es_need_storage(view, tensor, name, ES_IN_STATE) && es_need_even_rows(view, tensor, name) &&
           ES_NEED(view, tensor->rank == 2, ES_STEP_SHAPE, "%s has shape %s", name, ES_SHAPE_TEXT(tensor)) &&
           es_need_shape(view, tensor, name, shape, 2) &&
           ES_NEED(view, tensor->strides[0] == width, ES_STEP_STRIDES, "the rows of %s have gaps", name) &&
           ES_NEED(view, tensor->symbol_axis < 0, ES_STEP_SYMBOL, "%s follows the symbol", name) &&
           ES_NEED(view, rows >= view->y->shape[0], ES_STEP_SHAPE, "%s holds fewer rows than one run brings", name) &&
           ES_NEED(view, rows % CACHE_BLOCK == 0, ES_STEP_SHAPE, "%s has %llu rows, no multiple of 16", name,
                   (unsigned long long)rows);
}

static bool need_caches(const es_step_view *view, uint64_t kv_heads, uint64_t width)
{
    static const char *const caches[2] = {"k_cache", "v_cache"}, *const factors[2] = {"k_scales", "v_scales"};
    es_dtype dtype = view->in[3]->dtype;
    for (int index = 0; index < 2; index++) {
        const es_tensor *cache = view->in[3 + index];
        bool known = cache->dtype == ES_F32 || cache->dtype == ES_F16 || cache->dtype == ES_S8;
        if (!ES_NEED(view, known, ES_STEP_DTYPE, "%s holds elements of type %d", caches[index], (int)cache->dtype) ||
            !ES_NEED(view, cache->dtype == dtype, ES_STEP_DTYPE, "k_cache and v_cache hold different types") ||
            !need_cache(view, cache, caches[index], width))
            return false;
    }
    if (!es_need_position(view, view->in[5], 1, false)) return false;
    for (int index = 0; index < 2; index++) {
        const es_tensor *scales = view->in[6 + index];
        if (!ES_NEED(view, (scales != NULL) == (dtype == ES_S8), ES_STEP_INPUT_COUNT,
                     "%s belongs to S8 caches, and to no other", factors[index]))
            return false;
        if (!scales) continue;
        if (!ES_NEED(view, scales->dtype == ES_F32, ES_STEP_DTYPE, "%s holds elements of type %d", factors[index],
                     (int)scales->dtype) ||
            !need_cache(view, scales, factors[index], kv_heads))
            return false;
    }
    return true;
}

bool es_rule_attention(const es_step_view *view)
{
    static const char *const names[3] = {"q", "k", "v"};
    if (!es_need_word(view, "heads", ES_ATT_HEADS, 1, ES_WINDOW_LIMIT) ||
        !es_need_word(view, "kv_heads", ES_ATT_KV_HEADS, 1, ES_WINDOW_LIMIT) ||
        !es_need_word(view, "head_dim", ES_ATT_HEAD_DIM, 1, ES_WINDOW_LIMIT) ||
        !es_need_number(view, "scale", ES_ATT_SCALE, true, false))
        return false;
    uint64_t heads = (uint64_t)es_attribute(view, ES_ATT_HEADS);
    uint64_t kv_heads = (uint64_t)es_attribute(view, ES_ATT_KV_HEADS);
    uint64_t head = (uint64_t)es_attribute(view, ES_ATT_HEAD_DIM);
    if (!ES_NEED(view, heads % kv_heads == 0, ES_STEP_ATTRIBUTE, "%llu kv_heads do not divide %llu heads",
                 (unsigned long long)kv_heads, (unsigned long long)heads) ||
        !need_rows_of(view, view->y, "y", heads * head))
        return false;
    for (int index = 0; index < 3; index++)
        if (!need_rows_of(view, view->in[index], names[index], (index ? kv_heads : heads) * head) ||
            !need_same_tokens(view, view->in[index], names[index]))
            return false;
    return need_caches(view, kv_heads, kv_heads * head);
}

bool es_rule_take_last(const es_step_view *view)
{
    const es_tensor *y = view->y;
    return need_rows(view, y, "y") && need_rows_of(view, view->in[0], "x", y->shape[1]) &&
           ES_NEED(view, y->shape[0] == 1 && y->symbol_axis < 0, ES_STEP_SHAPE, "y has shape %s, not one row",
                   ES_SHAPE_TEXT(y));
}
