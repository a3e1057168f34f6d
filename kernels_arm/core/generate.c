/* Generation for callers: whole texts through a callback, or one step per call. */
#include <string.h>

#include "session.h"
#include "text.h"

/* ---- At once ------------------------------------------------------------------------------------------------------- */

static es_status check_end(es_text *text, es_piece piece)
{
    const es_generate_options *options = &text->answer.options;
    if (!options->roll || options->max_tokens || piece) return ES_OK;
    es_format_error(&text->error, "a rolling context has no end: pass max_tokens, or a callback");
    return ES_ARGUMENT_RANGE;
}

static es_status run_steps(es_text *text, es_piece piece, void *context, es_generation *generation)
{
    es_status status = check_end(text, piece);
    for (bool done = false; !done && !status;) {
        es_slice shown;
        status = es_answer_step(text, &shown, &done);
        if (generation) *generation = text->answer.result;
        if (!shown.length || !piece || !piece(context, (const char *)shown.data, shown.length)) continue;
        text->answer.result.finish = ES_FINISH_CANCELLED;
        status = ES_OK;
        break;
    }
    return status;
}

static es_status generate(es_text *text, es_status status, es_piece piece, void *context, es_generation *generation)
{
    if (!status) status = run_steps(text, piece, context, generation);
    if (generation) *generation = text->answer.result;
    return es_text_leave(text, status);
}

es_status es_text_generate(es_text *text, const char *prompt, size_t length, const es_generate_options *options,
                           es_piece piece, void *context, es_generation *generation)
{
    if (!text || (!prompt && length)) return ES_ARGUMENT_NULL;
    if (!es_text_enter(text)) return ES_SESSION_BUSY;
    return generate(text, es_answer_start(text, prompt, length, options), piece, context, generation);
}

es_status es_text_generate_tokens(es_text *text, const int32_t *prompt, size_t count,
                                  const es_generate_options *options, es_piece piece, void *context,
                                  es_generation *generation)
{
    if (!text || (!prompt && count)) return ES_ARGUMENT_NULL;
    if (!es_text_enter(text)) return ES_SESSION_BUSY;
    return generate(text, es_answer_start_tokens(text, prompt, count, options), piece, context, generation);
}

/* ---- In steps ------------------------------------------------------------------------------------------------------ */

static es_status begin(es_text *text, es_status status)
{
    /* Otherwise nothing else may use the text until the end: it would overwrite what the next step needs. */
    atomic_store(&text->busy, status ? ES_TEXT_FREE : ES_TEXT_BETWEEN_STEPS);
    return status;
}

es_status es_text_begin(es_text *text, const char *prompt, size_t length, const es_generate_options *options)
{
    if (!text || (!prompt && length)) return ES_ARGUMENT_NULL;
    if (!es_text_enter(text)) return ES_SESSION_BUSY;
    return begin(text, es_answer_start(text, prompt, length, options));
}

es_status es_text_begin_tokens(es_text *text, const int32_t *prompt, size_t count, const es_generate_options *options)
{
    if (!text || (!prompt && count)) return ES_ARGUMENT_NULL;
    if (!es_text_enter(text)) return ES_SESSION_BUSY;
    return begin(text, es_answer_start_tokens(text, prompt, count, options));
}

/* Take the generation that lies between steps. */
static es_status resume(es_text *text)
{
    int state = ES_TEXT_BETWEEN_STEPS;
    if (atomic_compare_exchange_strong(&text->busy, &state, ES_TEXT_BUSY)) return ES_OK;
    if (state == ES_TEXT_BUSY) return ES_SESSION_BUSY;
    es_format_error(&text->error, "no generation was begun");
    return ES_GENERATION_ABSENT;
}

static es_status step(es_text *text, es_slice *shown, bool *done)
{
    es_answer *answer = &text->answer;
    text->error.message[0] = 0;
    if (answer->done) return answer->status;
    if (text->resets != text->session->resets) {
        /* What the next token would follow is gone; es_text_enter empties the caches. */
        es_format_error(&text->error, "the session was reset while it generated");
        answer->result.finish = ES_FINISH_CANCELLED;
        *done = true;
        return ES_CANCELLED;
    }
    return es_answer_step(text, shown, done);
}

es_status es_text_next(es_text *text, const char **utf8, size_t *length, int *done)
{
    if (!text || !utf8 || !length || !done) return ES_ARGUMENT_NULL;
    es_slice shown = {NULL, 0};
    bool last = true;
    *utf8 = "";
    *length = 0;
    *done = 1;
    es_status status = resume(text);
    if (status) return status;
    status = step(text, &shown, &last);
    text->answer.done = last;
    text->answer.status = status;
    if (shown.length) *utf8 = (const char *)shown.data;
    *length = shown.length;
    *done = last;
    atomic_store(&text->busy, ES_TEXT_BETWEEN_STEPS);
    return status;
}

es_status es_text_end(es_text *text, es_generation *generation)
{
    if (!text) return ES_ARGUMENT_NULL;
    es_status status = resume(text);
    if (status) return status;
    if (!text->answer.done) text->answer.result.finish = ES_FINISH_CANCELLED;
    if (generation) *generation = text->answer.result;
    return es_text_leave(text, ES_OK);
}
