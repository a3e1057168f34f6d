/* Encodes, decodes and continues a short text where a file holds a language model. */
#include "use_text.h"

#include <string.h>

#include "edge_sparse.h"

enum { TOKENS = 8, CONTEXT = 12, LONGEST_TEXT = 96 };

/* Reads every byte, and ends a generation now and then. */
static int read_piece(void *context, const char *utf8, size_t length)
{
    uint32_t *sum = context;
    for (size_t at = 0; at < length; at++) *sum += (uint8_t)utf8[at];
    return *sum % 61 == 60;
}

/* The same text in steps; sometimes it ends early, or the session is reset meanwhile. */
static void generate_in_steps(es_text *text, const char *prompt, const es_generate_options *options, uint32_t seed)
{
    uint32_t sum = 0;
    es_generation generation;
    const char *shown;
    size_t length;
    int done = 0;
    if (es_text_begin(text, prompt, strlen(prompt), options)) return;
    for (uint32_t step = 0; !done && step < 64; step++) {
        es_status status = es_text_next(text, &shown, &length, &done);
        if (status && !done) __builtin_trap();
        if (es_text_begin(text, prompt, strlen(prompt), options) != ES_SESSION_BUSY) __builtin_trap();
        if (read_piece(&sum, shown, length)) break;
        if (step == 2 && seed & 1) es_session_reset(es_text_session(text));
    }
    if (es_text_end(text, &generation)) __builtin_trap();
    if (es_text_end(text, &generation) != ES_GENERATION_ABSENT) __builtin_trap();
}

static void use(es_text *text, uint32_t seed)
{
    static const char *const prompts[] = {"",        "ab",         "a b\nc", "e\xCC\x81t\xC3\xA9 \xF0\x9F\x99\x82",
                                          "\xFF\xC3(", "bb  bb b"};
    static const char *const stops[] = {"a", " b"};
    const char *prompt = prompts[seed % 6];
    int32_t tokens[TOKENS];
    char shown[LONGEST_TEXT];
    size_t count = 0, length = 0;
    uint32_t sum = 0;
    if (!es_text_encode(text, prompt, strlen(prompt), tokens, TOKENS, &count))
        es_text_decode(text, tokens, count, shown, sizeof shown, &length);
    es_generate_options options = {.sampling = es_text_sampling(text), .max_tokens = 3, .roll = seed >> 3 & 1};
    if (seed >> 4 & 1) options.sampling.temperature = 0;
    options.stops = stops;
    options.stop_count = seed >> 5 & 1 ? 2 : 0;
    es_generation generation;
    es_text_generate(text, prompt, strlen(prompt), &options, read_piece, &sum, &generation);
    es_text_rewind(text, seed >> 6 & 3);
    if (seed >> 7 & 1) generate_in_steps(text, prompt, &options, seed >> 8);
    es_text_generate(text, prompt, strlen(prompt), &options, read_piece, &sum, &generation);
}

void use_text(const es_model *given, uint32_t seed)
{
    es_model model = *given;
    es_plan plan = given->plans[0];
    es_text_options options = es_text_options_default();
    es_text *text = NULL;
    /* Those of the vectors have other names. */
    plan.name = "generate";
    model.plans = &plan;
    model.plan_count = 1;
    options.session.variants = seed >> 7 & 1 ? ES_VARIANT_ALL : 1u << (seed >> 8) % 3;
    options.context = seed >> 11 & 1 ? CONTEXT : 0;
    options.prompt_bytes = LONGEST_TEXT;
    options.attention = seed >> 12 & 1 ? ES_ATTENTION_DELTA : ES_ATTENTION_EXACT;
    if (!es_text_create(&model, &options, &text, NULL)) use(text, seed >> 13);
    es_text_close(text);
}
