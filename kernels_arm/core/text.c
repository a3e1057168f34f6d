/* What can be asked of a language model besides generating: tokens, text, single steps. */
#include "text.h"

#include <string.h>

#include "session.h"

es_session *es_text_session(es_text *text) { return text ? text->session : NULL; }
const char *es_text_error(const es_text *text) { return text ? text->error.message : ""; }
uint32_t es_text_vocabulary(const es_text *text) { return text ? text->cache.vocabulary : 0; }
uint32_t es_text_context(const es_text *text) { return text ? text->cache.context : 0; }
double es_text_skipped(const es_text *text) { return text ? es_attention_skipped(text->session, text->cache.window) : 0.0; }

es_sampling es_text_sampling(const es_text *text)
{
    es_sampling sampling = {.temperature = 1.0f, .top_p = 1.0f, .repetition_penalty = 1.0f};
    if (!text || !text->codec.record) return sampling;
    sampling.temperature = text->codec.record->temperature;
    sampling.top_k = text->codec.record->top_k;
    sampling.top_p = text->codec.record->top_p;
    return sampling;
}

static es_status missing_tokenizer(es_text *text)
{
    es_format_error(&text->error, "the file holds no tokenizer");
    return ES_TOKENIZER_MISSING;
}

es_status es_text_encode(es_text *text, const char *utf8, size_t length, int32_t *tokens, size_t capacity, size_t *count)
{
    if (!text || !count || (!utf8 && length) || (!tokens && capacity)) return ES_ARGUMENT_NULL;
    *count = 0;
    if (!es_text_enter(text)) return ES_SESSION_BUSY;
    if (!text->codec.record) return es_text_leave(text, missing_tokenizer(text));
    es_token_list list = {tokens, capacity, 0};
    es_status status = es_text_encode_bytes(&text->codec, (es_slice){(const uint8_t *)utf8, length}, &list, &text->error);
    *count = list.count;
    if (!status && list.count > capacity) {
        es_format_error(&text->error, "%llu tokens, and room for %llu", (unsigned long long)list.count,
                        (unsigned long long)capacity);
        status = ES_ARGUMENT_RANGE;
    }
    return es_text_leave(text, status);
}

static void append(es_slice shown, char *utf8, size_t capacity, size_t *length)
{
    if (shown.length <= capacity && *length <= capacity - shown.length) memcpy(utf8 + *length, shown.data, shown.length);
    *length += shown.length;
}

es_status es_text_decode(es_text *text, const int32_t *tokens, size_t count, char *utf8, size_t capacity, size_t *length)
{
    if (!text || !length || (!tokens && count) || (!utf8 && capacity)) return ES_ARGUMENT_NULL;
    *length = 0;
    if (!es_text_enter(text)) return ES_SESSION_BUSY;
    if (!text->codec.record) return es_text_leave(text, missing_tokenizer(text));
    es_text_stream stream;
    es_text_stream_start(&stream, &text->codec, text->shown, -1);
    for (size_t at = 0; at < count; at++) append(es_text_stream_push(&stream, tokens[at]), utf8, capacity, length);
    append(es_text_stream_finish(&stream), utf8, capacity, length);
    if (*length <= capacity) return es_text_leave(text, ES_OK);
    es_format_error(&text->error, "%llu bytes, and room for %llu", (unsigned long long)*length,
                    (unsigned long long)capacity);
    return es_text_leave(text, ES_ARGUMENT_RANGE);
}

es_status es_text_check_tokens(es_text *text, const int32_t *tokens, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        if (tokens[at] >= 0 && (uint32_t)tokens[at] < text->cache.vocabulary) continue;
        es_format_error(&text->error, "token %ld is outside the vocabulary of %u", (long)tokens[at],
                        (unsigned)text->cache.vocabulary);
        return ES_TOKEN_RANGE;
    }
    return ES_OK;
}

es_status es_text_append(es_text *text, const int32_t *tokens, size_t count, const float **logits)
{
    es_status status = es_token_cache_read(&text->cache, tokens, count, logits);
    if (status) es_format_error(&text->error, "%s", es_session_error(text->session));
    return status;
}

static es_status read(es_text *text, const int32_t *tokens, size_t count, const float **logits)
{
    es_token_cache *cache = &text->cache;
    es_status status = es_text_check_tokens(text, tokens, count);
    if (status) return status;
    if (count > cache->context - cache->count) {
        es_format_error(&text->error, "%llu tokens behind %llu of a context of %u", (unsigned long long)count,
                        (unsigned long long)cache->count, (unsigned)cache->context);
        return ES_CONTEXT_FULL;
    }
    if (!cache->count) es_token_cache_go_back(cache, tokens, count); /* gives the window */
    return es_text_append(text, tokens, count, logits);
}

es_status es_text_read(es_text *text, const int32_t *tokens, size_t count, const float **logits)
{
    if (!text || !tokens || !logits) return ES_ARGUMENT_NULL;
    if (!count) return ES_ARGUMENT_RANGE;
    if (!es_text_enter(text)) return ES_SESSION_BUSY;
    return es_text_leave(text, read(text, tokens, count, logits));
}

size_t es_text_rewind(es_text *text, size_t tokens)
{
    if (!text) return 0;
    if (!es_text_enter(text)) return text->cache.count;
    size_t kept = es_token_cache_rewind(&text->cache, tokens);
    es_text_leave(text, ES_OK);
    return kept;
}
