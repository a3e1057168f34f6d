/* A model with other attention: its steps and caches rewritten, its state laid out anew, all in one block. */
#include <string.h>

#include "attention_options.h"
#include "kernel.h"
#include "reader.h"
#include "session.h"

enum { STATE_ALIGNMENT = 64, CACHE_BLOCK = 16, LONGEST_SUFFIX = 16, MARK_BITS = 32 };
/* Of a tensor, docs/format.md. */
static const uint64_t LARGEST_TENSOR = (uint64_t)1 << 32;
static const uint64_t LARGEST_CONTEXT = ((uint64_t)1 << 31) - 1;

/* The derived model while it is made. */
typedef struct es_rewrite {
    es_text_options options;
    es_model *model;
    es_tensor *tensors;
    uint32_t tensor_count;
    int32_t *made; /* by the number of a cache of keys: its first new tensor, or ALREADY; 0: not yet */
    char *names;   /* free space for names */
    uint64_t chunk; /* tokens of the longest run of all plans */
    es_error *error;
} es_rewrite;

enum { ALREADY = -1 };

/* `base` without `ending`, if it ends so, and with `suffix`. */
static const char *name_with(es_rewrite *rewrite, const char *base, const char *ending, const char *suffix)
{
    size_t length = strlen(base), end = strlen(ending);
    if (length >= end && !strcmp(base + length - end, ending)) length -= end;
    char *name = rewrite->names;
    memcpy(name, base, length);
    strcpy(name + length, suffix);
    rewrite->names += length + strlen(suffix) + 1;
    return name;
}

/* Make a tensor of the state without gaps; false if it would be too large. */
static bool set_state(es_tensor *tensor, const char *name, es_dtype dtype, uint32_t rank, const uint64_t *shape)
{
    uint64_t stride = 1;
    memset(tensor, 0, sizeof *tensor);
    for (uint32_t axis = rank; axis-- > 0;) {
        tensor->shape[axis] = shape[axis];
        tensor->strides[axis] = stride;
        if (shape[axis] > LARGEST_TENSOR / stride) return false;
        stride *= shape[axis];
    }
    tensor->name = name;
    tensor->dtype = dtype;
    tensor->storage = ES_STATE;
    tensor->rank = rank;
    tensor->symbol_axis = -1;
    tensor->scale = 1.0f;
    return stride <= LARGEST_TENSOR / es_dtype_bytes(dtype);
}

static es_status too_much_context(const es_rewrite *rewrite, uint64_t context, uint64_t chunk)
{
    es_format_error(rewrite->error, "a context of %llu tokens for runs of up to %llu and tensors of up to 4 GiB",
                    (unsigned long long)context, (unsigned long long)chunk);
    return ES_CONTEXT_RANGE;
}

/* Caches of the wanted type, with scales if they hold integers. */
static es_status make_exact_caches(es_rewrite *rewrite, const es_step *step)
{
    es_tensor *tensors = rewrite->tensors;
    const es_tensor *keys = &tensors[step->inputs[3]], *result = &tensors[step->output];
    uint64_t context = rewrite->options.context ? rewrite->options.context : keys->shape[0];
    if (context < result->shape[0] || context > LARGEST_CONTEXT)
        return too_much_context(rewrite, context, result->shape[0]);
    uint64_t rows = es_round_up((size_t)context, CACHE_BLOCK);
    rewrite->made[step->inputs[3]] = ALREADY;
    if (rewrite->options.cache == ES_S8) rewrite->made[step->inputs[3]] = (int32_t)rewrite->tensor_count;
    for (int index = 3; index <= 4; index++) {
        es_tensor *cache = &tensors[step->inputs[index]];
        const uint64_t shape[2] = {rows, cache->shape[1]}, scales[2] = {rows, step->words[ES_ATT_KV_HEADS]};
        const char *name = cache->name;
        bool fits = set_state(cache, name, rewrite->options.cache, 2, shape);
        if (fits && rewrite->options.cache == ES_S8)
            fits = set_state(&tensors[rewrite->tensor_count++], name_with(rewrite, name, "_cache", "_scales"), ES_F32, 2,
                             scales);
        if (!fits) return too_much_context(rewrite, context, result->shape[0]);
    }
    return ES_OK;
}

/* Changes in the place of keys, exact keys and marks behind all tensors. */
static es_status make_delta_state(es_rewrite *rewrite, const es_step *step)
{
    es_tensor *tensors = rewrite->tensors, *keys = &tensors[step->inputs[3]], *values = &tensors[step->inputs[4]];
    const es_text_options *options = &rewrite->options;
    uint64_t head_dim = step->words[ES_ATT_HEAD_DIM], kv_heads = step->words[ES_ATT_KV_HEADS];
    uint64_t capacity = options->context ? options->context : values->shape[0];
    if (capacity < rewrite->chunk || capacity > ((uint64_t)1 << 31) / head_dim - 1)
        return too_much_context(rewrite, capacity, rewrite->chunk);
    uint64_t rows = 1 + options->sinks + es_attention_ring(options, capacity, rewrite->chunk), width = kv_heads * head_dim;
    const uint64_t values_shape[2] = {capacity, width}, deltas_shape[2] = {kv_heads, capacity * head_dim};
    const uint64_t exact_shape[2] = {rows, width};
    const uint64_t marks_shape[3] = {kv_heads, capacity + 2, 1 + (head_dim + MARK_BITS - 1) / MARK_BITS};
    const char *name = keys->name, *suffix = "k_cache";
    es_tensor *exact = &tensors[rewrite->tensor_count], *marks = exact + 1;
    rewrite->made[step->inputs[3]] = (int32_t)rewrite->tensor_count;
    rewrite->tensor_count += 2;
    bool fits = set_state(values, values->name, options->cache, 2, values_shape) &&
                set_state(keys, name_with(rewrite, name, suffix, "deltas"), options->cache, 2, deltas_shape) &&
                set_state(exact, name_with(rewrite, name, suffix, "exact_keys"), ES_F32, 2, exact_shape) &&
                set_state(marks, name_with(rewrite, name, suffix, "marks"), ES_S32, 3, marks_shape);
    return fits ? ES_OK : too_much_context(rewrite, capacity, rewrite->chunk);
}

/* Position and window in one input. */
static void widen_position(es_tensor *position)
{
    memset(position->shape, 0, sizeof position->shape);
    memset(position->strides, 0, sizeof position->strides);
    position->rank = 1;
    position->shape[0] = 2;
    position->strides[0] = 1;
    position->extent[0] = 0;
    position->extent[1] = 2 * sizeof(int32_t);
}

static es_status rewrite_step(es_rewrite *rewrite, es_step *step)
{
    if (step->op != ES_ATTENTION_OP) return ES_OK;
    bool delta = rewrite->options.attention == ES_ATTENTION_DELTA;
    int32_t keys = step->inputs[3];
    if (!rewrite->made[keys]) {
        es_status status = delta ? make_delta_state(rewrite, step) : make_exact_caches(rewrite, step);
        if (status) return status;
    }
    int32_t first = rewrite->made[keys];
    step->input_count = first == ALREADY ? 6 : 8;
    step->inputs[6] = first == ALREADY ? ES_NO_TENSOR : first;
    step->inputs[7] = first == ALREADY ? ES_NO_TENSOR : first + 1;
    if (!delta) return ES_OK;
    step->op = ES_DELTA_ATTENTION;
    memcpy(&step->words[ES_ATT_THETA], &rewrite->options.theta, sizeof(float));
    step->words[ES_ATT_SINKS] = rewrite->options.sinks;
    widen_position(&rewrite->tensors[step->inputs[5]]);
    return ES_OK;
}

/* Tensors of the state one behind the other, each from a multiple of 64 bytes. */
static void lay_out_state(es_rewrite *rewrite)
{
    uint64_t end = 0;
    for (uint32_t number = 0; number < rewrite->tensor_count; number++) {
        es_tensor *tensor = &rewrite->tensors[number];
        if (tensor->storage != ES_STATE) continue;
        uint64_t size = es_tensor_size(tensor) * es_dtype_bytes(tensor->dtype);
        tensor->offset = tensor->extent[0] = end;
        tensor->extent[1] = end + size;
        end += (size + STATE_ALIGNMENT - 1) / STATE_ALIGNMENT * STATE_ALIGNMENT;
    }
    rewrite->model->state_bytes = end;
}

/* Places of the parts in the block, which begins with the model. */
typedef struct es_parts {
    size_t tensors, plans, steps, made, names, end;
} es_parts;

static es_parts measure(const es_model *model, uint32_t *attention_steps)
{
    size_t steps = 0, names = 0;
    *attention_steps = 0;
    for (uint32_t plan = 0; plan < model->plan_count; plan++) {
        steps += model->plans[plan].step_count;
        for (uint32_t number = 0; number < model->plans[plan].step_count; number++) {
            const es_step *step = &model->plans[plan].steps[number];
            if (step->op != ES_ATTENTION_OP) continue;
            ++*attention_steps;
            names += 3 * (strlen(model->tensors[step->inputs[3]].name) + LONGEST_SUFFIX) +
                     strlen(model->tensors[step->inputs[4]].name) + LONGEST_SUFFIX;
        }
    }
    es_parts parts;
    parts.tensors = es_round_up(sizeof(es_model), STATE_ALIGNMENT);
    size_t tensors = model->tensor_count + 2 * (size_t)*attention_steps;
    parts.plans = es_round_up(parts.tensors + tensors * sizeof(es_tensor), STATE_ALIGNMENT);
    parts.steps = es_round_up(parts.plans + model->plan_count * sizeof(es_plan), STATE_ALIGNMENT);
    parts.made = es_round_up(parts.steps + steps * sizeof(es_step), STATE_ALIGNMENT);
    parts.names = parts.made + model->tensor_count * sizeof(int32_t);
    parts.end = parts.names + names;
    return parts;
}

static es_status rewrite_plans(es_rewrite *rewrite, const es_model *model, es_plan *plans, es_step *steps)
{
    for (uint32_t number = 0; number < model->plan_count; number++)
        if (model->plans[number].symbol_max > rewrite->chunk) rewrite->chunk = model->plans[number].symbol_max;
    for (uint32_t number = 0; number < model->plan_count; number++) {
        plans[number] = model->plans[number];
        plans[number].steps = steps;
        memcpy(steps, model->plans[number].steps, plans[number].step_count * sizeof *steps);
        for (const es_step *end = steps + plans[number].step_count; steps < end; steps++) {
            es_status status = rewrite_step(rewrite, steps);
            if (status) return status;
        }
    }
    lay_out_state(rewrite);
    rewrite->model->tensor_count = rewrite->tensor_count;
    return ES_OK;
}

es_status es_model_with_attention(const es_model *model, const es_text_options *given, es_model **derived,
                                  es_error *error)
{
    es_rewrite rewrite = {.tensor_count = model->tensor_count, .chunk = 1, .error = error};
    uint32_t attention_steps;
    es_parts parts = measure(model, &attention_steps);
    *derived = NULL;
    es_status status = es_complete_attention(given, &rewrite.options, error);
    if (status) return status;
    if (!attention_steps) {
        es_format_error(error, "the model has no attention step");
        return ES_ATTENTION_ABSENT;
    }
    uint8_t *block = model->allocator.allocate(model->allocator.context, parts.end);
    if (!block) {
        es_format_error(error, "the model needs %llu bytes more", (unsigned long long)parts.end);
        return ES_MEMORY_EXHAUSTED;
    }
    rewrite.model = (es_model *)(void *)block;
    rewrite.tensors = (es_tensor *)(void *)(block + parts.tensors);
    rewrite.made = (int32_t *)(void *)(block + parts.made);
    rewrite.names = (char *)block + parts.names;
    *rewrite.model = *model;
    memset(&rewrite.model->map, 0, sizeof rewrite.model->map);
    memcpy(rewrite.tensors, model->tensors, model->tensor_count * sizeof *rewrite.tensors);
    es_plan *plans = (es_plan *)(void *)(block + parts.plans);
    rewrite.model->memory = block;
    rewrite.model->memory_bytes = parts.end;
    rewrite.model->tensors = rewrite.tensors;
    rewrite.model->plans = plans;
    status = rewrite_plans(&rewrite, model, plans, (es_step *)(void *)(block + parts.steps));
    /* Steps of a strange file may share caches between heads of different sizes, or read them as floats. */
    if (!status) status = es_check_rewritten(rewrite.model, error);
    if (status) es_model_close(rewrite.model);
    else *derived = rewrite.model;
    return status;
}
