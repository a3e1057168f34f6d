/* A session of a decoder, and which tokens its caches hold. */
#ifndef ES_TOKEN_CACHE_H
#define ES_TOKEN_CACHE_H

#include "attention_mode.h"

typedef struct es_token_cache {
    es_session *session; /* of a plan with inputs ids and position */
    const es_text_options *options;
    uint32_t context, chunk;
    uint32_t ids, position, logits; /* ports */
    uint32_t vocabulary;
    uint64_t logits_rows; /* most that a run gives; it gives one per token if logits_symbolic */
    bool logits_symbolic;
    uint32_t position_numbers; /* 2: the second is the window */
    int32_t place[2];
    int32_t *tokens; /* in the caches, in order */
    int32_t *part;   /* chunk tokens of one run */
    float *output;
    size_t count;
    uint32_t window;
    uint64_t stored;   /* more than count after a run that was interrupted */
    uint64_t furthest; /* the most that were stored since the caches were empty: what they overwrote is gone */
} es_token_cache;

/* Keep what the caches share with the beginning of tokens, never the last of them; returns its length. */
size_t es_token_cache_go_back(es_token_cache *cache, const int32_t *tokens, size_t count);
/* Keep at most so many tokens; returns how many, fewer where attention cannot go back there. */
size_t es_token_cache_rewind(es_token_cache *cache, size_t count);
/* Append tokens, in runs of up to chunk; *logits: of the last one. There must be room for them. */
es_status es_token_cache_read(es_token_cache *cache, const int32_t *tokens, size_t count, const float **logits);

#endif
