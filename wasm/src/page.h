/* What the exported functions share. A page is one model and what runs it: callers have numbers and memory only, so
 * everything that the C API gives in structures is asked for here field by field. */
#ifndef ES_PAGE_H
#define ES_PAGE_H

#include <stdlib.h>
#include <string.h>

#include "edge_sparse.h"

/* A function that the page calls by this name; C has another one for it: libc knows a read and a bind, too. */
#define ES_EXPORT(name) __attribute__((export_name(#name))) es_export_##name

typedef struct es_page {
    es_model *model;
    es_session *session; /* that of text, if there is one */
    es_text *text;
    es_error error;
    es_expectation expectation;
    es_port port;         /* looked at last */
    es_step_profile step; /* looked at last */
    es_generation generation;
    const char *piece; /* of the last step of a generation */
    size_t piece_length;
    int done;
    const char *stops[16];
    size_t count; /* tokens or bytes that the last call gave */
    const float *logits;
} es_page;

/* Numbers of a call's status with the words of whoever failed. */
es_status es_page_status(es_page *page, es_status status);

#endif
