/* A language model: a session whose caches it manages, and memory for everything that turns a prompt into text. */
#ifndef ES_TEXT_H
#define ES_TEXT_H

#include <stdatomic.h>

#include "sampling.h"
#include "session.h"
#include "text_stream.h"
#include "token_cache.h"

/* A generation in progress. */
typedef struct es_answer {
    es_generate_options options;
    es_generation result;
    es_pcg32 random;
    uint64_t start, first;
    size_t next, end; /* tokens of text->prompt that are still to be read */
    const float *logits;
    bool ended, flush; /* no token follows; text was held back */
    bool done;         /* all text was handed out */
    es_status status;  /* of the last step */
} es_answer;

enum { ES_TEXT_FREE = 0, ES_TEXT_BUSY, ES_TEXT_BETWEEN_STEPS };

struct es_text {
    const es_model *model;
    es_model *derived; /* with the attention of the options */
    es_session *session;
    es_text_options options;
    es_text_codec codec; /* record NULL: the file has no tokenizer */
    es_sampler sampler;
    es_token_cache cache;
    es_text_stream stream;
    es_answer answer;
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
    int state = ES_TEXT_FREE;
    if (!atomic_compare_exchange_strong(&text->busy, &state, ES_TEXT_BUSY)) return false;
    text->error.message[0] = 0;
    /* The caller has emptied the caches. */
    if (text->resets != text->session->resets) es_token_cache_rewind(&text->cache, 0);
    text->resets = text->session->resets;
    return true;
}

static inline es_status es_text_leave(es_text *text, es_status status)
{
    atomic_store(&text->busy, ES_TEXT_FREE);
    return status;
}

/* Read tokens that are known to fit; the session's words become the text's. text.c */
es_status es_text_append(es_text *text, const int32_t *tokens, size_t count, const float **logits);
/* Whether all tokens are in the vocabulary; ES_TOKEN_RANGE. text.c */
es_status es_text_check_tokens(es_text *text, const int32_t *tokens, size_t count);

/* Set up text->answer for a prompt; prompt and stop texts stay the caller's. generation.c */
es_status es_answer_start(es_text *text, const char *prompt, size_t length, const es_generate_options *options);
es_status es_answer_start_tokens(es_text *text, const int32_t *prompt, size_t count, const es_generate_options *options);
/* Read at most one chunk of the prompt, and choose at most one token; what it shows lives until the next step. A step
 * that fails is the last, and may still show text. generation.c */
es_status es_answer_step(es_text *text, es_slice *shown, bool *done);

#endif
