/* From a prompt to text, token by token; docs/generation.md. */
#include <string.h>

#include "session.h"
#include "text.h"

/* Tokens at the beginning that stay when the context rolls. */
enum { ROLL_KEEP = 4 };

typedef struct es_answer {
    es_text *text;
    const es_generate_options *options;
    es_piece piece;
    void *context;
    es_generation *result;
    es_pcg32 random;
    uint64_t start, first;
    const float *logits;
} es_answer;

static double seconds(uint64_t nanoseconds) { return (double)nanoseconds / 1e9; }

static es_status check_options(es_text *text, const es_generate_options *options, es_piece piece)
{
    if (!es_sampling_valid(&options->sampling)) {
        es_format_error(&text->error, "temperature %g, top_p %g, min_p %g, repetition penalty %g",
                        (double)options->sampling.temperature, (double)options->sampling.top_p,
                        (double)options->sampling.min_p, (double)options->sampling.repetition_penalty);
        return ES_SAMPLING_RANGE;
    }
    if (options->roll && !options->max_tokens && !piece) {
        es_format_error(&text->error, "a rolling context has no end: pass max_tokens, or a callback");
        return ES_ARGUMENT_RANGE;
    }
    return ES_OK;
}

static es_status choose(es_answer *answer, int32_t *token)
{
    es_text *text = answer->text;
    es_generation *result = answer->result;
    es_status status = es_choose_token(&text->sampler, &answer->options->sampling, answer->logits, text->cache.tokens,
                                       text->cache.count, &answer->random, token);
    if (status) {
        es_format_error(&text->error, "the model computed no numbers");
        return status;
    }
    uint64_t now = es_nanoseconds();
    if (!result->generated_tokens++) answer->first = now;
    result->first_token_seconds = seconds(answer->first - answer->start);
    result->decode_seconds = seconds(now - answer->first);
    return ES_OK;
}

/* Hand out text; false: the callback wants no more. */
static bool hand_out(es_answer *answer, es_slice shown)
{
    if (!shown.length || !answer->piece) return true;
    if (!answer->piece(answer->context, (const char *)shown.data, shown.length)) return true;
    answer->result->finish = ES_FINISH_CANCELLED;
    return false;
}

/* Forget the older half of all but the first tokens, and read the rest again. */
static es_status roll(es_answer *answer, int32_t token)
{
    es_text *text = answer->text;
    const es_token_cache *cache = &text->cache;
    size_t keep = cache->context / 4 < ROLL_KEEP ? cache->context / 4 : ROLL_KEEP;
    size_t recent = (cache->count - keep) / 2, count = keep + recent;
    memcpy(text->prompt, cache->tokens, keep * sizeof *text->prompt);
    memcpy(text->prompt + keep, cache->tokens + cache->count - recent, recent * sizeof *text->prompt);
    text->prompt[count++] = token;
    size_t kept = es_token_cache_go_back(&text->cache, text->prompt, count);
    answer->result->rolls++;
    return es_text_append(text, text->prompt + kept, count - kept, &answer->logits);
}

/* Show a token, and find out whether it was the last. */
static bool ends(es_answer *answer, int32_t token, bool *flush)
{
    es_text *text = answer->text;
    const es_generate_options *options = answer->options;
    es_generation *result = answer->result;
    *flush = true;
    if (text->codec.record && es_text_ends(&text->codec, token)) {
        result->finish = ES_FINISH_END;
        return true;
    }
    *flush = false;
    if (text->codec.record && !hand_out(answer, es_text_stream_push(&text->stream, token))) return true;
    if (text->stream.stopped) {
        result->finish = ES_FINISH_STOP;
        return true;
    }
    *flush = true;
    if (options->max_tokens && result->generated_tokens >= options->max_tokens) {
        result->finish = ES_FINISH_LENGTH;
        return true;
    }
    result->finish = ES_FINISH_CONTEXT;
    return text->cache.count >= text->cache.context && !options->roll;
}

static es_status finish(es_answer *answer)
{
    es_text *text = answer->text;
    es_generation *result = answer->result;
    if (text->codec.record && !hand_out(answer, es_text_stream_finish(&text->stream))) return ES_OK;
    if (text->stream.stopped) result->finish = ES_FINISH_STOP;
    if (result->finish != ES_FINISH_CONTEXT || !answer->options->max_tokens) return ES_OK;
    es_format_error(&text->error, "the context of %u tokens is full after %u of %u tokens",
                    (unsigned)text->cache.context, (unsigned)result->generated_tokens,
                    (unsigned)answer->options->max_tokens);
    return ES_CONTEXT_FULL;
}

/* The prompt lies in text->prompt. */
static es_status answer_prompt(es_answer *answer, size_t count)
{
    es_text *text = answer->text;
    es_generation *result = answer->result;
    size_t kept = es_token_cache_go_back(&text->cache, text->prompt, count);
    result->reused_tokens = (uint32_t)kept;
    es_status status = es_text_append(text, text->prompt + kept, count - kept, &answer->logits);
    while (!status) {
        int32_t token;
        bool flush;
        status = choose(answer, &token);
        if (status) break;
        if (ends(answer, token, &flush)) return flush ? finish(answer) : ES_OK;
        if (text->cache.count >= text->cache.context) status = roll(answer, token);
        else status = es_text_append(text, &token, 1, &answer->logits);
    }
    result->finish = ES_FINISH_CANCELLED;
    return status;
}

/* Check and complete the prompt in text->prompt: count tokens, of which the context may hold only the first. */
static es_status complete_prompt(es_text *text, size_t *count)
{
    int32_t bos = text->codec.record ? text->codec.record->bos : -1;
    if (!*count && bos < 0) {
        es_format_error(&text->error, "the prompt is empty, and the model has no BOS");
        return ES_PROMPT_EMPTY;
    }
    if (!*count) text->prompt[(*count)++] = bos;
    if (*count <= text->cache.context) return es_text_check_tokens(text, text->prompt, *count);
    es_format_error(&text->error, "the prompt has %llu tokens, the context holds %u", (unsigned long long)*count,
                    (unsigned)text->cache.context);
    return ES_PROMPT_TOO_LONG;
}

static es_status generate(es_answer *answer, size_t count)
{
    es_text *text = answer->text;
    const es_generate_options *options = answer->options;
    es_status status = check_options(text, options, answer->piece);
    if (!status) status = complete_prompt(text, &count);
    if (status) return status;
    es_text_stream_start(&text->stream, &text->codec, text->shown, text->prompt[count - 1]);
    status = es_text_stream_stops(&text->stream, options->stops, options->stop_count);
    if (status) {
        es_format_error(&text->error, "up to %d stop texts, of 1 to %d bytes of UTF-8", ES_MOST_STOPS, ES_LONGEST_STOP);
        return status;
    }
    answer->result->prompt_tokens = (uint32_t)count;
    answer->random = es_pcg32_start(options->sampling.seed);
    return answer_prompt(answer, count);
}

static es_status start(es_answer *answer, es_text *text, const es_generate_options **options,
                       es_generate_options *defaults, es_generation *unused)
{
    if (!es_text_enter(text)) return ES_SESSION_BUSY;
    answer->start = es_nanoseconds();
    if (!answer->result) answer->result = unused;
    memset(answer->result, 0, sizeof *answer->result);
    *defaults = (es_generate_options){.sampling = es_text_sampling(text)};
    if (!*options) *options = defaults;
    answer->options = *options;
    atomic_store(&text->session->cancelled, 0); /* meant for a run that has ended */
    return ES_OK;
}

es_status es_text_generate(es_text *text, const char *prompt, size_t length, const es_generate_options *options,
                           es_piece piece, void *context, es_generation *generation)
{
    if (!text || (!prompt && length)) return ES_ARGUMENT_NULL;
    es_generate_options defaults;
    es_generation unused;
    es_answer answer = {.text = text, .piece = piece, .context = context, .result = generation};
    es_status status = start(&answer, text, &options, &defaults, &unused);
    if (status) return status;
    es_token_list list = {text->prompt, text->cache.context, 0};
    if (text->codec.record) {
        status = es_text_encode_bytes(&text->codec, (es_slice){(const uint8_t *)prompt, length}, &list, &text->error);
    } else {
        es_format_error(&text->error, "the file holds no tokenizer");
        status = ES_TOKENIZER_MISSING;
    }
    if (!status) status = generate(&answer, list.count);
    return es_text_leave(text, status);
}

es_status es_text_generate_tokens(es_text *text, const int32_t *prompt, size_t count,
                                  const es_generate_options *options, es_piece piece, void *context,
                                  es_generation *generation)
{
    if (!text || (!prompt && count)) return ES_ARGUMENT_NULL;
    es_generate_options defaults;
    es_generation unused;
    es_answer answer = {.text = text, .piece = piece, .context = context, .result = generation};
    es_status status = start(&answer, text, &options, &defaults, &unused);
    if (status) return status;
    size_t kept = count < text->cache.context ? count : text->cache.context;
    if (kept) memcpy(text->prompt, prompt, kept * sizeof *prompt);
    return es_text_leave(text, generate(&answer, count));
}
