/* Byte-level BPE: text is cut, and neighbours in a cut are joined by a list of pairs, the first pair first. */
#include "pre_tokenizer.h"
#include "session.h"
#include "symbols.h"
#include "text_codec.h"
#include "unicode.h"

#include <string.h>

static bool before(const es_merge *left, const es_merge *right)
{
    if (left->left != right->left) return left->left < right->left;
    if (left->right != right->right) return left->right < right->right;
    return left->rank < right->rank;
}

static void sort(es_merge *merges, size_t count, es_merge *spare)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t begin = 0; begin + width < count; begin += 2 * width) {
            size_t middle = begin + width, end = middle + width < count ? middle + width : count;
            size_t left = begin, right = middle, at = 0;
            while (left < middle && right < end)
                spare[at++] = before(&merges[right], &merges[left]) ? merges[right++] : merges[left++];
            while (left < middle) spare[at++] = merges[left++];
            memcpy(merges + begin, spare, at * sizeof *merges);
        }
    }
}

/* For every token the lowest one with the same bytes, as symbols only hold those. */
static void find_lowest(const es_text_codec *codec, uint32_t *lowest)
{
    const es_tokenizer *record = codec->record;
    for (uint32_t token = 0; token < record->piece_count; token++) {
        es_slice piece = es_piece_of(record, token);
        int32_t found = es_piece_find(&codec->pieces, piece, (es_slice){piece.data, 0});
        lowest[token] = found < 0 ? token : (uint32_t)found;
    }
}

/* The token of two pieces, joined. Files list most pieces in the order of their merges: look at the hint first. */
static int32_t joined(const es_text_codec *codec, const uint32_t *lowest, es_slice left, es_slice right, uint32_t hint)
{
    if (hint < codec->record->piece_count && lowest[hint] == hint) {
        es_slice piece = es_piece_of(codec->record, hint);
        if (piece.length == left.length + right.length && !memcmp(piece.data, left.data, left.length) &&
            !memcmp(piece.data + left.length, right.data, right.length))
            return (int32_t)hint;
    }
    return es_piece_find(&codec->pieces, left, right);
}

es_status es_ranked_prepare(es_text_codec *codec, uint8_t *spare, es_error *error)
{
    const es_tokenizer *record = codec->record;
    uint32_t *lowest = (uint32_t *)(void *)spare;
    uint32_t hint = 0;
    find_lowest(codec, lowest);
    for (int byte = 0; byte < 256; byte++) {
        uint8_t piece = (uint8_t)byte;
        codec->byte_tokens[byte] = es_piece_find(&codec->pieces, (es_slice){&piece, 1}, (es_slice){&piece, 0});
    }
    for (uint32_t rank = 0; rank < record->merge_count; rank++) {
        uint32_t left = record->merges[2 * rank], right = record->merges[2 * rank + 1];
        es_slice first = es_piece_of(record, left), second = es_piece_of(record, right);
        int32_t token = first.length && second.length ? joined(codec, lowest, first, second, hint) : -1;
        if (token < 0) {
            es_format_error(error, "the tokenizer joins pieces %u and %u, which make no piece", (unsigned)left,
                            (unsigned)right);
            return ES_TOKENIZER_VALUES;
        }
        codec->merges[rank] = (es_merge){lowest[left], lowest[right], rank, (uint32_t)token};
        hint = (uint32_t)token + 1;
    }
    codec->merge_count = record->merge_count;
    sort(codec->merges, codec->merge_count, (es_merge *)(void *)spare);
    return ES_OK;
}

static int32_t pair(const void *context, int32_t left, int32_t right, uint32_t *order)
{
    const es_text_codec *codec = context;
    const es_merge wanted = {(uint32_t)left, (uint32_t)right, 0, 0};
    uint32_t low = 0, high = codec->merge_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (before(&codec->merges[middle], &wanted)) low = middle + 1;
        else high = middle;
    }
    if (low == codec->merge_count) return ES_NO_PAIR;
    const es_merge *merge = &codec->merges[low];
    if (merge->left != wanted.left || merge->right != wanted.right) return ES_NO_PAIR;
    *order = merge->rank;
    return (int32_t)merge->joined;
}

static es_status encode_cut(es_text_codec *codec, es_slice cut, es_token_list *list, es_error *error)
{
    if (codec->record->flags & ES_FLAG_WHOLE_WORDS) {
        int32_t token = es_piece_find(&codec->pieces, cut, (es_slice){cut.data, 0});
        if (token >= 0) {
            es_token_append(list, token);
            return ES_OK;
        }
    }
    es_symbols symbols = es_symbols_in(codec->work, cut.length);
    for (size_t at = 0; at < cut.length; at++) {
        int32_t token = codec->byte_tokens[cut.data[at]];
        if (token < 0) {
            es_format_error(error, "the vocabulary has no token for byte 0x%02X", (unsigned)cut.data[at]);
            return ES_TEXT_NOT_ENCODABLE;
        }
        symbols.tokens[symbols.count++] = token;
    }
    es_symbols_join(&symbols, pair, codec);
    for (uint32_t at = 0; at < symbols.count; at++) es_token_append(list, symbols.tokens[at]);
    return ES_OK;
}

es_status es_ranked_encode(es_text_codec *codec, es_slice part, es_token_list *list, es_error *error)
{
    if (codec->record->normaliser) {
        size_t length = es_nfc(part.data, part.length, codec->normal, codec->longest, codec->work);
        if (length > codec->longest) {
            es_format_error(error, "in normalisation form C the text has more than %u bytes", (unsigned)codec->longest);
            return ES_PROMPT_TOO_LONG;
        }
        part = (es_slice){codec->normal, length};
    }
    es_cutter cutter = {.kind = codec->record->pre_tokenizer, .text = part.data, .length = part.length};
    for (size_t at = 0, size; (size = es_next_cut(&cutter)) != 0; at += size) {
        es_status status = encode_cut(codec, (es_slice){part.data + at, size}, list, error);
        if (status) return status;
    }
    return ES_OK;
}
