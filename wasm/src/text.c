/* Language models: tokens, single reads, generation in steps. */
#include "exports.h"

/* theta and window below 0: the defaults. */
es_status ES_EXPORT(text_create)(const es_model *model, uint32_t context, int attention, int cache, double theta,
                                 double window, uint32_t sinks, web_reply *reply)
{
    es_text_options options = es_text_options_default();
    options.context = context;
    options.attention = (es_attention)attention;
    options.cache = (es_dtype)cache;
    options.theta = (float)theta;
    options.window = (float)window;
    options.sinks = sinks;
    es_text *text;
    es_status status = es_text_create(model, &options, &text, &reply->error);
    reply->numbers[0] = web_address(text);
    reply->numbers[1] = text ? web_address(es_text_session(text)) : 0;
    return status;
}

void ES_EXPORT(text_close)(es_text *text) { es_text_close(text); }
const char *ES_EXPORT(text_error)(const es_text *text) { return es_text_error(text); }
uint32_t ES_EXPORT(text_vocabulary)(const es_text *text) { return es_text_vocabulary(text); }
uint32_t ES_EXPORT(text_context)(const es_text *text) { return es_text_context(text); }
double ES_EXPORT(text_skipped)(const es_text *text) { return es_text_skipped(text); }

void ES_EXPORT(text_defaults)(const es_text *text, web_reply *reply)
{
    es_text_options options = es_text_options_default();
    es_sampling sampling = es_text_sampling(text);
    const double numbers[] = {(double)options.theta, (double)options.window, (double)sampling.temperature,
                              sampling.top_k, (double)sampling.top_p, (double)sampling.min_p,
                              (double)sampling.repetition_penalty};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) reply->numbers[i] = numbers[i];
}

es_status ES_EXPORT(text_encode)(es_text *text, const char *utf8, size_t length, int32_t *tokens, size_t capacity,
                                 web_reply *reply)
{
    size_t count = 0;
    es_status status = es_text_encode(text, utf8, length, tokens, capacity, &count);
    reply->numbers[0] = (double)count;
    return status;
}

es_status ES_EXPORT(text_decode)(es_text *text, const int32_t *tokens, size_t count, char *utf8, size_t capacity,
                                 web_reply *reply)
{
    size_t length = 0;
    es_status status = es_text_decode(text, tokens, count, utf8, capacity, &length);
    reply->numbers[0] = (double)length;
    return status;
}

es_status ES_EXPORT(text_read)(es_text *text, const int32_t *tokens, size_t count, web_reply *reply)
{
    const float *logits = NULL;
    es_status status = es_text_read(text, tokens, count, &logits);
    reply->numbers[0] = web_address(logits);
    return status;
}

size_t ES_EXPORT(text_rewind)(es_text *text, size_t tokens) { return es_text_rewind(text, tokens); }

/* tokens: the prompt holds count tokens, not bytes. stops holds the addresses of stop texts. */
es_status ES_EXPORT(text_begin)(es_text *text, int tokens, const void *prompt, size_t count, double temperature,
                                uint32_t top_k, double top_p, double min_p, double repetition_penalty, uint64_t seed,
                                uint32_t max_tokens, const char *const *stops, uint32_t stop_count, int roll)
{
    es_generate_options options = {
        .sampling = {(float)temperature, top_k, (float)top_p, (float)min_p, (float)repetition_penalty, seed},
        .max_tokens = max_tokens,
        .stops = stops,
        .stop_count = stop_count,
        .roll = roll,
    };
    return tokens ? es_text_begin_tokens(text, prompt, count, &options) : es_text_begin(text, prompt, count, &options);
}

es_status ES_EXPORT(text_next)(es_text *text, web_reply *reply)
{
    const char *utf8 = NULL;
    size_t length = 0;
    int done = 1;
    es_status status = es_text_next(text, &utf8, &length, &done);
    reply->numbers[0] = web_address(utf8);
    reply->numbers[1] = (double)length;
    reply->numbers[2] = done;
    return status;
}

es_status ES_EXPORT(text_end)(es_text *text, web_reply *reply)
{
    es_generation result;
    es_status status = es_text_end(text, &result);
    if (status) return status;
    const double numbers[] = {result.finish,           result.prompt_tokens,       result.reused_tokens,
                              result.generated_tokens, result.first_token_seconds, result.decode_seconds};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) reply->numbers[i] = numbers[i];
    return ES_OK;
}
