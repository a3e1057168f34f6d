/* Rules of DELTA_ATTENTION: what its state tensors must hold, so that no kernel can leave them whatever is in them. */
#include "step_view.h"

enum { DELTAS = 3, V_CACHE = 4, POSITION = 5, EXACT_KEYS = 6, MARKS = 7 };

/* The sizes that the step's words say. */
typedef struct delta_sizes {
    uint64_t heads, kv_heads, head, sinks;
} delta_sizes;

static bool need_operands(const es_step_view *view, const delta_sizes *sizes)
{
    static const char *const names[4] = {"y", "q", "k", "v"};
    const es_tensor *const tensors[4] = {view->y, view->in[0], view->in[1], view->in[2]};
    for (int index = 0; index < 4; index++) {
        const uint64_t shape[2] = {view->y->shape[0], (index < 2 ? sizes->heads : sizes->kv_heads) * sizes->head};
        if (!es_need_float(view, tensors[index], names[index]) ||
            !es_need_even_rows(view, tensors[index], names[index]) ||
            !es_need_shape(view, tensors[index], names[index], shape, 2) ||
            !es_need_same_symbol(view, tensors[index], names[index]))
            return false;
    }
    return true;
}

static bool need_state(const es_step_view *view, int index, const char *name, uint32_t dtypes, const uint64_t *shape,
                       uint32_t rank)
{
    const es_tensor *tensor = view->in[index];
    return es_need_storage(view, tensor, name, ES_IN_STATE) &&
           ES_NEED(view, dtypes >> tensor->dtype & 1, ES_STEP_DTYPE, "%s holds elements of type %d", name,
                   (int)tensor->dtype) &&
           es_need_even_rows(view, tensor, name) && es_need_shape(view, tensor, name, shape, rank) &&
           ES_NEED(view, tensor->symbol_axis < 0, ES_STEP_SYMBOL, "%s follows the symbol", name);
}

/* Room for as many changes as there are elements, and for the exact keys of a run. */
static bool need_states(const es_step_view *view, const delta_sizes *sizes)
{
    const es_tensor *values = view->in[V_CACHE], *exact = view->in[EXACT_KEYS];
    uint64_t tokens = view->y->shape[0], capacity = values->shape[0], width = sizes->kv_heads * sizes->head;
    uint64_t least = 1 + sizes->sinks + tokens, rows = exact->rank && exact->shape[0] > least ? exact->shape[0] : least;
    const uint64_t deltas_shape[2] = {sizes->kv_heads, capacity * sizes->head}, values_shape[2] = {capacity, width};
    const uint64_t exact_shape[2] = {rows, width};
    /* Where a token's changes end, then one bit per element. */
    const uint64_t marks_shape[3] = {sizes->kv_heads, capacity + 2, 1 + (sizes->head + 31) / 32};
    const uint32_t floats = 1u << ES_F32 | 1u << ES_F16;
    return ES_NEED(view, values->rank == 2, ES_STEP_SHAPE, "v_cache has shape %s", ES_SHAPE_TEXT(values)) &&
           ES_NEED(view, capacity >= tokens, ES_STEP_SHAPE, "v_cache holds fewer rows than one run brings") &&
           /* Stored changes of a kv head are counted in signed 32 bits. */
           ES_NEED(view, capacity * sizes->head <= INT32_MAX, ES_STEP_SHAPE, "%llu keys of %llu elements are too many",
                   (unsigned long long)capacity, (unsigned long long)sizes->head) &&
           need_state(view, DELTAS, "deltas", floats, deltas_shape, 2) &&
           need_state(view, V_CACHE, "v_cache", floats, values_shape, 2) &&
           need_state(view, EXACT_KEYS, "exact_keys", 1u << ES_F32, exact_shape, 2) &&
           need_state(view, MARKS, "marks", 1u << ES_S32, marks_shape, 3);
}

bool es_rule_delta_attention(const es_step_view *view)
{
    if (!es_need_word(view, "heads", ES_ATT_HEADS, 1, ES_WINDOW_LIMIT) ||
        !es_need_word(view, "kv_heads", ES_ATT_KV_HEADS, 1, ES_WINDOW_LIMIT) ||
        !es_need_word(view, "head_dim", ES_ATT_HEAD_DIM, 1, ES_WINDOW_LIMIT) ||
        !es_need_word(view, "sinks", ES_ATT_SINKS, 0, ES_WINDOW_LIMIT) ||
        !es_need_number(view, "scale", ES_ATT_SCALE, true, false) ||
        !es_need_number(view, "theta", ES_ATT_THETA, true, true))
        return false;
    const delta_sizes sizes = {
        (uint64_t)es_attribute(view, ES_ATT_HEADS),
        (uint64_t)es_attribute(view, ES_ATT_KV_HEADS),
        (uint64_t)es_attribute(view, ES_ATT_HEAD_DIM),
        (uint64_t)es_attribute(view, ES_ATT_SINKS),
    };
    return ES_NEED(view, sizes.heads % sizes.kv_heads == 0, ES_STEP_ATTRIBUTE, "%llu kv_heads do not divide %llu heads",
                   (unsigned long long)sizes.kv_heads, (unsigned long long)sizes.heads) &&
           need_operands(view, &sizes) && need_states(view, &sizes) &&
           es_need_position(view, view->in[POSITION], 2, true);
}
