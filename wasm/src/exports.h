/* How the core is called from JavaScript: numbers and addresses in, a status out, everything else in one reply. */
#ifndef ES_EXPORTS_H
#define ES_EXPORTS_H

#include "edge_sparse.h"

/* Makes a function visible outside the module, by its own name without the prefix. */
#define ES_EXPORT(name) __attribute__((export_name(#name))) web_##name

enum { WEB_NUMBERS = 24 };

/* What a call says besides its status. exports.ts knows where the fields lie. Addresses fit the numbers. */
typedef struct web_reply {
    double numbers[WEB_NUMBERS];
    es_error error;
} web_reply;

typedef struct web_memory web_memory;
const es_model_options *web_options_of(const web_memory *memory);

static inline double web_address(const void *place) { return (double)(uintptr_t)place; }

#endif
