/* Joins neighbours in a row of symbols, the best pair first. */
#include "symbols.h"

enum { GONE = -2 };

es_symbols es_symbols_in(uint32_t *memory, size_t capacity)
{
    int32_t *numbers = (int32_t *)(void *)memory;
    return (es_symbols){.tokens = numbers,
                        .joined = numbers + capacity,
                        .order = memory + 2 * capacity,
                        .next = memory + 3 * capacity,
                        .before = memory + 4 * capacity,
                        .winners = memory + 5 * capacity};
}

static uint32_t winner(const es_symbols *symbols, uint32_t node)
{
    return node >= symbols->count ? node - symbols->count : symbols->winners[node];
}

static uint32_t better(const es_symbols *symbols, uint32_t left, uint32_t right)
{
    uint32_t a = symbols->order[left], b = symbols->order[right];
    return a < b || (a == b && left < right) ? left : right;
}

static void play(es_symbols *symbols, uint32_t node)
{
    symbols->winners[node] = better(symbols, winner(symbols, 2 * node), winner(symbols, 2 * node + 1));
}

static void offer(es_symbols *symbols, uint32_t left, es_pair pair, const void *context)
{
    uint32_t right = symbols->next[left];
    symbols->order[left] = UINT32_MAX;
    symbols->joined[left] = ES_NO_PAIR;
    if (right < symbols->count)
        symbols->joined[left] = pair(context, symbols->tokens[left], symbols->tokens[right], &symbols->order[left]);
    if (symbols->joined[left] == ES_NO_PAIR) symbols->order[left] = UINT32_MAX;
}

static void replay(es_symbols *symbols, uint32_t place)
{
    for (uint32_t node = (place + symbols->count) / 2; node > 0; node /= 2) play(symbols, node);
}

static void join(es_symbols *symbols, uint32_t left, es_pair pair, const void *context)
{
    uint32_t right = symbols->next[left];
    symbols->tokens[left] = symbols->joined[left];
    symbols->next[left] = symbols->next[right];
    if (symbols->next[left] < symbols->count) symbols->before[symbols->next[left]] = left;
    symbols->tokens[right] = GONE;
    symbols->joined[right] = ES_NO_PAIR;
    symbols->order[right] = UINT32_MAX;
    replay(symbols, right);
    offer(symbols, left, pair, context);
    replay(symbols, left);
    if (left == 0) return;
    offer(symbols, symbols->before[left], pair, context);
    replay(symbols, symbols->before[left]);
}

void es_symbols_join(es_symbols *symbols, es_pair pair, const void *context)
{
    uint32_t count = symbols->count;
    if (count < 2) return;
    for (uint32_t place = 0; place < count; place++) {
        symbols->next[place] = place + 1;
        symbols->before[place] = place - 1; /* of the first: never read */
    }
    for (uint32_t place = 0; place < count; place++) offer(symbols, place, pair, context);
    for (uint32_t node = count - 1; node > 0; node--) play(symbols, node);
    for (uint32_t best; best = winner(symbols, 1), symbols->joined[best] != ES_NO_PAIR;)
        join(symbols, best, pair, context);
    uint32_t kept = 0;
    for (uint32_t place = 0; place < count; place++)
        if (symbols->tokens[place] != GONE) symbols->tokens[kept++] = symbols->tokens[place];
    symbols->count = kept;
}
