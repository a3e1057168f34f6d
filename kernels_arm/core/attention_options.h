/* What the files of the attention modes share. */
#ifndef ES_ATTENTION_OPTIONS_H
#define ES_ATTENTION_OPTIONS_H

#include "attention_mode.h"

/* Check the options and fill in their defaults. */
es_status es_complete_attention(const es_text_options *given, es_text_options *options, es_error *error);
/* Latest tokens whose keys delta attention keeps exactly. */
uint64_t es_attention_ring(const es_text_options *options, uint64_t context, uint64_t chunk);

#endif
