/* Reads tokens into a session's caches and goes back to where a new text differs. */
#include "token_cache.h"

#include <string.h>

static size_t rewound(const es_token_cache *cache, size_t position)
{
    return (size_t)es_attention_rewind(cache->options, position, cache->window, cache->furthest, cache->context,
                                       cache->chunk);
}

static void cut(es_token_cache *cache, size_t count)
{
    cache->count = count;
    cache->stored = count;
    if (!count) cache->furthest = 0;
}

size_t es_token_cache_go_back(es_token_cache *cache, const int32_t *tokens, size_t count)
{
    uint32_t window = es_attention_window(cache->options, count);
    size_t shared = 0, most = cache->count < count - 1 ? cache->count : count - 1;
    while (shared < most && cache->tokens[shared] == tokens[shared]) shared++;
    /* Most is read anyway: with the window that this text would have been given. */
    if (2 * shared < count && cache->window != window) shared = 0;
    if (shared < cache->stored) shared = rewound(cache, shared);
    cut(cache, shared);
    if (!shared) cache->window = window;
    return shared;
}

size_t es_token_cache_rewind(es_token_cache *cache, size_t count)
{
    if (count > cache->count) count = cache->count;
    if (count < cache->stored) cut(cache, rewound(cache, count));
    return cache->count;
}

static es_status run(es_token_cache *cache, const int32_t *tokens, size_t count)
{
    cache->place[0] = (int32_t)cache->count;
    cache->place[1] = (int32_t)cache->window;
    memmove(cache->part, tokens, count * sizeof *tokens);
    cache->stored = cache->count + count;
    if (cache->stored > cache->furthest) cache->furthest = cache->stored;
    es_session *session = cache->session;
    es_status status = es_session_bind(session, cache->ids, cache->part, count * sizeof *cache->part);
    if (!status)
        status = es_session_bind(session, cache->position, cache->place, cache->position_numbers * sizeof *cache->place);
    if (!status)
        status = es_session_bind(session, cache->logits, cache->output,
                                 (size_t)cache->logits_rows * cache->vocabulary * sizeof *cache->output);
    if (!status) status = es_session_run(session);
    if (status) return status;
    memmove(cache->tokens + cache->count, cache->part, count * sizeof *tokens);
    cache->count += count;
    return ES_OK;
}

static es_status run_all(es_token_cache *cache, const int32_t *tokens, size_t count)
{
    es_status status = ES_OK;
    for (size_t first = 0; first < count && !status; first += cache->chunk)
        status = run(cache, tokens + first, count - first < cache->chunk ? count - first : cache->chunk);
    return status;
}

/* A run was interrupted: as after going back, some attention modes must begin earlier than where it stopped. */
static es_status recover(es_token_cache *cache)
{
    size_t wanted = cache->count;
    cut(cache, rewound(cache, wanted));
    return run_all(cache, cache->tokens + cache->count, wanted - cache->count);
}

es_status es_token_cache_read(es_token_cache *cache, const int32_t *tokens, size_t count, const float **logits)
{
    es_status status = cache->stored > cache->count ? recover(cache) : ES_OK;
    if (!status) status = run_all(cache, tokens, count);
    if (status) return status;
    size_t last = (count - 1) % cache->chunk; /* row of the last token in the last run */
    *logits = cache->output + (cache->logits_symbolic ? last : (size_t)cache->logits_rows - 1) * cache->vocabulary;
    return ES_OK;
}
