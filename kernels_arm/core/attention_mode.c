/* What the options of attention mean: their ranges, the window, how far back a text can go, and what is skipped. */
#include <math.h>
#include <string.h>

#include "attention_options.h"
#include "session.h"

enum { LARGEST_SINKS = 1 << 16 };

static es_status fail(es_error *error, es_status status, const char *message, double number)
{
    es_format_error(error, message, number);
    return status;
}

es_status es_complete_attention(const es_text_options *given, es_text_options *options, es_error *error)
{
    *options = *given;
    bool delta = options->attention == ES_ATTENTION_DELTA;
    if (!delta && options->attention != ES_ATTENTION_EXACT)
        return fail(error, ES_ARGUMENT_RANGE, "there is no attention %g", options->attention);
    if (!options->cache) options->cache = delta ? ES_F16 : ES_S8;
    if (options->cache != ES_F32 && options->cache != ES_F16 && (delta || options->cache != ES_S8))
        return fail(error, ES_ATTENTION_CACHE, "a cache of type %g", options->cache);
    if (!delta) return ES_OK;
    if (!(options->theta >= 0.0f) || isinf(options->theta))
        return fail(error, ES_ATTENTION_THETA, "theta is %g", (double)options->theta);
    if (!(options->window >= 0.0f && options->window <= 1.0f))
        return fail(error, ES_ATTENTION_WINDOW, "the window is %g of the prompt", (double)options->window);
    if (options->sinks > LARGEST_SINKS) return fail(error, ES_ATTENTION_SINKS, "%g sinks", options->sinks);
    return ES_OK;
}

/* The share that was meant: 0.05 as a float is a little more, and would round 2.5 tokens up where Python rounds to 2. */
static uint64_t share_of(float window, uint64_t tokens) { return (uint64_t)rint(rint(window * 1e7) / 1e7 * (double)tokens); }

uint64_t es_attention_ring(const es_text_options *options, uint64_t context, uint64_t chunk)
{
    return share_of(options->window, context) + chunk;
}

uint32_t es_attention_window(const es_text_options *options, uint64_t prompt_tokens)
{
    uint64_t window = options->attention == ES_ATTENTION_DELTA ? share_of(options->window, prompt_tokens) : 1;
    return window < 1 ? 1 : window < INT32_MAX ? (uint32_t)window : INT32_MAX;
}

uint64_t es_attention_rewind(const es_text_options *options, uint64_t position, uint32_t window, uint64_t stored,
                             uint32_t context, uint32_t chunk)
{
    if (options->attention != ES_ATTENTION_DELTA) return position;
    uint64_t block = position / window * window;
    return block + es_attention_ring(options, context, chunk) >= stored ? position : block;
}

/* Share of the changes of one layer that are 0, up to token `outside`. */
static double unchanged(const es_launch *launch, int64_t outside)
{
    const es_tensor *tensor = launch->in[7];
    const int32_t *marks = (const int32_t *)(const void *)launch->in_data[7];
    int64_t kv_heads = es_word(launch, ES_ATT_KV_HEADS);
    double kept = 0.0;
    for (int64_t head = 0; head < kv_heads; head++)
        kept += marks[head * (int64_t)tensor->strides[0] + (1 + outside) * (int64_t)tensor->strides[1]];
    return outside ? 1.0 - kept / (double)kv_heads / (double)(outside * es_word(launch, ES_ATT_HEAD_DIM)) : 0.0;
}

double es_attention_skipped(const es_session *session, uint32_t window)
{
    double sum = 0.0, layers = 0.0;
    int64_t stored = 0, block = window ? window : 1;
    for (uint32_t number = 0; number < session->plan->step_count; number++) {
        const es_launch *launch = &session->launches[number];
        if (launch->step->op != ES_DELTA_ATTENTION) continue;
        int64_t capacity = (int64_t)launch->in[4]->shape[0];
        stored = *(const int32_t *)(const void *)launch->in_data[7];
        stored = stored < 0 ? 0 : stored < capacity ? stored : capacity;
        sum += unchanged(launch, stored > 1 ? (stored - 1) / block * block : 0);
        layers += 1.0;
    }
    double share = stored ? 1.0 - (double)block / (double)stored : 0.0;
    return layers > 0.0 && share > 0.0 ? sum / layers * share : 0.0;
}
