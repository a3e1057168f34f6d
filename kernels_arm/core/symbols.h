/* A row of symbols of which neighbours are joined, the best pair first, of equal ones the leftmost. */
#ifndef ES_SYMBOLS_H
#define ES_SYMBOLS_H

#include "model.h"

enum { ES_NO_PAIR = -1 };
enum { ES_SYMBOL_ARRAYS = 6 }; /* of 4 bytes per symbol */

typedef struct es_symbols {
    uint32_t count;
    int32_t *tokens;
    int32_t *joined;    /* token of this symbol and the next; ES_NO_PAIR: they are none */
    uint32_t *order;    /* of that pair; the smallest is joined first */
    uint32_t *next, *before;
    uint32_t *winners;  /* a tournament: node n holds the better of nodes 2n and 2n + 1; leaves are the symbols */
} es_symbols;

/* The token of two neighbours and the order of joining them; ES_NO_PAIR: they stay apart. */
typedef int32_t (*es_pair)(const void *context, int32_t left, int32_t right, uint32_t *order);

/* Arrays in memory of ES_SYMBOL_ARRAYS numbers for each of capacity symbols. */
es_symbols es_symbols_in(uint32_t *memory, size_t capacity);
/* Join until no pair is left, in n log n steps; tokens and count are then those of the result. */
void es_symbols_join(es_symbols *symbols, es_pair pair, const void *context);

#endif
