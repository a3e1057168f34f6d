/* How attention stores keys and values, chosen when a language model is opened; see edge_sparse/llm/attention.py. */
#ifndef ES_ATTENTION_MODE_H
#define ES_ATTENTION_MODE_H

#include "model.h"

/* Make the model whose ATTENTION steps, caches and positions are those of the options (attention, cache, theta, window,
 * sinks, context; 0: as many tokens as before). It shares weights and names with the original, which must outlive it;
 * es_model_close frees it. After delta attention, inputs `position` hold two numbers: tokens stored, and the window. */
es_status es_model_with_attention(const es_model *model, const es_text_options *options, es_model **derived,
                                  es_error *error);

/* The window, in tokens, that runs are given after a first prompt of so many; 1 for exact attention. */
uint32_t es_attention_window(const es_text_options *options, uint64_t prompt_tokens);

/* The last position up to `position` from which a text can go on as if it had never gone further, when `stored` tokens
 * are in caches of `context`, brought by runs of up to `chunk` (the largest symbol of all plans). */
uint64_t es_attention_rewind(const es_text_options *options, uint64_t position, uint32_t window, uint64_t stored,
                             uint32_t context, uint32_t chunk);

/* Share of the stored key elements that need not be read, 0 to 1, for what the caches of a session hold now. */
double es_attention_skipped(const es_session *session, uint32_t window);

#endif
