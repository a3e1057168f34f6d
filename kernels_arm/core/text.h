/* A language model: a session whose caches it manages, and memory for everything that turns a prompt into text. */
#ifndef ES_TEXT_H
#define ES_TEXT_H

#include <stdatomic.h>

#include "sampling.h"
#include "session.h"
#include "text_stream.h"
#include "token_cache.h"

struct es_text {
    const es_model *model;
    es_model *derived; /* with the attention of the options */
    es_session *session;
    es_text_options options;
    es_text_codec codec; /* record NULL: the file has no tokenizer */
    es_sampler sampler;
    es_token_cache cache;
    es_text_stream stream;
    uint8_t *shown;  /* of streams */
    int32_t *prompt; /* context tokens */
    uint32_t resets; /* of the session, when the caches were last looked at */
    atomic_int busy;
    es_error error;
    size_t bytes; /* of this whole block */
};

/* One call at a time: false if another is inside; es_text_leave otherwise follows. */
static inline bool es_text_enter(es_text *text)
{
    if (atomic_exchange(&text->busy, 1)) return false;
    text->error.message[0] = 0;
    /* The caller has emptied the caches. */
    if (text->resets != text->session->resets) es_token_cache_rewind(&text->cache, 0);
    text->resets = text->session->resets;
    return true;
}

static inline es_status es_text_leave(es_text *text, es_status status)
{
    atomic_store(&text->busy, 0);
    return status;
}

/* Read tokens that are known to fit; the session's words become the text's. text.c */
es_status es_text_append(es_text *text, const int32_t *tokens, size_t count, const float **logits);
/* Whether all tokens are in the vocabulary; ES_TOKEN_RANGE. text.c */
es_status es_text_check_tokens(es_text *text, const int32_t *tokens, size_t count);

#endif
