/* Cuts text as byte-level BPE wants it: the expressions of docs/format.md section 6, written out. */
#ifndef ES_PRE_TOKENIZER_H
#define ES_PRE_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

enum { ES_CUT_NONE = 0, ES_CUT_GPT2 = 1, ES_CUT_LLAMA3 = 2, ES_CUT_QWEN2 = 3, ES_CUT_DIGITS = 4 };

/* Valid UTF-8 that is cut from at on. */
typedef struct es_cutter {
    uint32_t kind;
    const uint8_t *text;
    size_t length, at;
    size_t stretch; /* end of what holds no number from at on; ES_CUT_DIGITS */
} es_cutter;

/* Bytes of the next cut, which begins at cutter->at before the call; 0 at the end. */
size_t es_next_cut(es_cutter *cutter);

#endif
