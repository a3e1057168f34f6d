/* From a prompt to text, token by token; docs/generation.md. */
#include <string.h>

#include "session.h"
#include "text.h"

/* Tokens at the beginning that stay when the context rolls. */
enum { ROLL_KEEP = 4 };

static double seconds(uint64_t nanoseconds) { return (double)nanoseconds / 1e9; }

static es_status choose(es_text *text, int32_t *token)
{
    es_answer *answer = &text->answer;
    es_generation *result = &answer->result;
    es_status status = es_choose_token(&text->sampler, &answer->options.sampling, answer->logits, text->cache.tokens,
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

/* Have count tokens of text->prompt read behind what the caches can keep of them. */
static void read_behind_kept(es_text *text, size_t count)
{
    text->answer.next = es_token_cache_go_back(&text->cache, text->prompt, count);
    text->answer.end = count;
}

/* Forget the older half of all but the first tokens, and read the rest again. */
static void roll(es_text *text, int32_t token)
{
    const es_token_cache *cache = &text->cache;
    size_t keep = cache->context / 4 < ROLL_KEEP ? cache->context / 4 : ROLL_KEEP;
    size_t recent = (cache->count - keep) / 2, count = keep + recent;
    memcpy(text->prompt, cache->tokens, keep * sizeof *text->prompt);
    memcpy(text->prompt + keep, cache->tokens + cache->count - recent, recent * sizeof *text->prompt);
    text->prompt[count++] = token;
    text->answer.result.rolls++;
    read_behind_kept(text, count);
}

/* Have the token that was chosen read by the next step. */
static void read_next(es_text *text, int32_t token)
{
    if (text->cache.count >= text->cache.context) {
        roll(text, token);
        return;
    }
    text->prompt[0] = token;
    text->answer.next = 0;
    text->answer.end = 1;
}

static void finish(es_answer *answer, es_finish reason, bool flush)
{
    answer->result.finish = reason;
    answer->ended = true;
    answer->flush = flush;
}

/* Show a token, and find out whether it was the last. */
static es_slice show(es_text *text, int32_t token)
{
    es_answer *answer = &text->answer;
    const es_generate_options *options = &answer->options;
    es_slice shown = {text->shown, 0};
    if (text->codec.record && es_text_ends(&text->codec, token)) {
        finish(answer, ES_FINISH_END, true);
        return shown;
    }
    if (text->codec.record) shown = es_text_stream_push(&text->stream, token);
    if (text->stream.stopped) finish(answer, ES_FINISH_STOP, false);
    else if (options->max_tokens && answer->result.generated_tokens >= options->max_tokens)
        finish(answer, ES_FINISH_LENGTH, true);
    else if (text->cache.count >= text->cache.context && !options->roll) finish(answer, ES_FINISH_CONTEXT, true);
    return shown;
}

/* Text that was held back, and whether there was room for all that was asked for. */
static es_status flush(es_text *text, es_slice *shown)
{
    es_answer *answer = &text->answer;
    if (text->codec.record) *shown = es_text_stream_finish(&text->stream);
    if (text->stream.stopped) answer->result.finish = ES_FINISH_STOP;
    if (answer->result.finish != ES_FINISH_CONTEXT || !answer->options.max_tokens) return ES_OK;
    es_format_error(&text->error, "the context of %u tokens is full after %u of %u tokens",
                    (unsigned)text->cache.context, (unsigned)answer->result.generated_tokens,
                    (unsigned)answer->options.max_tokens);
    return ES_CONTEXT_FULL;
}

static es_status read_chunk(es_text *text)
{
    es_answer *answer = &text->answer;
    size_t count = answer->end - answer->next;
    if (count > text->cache.chunk) count = text->cache.chunk;
    es_status status = es_text_append(text, text->prompt + answer->next, count, &answer->logits);
    if (!status) answer->next += count;
    return status;
}

static es_status read_and_choose(es_text *text, es_slice *shown)
{
    es_answer *answer = &text->answer;
    int32_t token;
    es_status status = read_chunk(text);
    if (status || answer->next < answer->end) return status;
    status = choose(text, &token);
    if (status) return status;
    *shown = show(text, token);
    if (!answer->ended) read_next(text, token);
    return ES_OK;
}

es_status es_answer_step(es_text *text, es_slice *shown, bool *done)
{
    es_answer *answer = &text->answer;
    *shown = (es_slice){text->shown, 0};
    *done = true;
    if (answer->ended) return flush(text, shown);
    es_status status = read_and_choose(text, shown);
    if (status) answer->result.finish = ES_FINISH_CANCELLED;
    else *done = answer->ended && !answer->flush;
    return status;
}

/* ---- Beginning ----------------------------------------------------------------------------------------------------- */

static es_status check_sampling(es_text *text, const es_sampling *sampling)
{
    if (es_sampling_valid(sampling)) return ES_OK;
    es_format_error(&text->error, "temperature %g, top_p %g, min_p %g, repetition penalty %g",
                    (double)sampling->temperature, (double)sampling->top_p, (double)sampling->min_p,
                    (double)sampling->repetition_penalty);
    return ES_SAMPLING_RANGE;
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

/* The prompt lies in text->prompt. */
static es_status start(es_text *text, size_t count)
{
    es_answer *answer = &text->answer;
    es_status status = check_sampling(text, &answer->options.sampling);
    if (!status) status = complete_prompt(text, &count);
    if (status) return status;
    es_text_stream_start(&text->stream, &text->codec, text->shown, text->prompt[count - 1]);
    status = es_text_stream_stops(&text->stream, answer->options.stops, answer->options.stop_count);
    if (status) {
        es_format_error(&text->error, "up to %d stop texts, of 1 to %d bytes of UTF-8", ES_MOST_STOPS, ES_LONGEST_STOP);
        return status;
    }
    answer->random = es_pcg32_start(answer->options.sampling.seed);
    read_behind_kept(text, count);
    answer->result.prompt_tokens = (uint32_t)count;
    answer->result.reused_tokens = (uint32_t)answer->next;
    return ES_OK;
}

static void clear(es_text *text, const es_generate_options *options)
{
    text->answer = (es_answer){.start = es_nanoseconds()};
    text->answer.options = options ? *options : (es_generate_options){.sampling = es_text_sampling(text)};
    atomic_store(&text->session->cancelled, 0); /* meant for a run that has ended */
}

es_status es_answer_start(es_text *text, const char *prompt, size_t length, const es_generate_options *options)
{
    clear(text, options);
    es_token_list list = {text->prompt, text->cache.context, 0};
    if (!text->codec.record) {
        es_format_error(&text->error, "the file holds no tokenizer");
        return ES_TOKENIZER_MISSING;
    }
    es_status status =
        es_text_encode_bytes(&text->codec, (es_slice){(const uint8_t *)prompt, length}, &list, &text->error);
    return status ? status : start(text, list.count);
}

es_status es_answer_start_tokens(es_text *text, const int32_t *prompt, size_t count, const es_generate_options *options)
{
    clear(text, options);
    size_t kept = count < text->cache.context ? count : text->cache.context;
    if (kept) memcpy(text->prompt, prompt, kept * sizeof *prompt);
    return start(text, count);
}
