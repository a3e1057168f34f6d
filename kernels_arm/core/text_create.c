/* Makes language models: the session of plan "generate", and one block of memory for tokenizer, sampler and caches. */
#include <string.h>

#include "session.h"
#include "text.h"

enum { ALIGNMENT = 64, BYTES_PER_TOKEN = 8, LONGEST_PROMPT = 1 << 30 };

typedef struct es_text_places {
    size_t codec, sampler, tokens, part, prompt, output, shown, end;
    size_t spare; /* of the codec, while it is made */
} es_text_places;

es_text_options es_text_options_default(void)
{
    return (es_text_options){.attention = ES_ATTENTION_EXACT, .theta = 0.6f, .window = 0.05f};
}

static es_status refuse(es_error *error, es_status status, const char *words)
{
    es_format_error(error, "%s", words);
    return status;
}

static const es_step *first_attention(const es_plan *plan)
{
    for (uint32_t number = 0; number < plan->step_count; number++)
        if (plan->steps[number].op == ES_ATTENTION_OP) return &plan->steps[number];
    return NULL;
}

/* The plan that generates: from ids and position to logits. */
static es_status check_plan(const es_model *model, const es_step **attention, es_error *error)
{
    const es_plan *plan = es_model_find_plan(model, "generate");
    if (!plan || strcmp(plan->name, "generate") != 0 || !(*attention = first_attention(plan)) || !plan->symbol_max ||
        plan->input_count != 2 || plan->output_count != 1)
        return refuse(error, ES_NO_LANGUAGE_MODEL, "the model holds no language model");
    const es_tensor *output = &model->tensors[plan->outputs[0]];
    if (output->dtype != ES_F32 || output->rank != 2 || output->shape[1] > INT32_MAX)
        return refuse(error, ES_NO_LANGUAGE_MODEL, "plan generate gives no logits");
    const es_tokenizer *tokenizer = model->tokenizer;
    uint32_t pieces = !tokenizer ? 0 : tokenizer->kind == ES_TOKEN_BYTES ? 256 : tokenizer->piece_count;
    if (pieces > output->shape[1]) {
        es_format_error(error, "a tokenizer of %u pieces and a vocabulary of %u", (unsigned)pieces,
                        (unsigned)output->shape[1]);
        return ES_TOKENIZER_MISMATCH;
    }
    return ES_OK;
}

/* Options with defaults filled in. */
static es_status complete(const es_model *model, const es_step *attention, es_text_options *options, es_error *error)
{
    uint64_t context = options->context ? options->context : model->tensors[attention->inputs[3]].shape[0];
    if (context >= INT32_MAX) return refuse(error, ES_CONTEXT_RANGE, "the context holds too many tokens");
    options->context = (uint32_t)context;
    uint64_t bytes = options->prompt_bytes ? options->prompt_bytes : context * BYTES_PER_TOKEN;
    if (options->prompt_bytes > LONGEST_PROMPT)
        return refuse(error, ES_ARGUMENT_RANGE, "prompt_bytes may be up to 2^30");
    options->prompt_bytes = bytes < LONGEST_PROMPT ? (uint32_t)bytes : LONGEST_PROMPT;
    return ES_OK;
}

/* Ports and limits of the cache. */
static es_status describe_cache(es_text *text, es_error *error)
{
    es_token_cache *cache = &text->cache;
    es_port ids, position, logits;
    *cache = (es_token_cache){.session = text->session, .options = &text->options, .window = 1, .logits = 2};
    es_status status = es_session_find_port(text->session, "ids", &cache->ids);
    if (!status) status = es_session_find_port(text->session, "position", &cache->position);
    if (!status) status = es_session_port(text->session, cache->ids, &ids);
    if (!status) status = es_session_port(text->session, cache->position, &position);
    if (!status) status = es_session_port(text->session, cache->logits, &logits);
    bool fits = !status && cache->ids < 2 && cache->position < 2 && ids.dtype == ES_S32 && ids.rank == 1 &&
                ids.symbolic && position.dtype == ES_S32 && position.rank == 1 && !position.symbolic &&
                position.shape[0] >= 1 && position.shape[0] <= 2;
    if (!fits) return refuse(error, ES_NO_LANGUAGE_MODEL, "plan generate has no inputs ids and position");
    cache->context = text->options.context;
    cache->chunk = (uint32_t)ids.shape[0];
    cache->position_numbers = (uint32_t)position.shape[0];
    cache->vocabulary = (uint32_t)logits.shape[1];
    cache->logits_rows = logits.shape[0];
    cache->logits_symbolic = logits.symbolic;
    return ES_OK;
}

static bool reserve(size_t *end, uint64_t count, size_t size, size_t *place)
{
    *place = *end;
    if (count > SIZE_MAX / 4 / size || *end > SIZE_MAX / 4) return false;
    *end = es_round_up(*end + (size_t)count * size, ALIGNMENT);
    return true;
}

/* Memory for what a description of text and cache says. */
static bool lay_out(const es_text *text, es_text_places *places)
{
    const es_tokenizer *tokenizer = text->model->tokenizer;
    const es_token_cache *cache = &text->cache;
    size_t end = es_round_up(sizeof *text, ALIGNMENT), codec = 0;
    memset(places, 0, sizeof *places);
    if (tokenizer && !es_text_codec_bytes(tokenizer, text->options.prompt_bytes, &codec, &places->spare)) return false;
    bool fits = reserve(&end, codec, 1, &places->codec) &&
                reserve(&end, es_sampler_bytes(cache->vocabulary), 1, &places->sampler) &&
                reserve(&end, cache->context, 4, &places->tokens) && reserve(&end, cache->chunk, 4, &places->part) &&
                reserve(&end, cache->context, 4, &places->prompt) &&
                reserve(&end, cache->logits_rows * cache->vocabulary, 4, &places->output) &&
                reserve(&end, tokenizer ? es_text_stream_bytes(tokenizer) : 0, 1, &places->shown);
    places->end = end;
    return fits;
}

static es_status make_codec(es_text *text, uint8_t *memory, size_t spare_bytes, es_error *error)
{
    const es_allocator *allocator = &text->model->allocator;
    uint8_t *spare = NULL;
    if (spare_bytes && !(spare = allocator->allocate(allocator->context, spare_bytes))) return ES_MEMORY_EXHAUSTED;
    es_status status = es_text_codec_make(&text->codec, text->model->tokenizer, text->options.prompt_bytes, memory,
                                          spare, error);
    if (spare) allocator->release(allocator->context, spare, spare_bytes);
    return status;
}

/* Copy a description into memory of its own, and fill in the rest. */
static es_status build(const es_text *described, es_text **made, es_error *error)
{
    const es_allocator *allocator = &described->model->allocator;
    es_text_places places;
    uint8_t *base = lay_out(described, &places) ? allocator->allocate(allocator->context, places.end) : NULL;
    if (!base) return refuse(error, ES_MEMORY_EXHAUSTED, "no memory for the tokenizer and the sampler");
    es_text *text = (es_text *)(void *)base;
    memcpy(text, described, sizeof *text);
    text->bytes = places.end;
    text->cache.options = &text->options;
    text->cache.tokens = (int32_t *)(void *)(base + places.tokens);
    text->cache.part = (int32_t *)(void *)(base + places.part);
    text->cache.output = (float *)(void *)(base + places.output);
    text->prompt = (int32_t *)(void *)(base + places.prompt);
    text->shown = base + places.shown;
    text->sampler = es_sampler_in(base + places.sampler, text->cache.vocabulary);
    atomic_init(&text->busy, 0);
    es_status status = ES_OK;
    if (text->model->tokenizer) status = make_codec(text, base + places.codec, places.spare, error);
    if (status) allocator->release(allocator->context, text, text->bytes);
    else *made = text;
    return status;
}

es_status es_text_create(const es_model *model, const es_text_options *given, es_text **text, es_error *error)
{
    if (error) error->message[0] = 0;
    if (text) *text = NULL;
    if (!model || !text) return ES_ARGUMENT_NULL;
    es_text described;
    memset(&described, 0, sizeof described);
    described.model = model;
    described.options = given ? *given : es_text_options_default();
    const es_step *attention;
    es_status status = check_plan(model, &attention, error);
    if (!status) status = complete(model, attention, &described.options, error);
    if (!status) status = es_model_with_attention(model, &described.options, &described.derived, error);
    if (!status)
        status = es_session_create(described.derived, "generate", &described.options.session, &described.session, error);
    if (!status) status = describe_cache(&described, error);
    if (!status) status = build(&described, text, error);
    if (status) {
        es_session_close(described.session);
        es_model_close(described.derived);
    }
    return status;
}

void es_text_close(es_text *text)
{
    if (!text) return;
    const es_allocator *allocator = &text->model->allocator;
    es_session_close(text->session);
    es_model_close(text->derived);
    allocator->release(allocator->context, text, text->bytes);
}
