/* Opening a language model as the options say. */
#include <string.h>

#include "command.h"

static int attention_options(const es_cli_option *options, es_text_options *text)
{
    const char *mode = es_cli_value(options, "attention"), *cache = es_cli_value(options, "cache");
    if (mode && strcmp(mode, "exact") && strcmp(mode, "delta"))
        return es_cli_fail(ES_EXIT_INPUT, "ATTENTION_UNKNOWN", "ask for exact or delta", "attention %s", mode);
    text->attention = mode && !strcmp(mode, "delta") ? ES_ATTENTION_DELTA : ES_ATTENTION_EXACT;
    if (!cache) return 0;
    text->cache = !strcmp(cache, "s8") ? ES_S8 : !strcmp(cache, "f16") ? ES_F16 : !strcmp(cache, "f32") ? ES_F32 : 0;
    return text->cache ? 0 : es_cli_fail_status(ES_ATTENTION_CACHE, cache);
}

int es_cli_open_text(const es_model *model, const es_cli_option *options, es_text **text)
{
    es_text_options wanted = es_text_options_default();
    int64_t threads = 1, context = wanted.context, sinks = wanted.sinks;
    double theta = (double)wanted.theta, window = (double)wanted.window;
    int code = attention_options(options, &wanted);
    if (!code) code = es_cli_integer(options, "threads", 1, 256, &threads);
    if (!code) code = es_cli_integer(options, "context", 1, INT32_MAX, &context);
    if (!code) code = es_cli_integer(options, "sinks", 0, 65536, &sinks);
    if (!code) code = es_cli_number(options, "theta", 0, 1e30, &theta);
    if (!code) code = es_cli_number(options, "window", 0, 1, &window);
    if (code) return code;
    wanted.session.threads = (uint32_t)threads;
    wanted.context = (uint32_t)context;
    wanted.sinks = (uint32_t)sinks;
    wanted.theta = (float)theta;
    wanted.window = (float)window;
    es_error error = {{0}};
    es_status status = es_text_create(model, &wanted, text, &error);
    return status ? es_cli_fail_status(status, error.message) : 0;
}
