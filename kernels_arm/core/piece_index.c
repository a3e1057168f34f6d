/* Finds a token by its bytes. */
#include "piece_index.h"

#include <string.h>

int es_bytes_compare(es_slice left, es_slice right)
{
    size_t shared = left.length < right.length ? left.length : right.length;
    int order = shared ? memcmp(left.data, right.data, shared) : 0;
    return order ? order : (left.length > right.length) - (left.length < right.length);
}

/* Stable, so that of equal pieces the lowest number stays first. */
static void sort(const es_tokenizer *tokenizer, uint32_t *tokens, size_t count, uint32_t *spare)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t begin = 0; begin + width < count; begin += 2 * width) {
            size_t middle = begin + width, end = middle + width < count ? middle + width : count;
            size_t left = begin, right = middle, at = 0;
            while (left < middle && right < end) {
                es_slice a = es_piece_of(tokenizer, tokens[left]), b = es_piece_of(tokenizer, tokens[right]);
                spare[at++] = es_bytes_compare(b, a) < 0 ? tokens[right++] : tokens[left++];
            }
            while (left < middle) spare[at++] = tokens[left++];
            memcpy(tokens + begin, spare, at * sizeof *tokens);
        }
    }
}

void es_piece_index_fill(es_piece_index *index, const es_tokenizer *tokenizer, uint8_t marks, uint32_t *tokens,
                         uint32_t *spare)
{
    size_t count = 0;
    for (uint32_t token = 0; token < tokenizer->piece_count; token++) {
        uint8_t own = tokenizer->marks ? tokenizer->marks[token] : 0;
        if (es_piece_of(tokenizer, token).length && (own & marks) == marks) tokens[count++] = token;
    }
    sort(tokenizer, tokens, count, spare);
    size_t kept = 0;
    for (size_t at = 0; at < count; at++)
        if (!kept || es_bytes_compare(es_piece_of(tokenizer, tokens[kept - 1]), es_piece_of(tokenizer, tokens[at])))
            tokens[kept++] = tokens[at];
    *index = (es_piece_index){tokenizer, tokens, (uint32_t)kept};
}

/* Order of a piece and of two byte strings, joined. */
static int compare_joined(es_slice piece, es_slice first, es_slice second)
{
    if (piece.length <= first.length) {
        int order = es_bytes_compare(piece, first);
        return order ? order : -(second.length > 0);
    }
    int order = first.length ? memcmp(piece.data, first.data, first.length) : 0;
    if (order) return order;
    return es_bytes_compare((es_slice){piece.data + first.length, piece.length - first.length}, second);
}

int32_t es_piece_find(const es_piece_index *index, es_slice first, es_slice second)
{
    uint32_t low = 0, high = index->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_joined(es_piece_of(index->tokenizer, index->tokens[middle]), first, second);
        if (!order) return (int32_t)index->tokens[middle];
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return -1;
}
