/* Finds a token by its bytes. Sorted, not hashed: no file can make a search slow. */
#ifndef ES_PIECE_INDEX_H
#define ES_PIECE_INDEX_H

#include "model.h"

typedef struct es_slice {
    const uint8_t *data;
    size_t length;
} es_slice;

typedef struct es_piece_index {
    const es_tokenizer *tokenizer;
    uint32_t *tokens; /* by bytes, every piece once, under its lowest number; the empty piece is left out */
    uint32_t count;
} es_piece_index;

static inline es_slice es_piece_of(const es_tokenizer *tokenizer, uint32_t token)
{
    uint32_t start = tokenizer->piece_starts[token];
    return (es_slice){tokenizer->pieces + start, tokenizer->piece_starts[token + 1] - start};
}

/* Negative, 0 or positive: order by bytes, a beginning before what goes on. */
int es_bytes_compare(es_slice left, es_slice right);
/* Fill an index of the pieces that have all bits of marks; tokens and spare hold piece_count numbers each. */
void es_piece_index_fill(es_piece_index *index, const es_tokenizer *tokenizer, uint8_t marks, uint32_t *tokens,
                         uint32_t *spare);
/* The lowest token whose piece is first and second, joined; -1: none. */
int32_t es_piece_find(const es_piece_index *index, es_slice first, es_slice second);

#endif
