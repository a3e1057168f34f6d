/* The tokenizer of llama2.c and SentencePiece BPE: the neighbours that make the best-scored piece are joined first. */
#include "session.h"
#include "symbols.h"
#include "text_codec.h"
#include "unicode.h"

void es_scored_prepare(es_text_codec *codec)
{
    static const char digits[] = "0123456789ABCDEF";
    for (int byte = 0; byte < 256; byte++) {
        uint8_t piece[] = {'<', '0', 'x', (uint8_t)digits[byte / 16], (uint8_t)digits[byte % 16], '>'};
        codec->byte_tokens[byte] = es_piece_find(&codec->pieces, (es_slice){piece, sizeof piece}, (es_slice){piece, 0});
    }
}

/* Numbers in the order of falling scores; zeros of both signs are equal. */
static uint32_t order_of(float score)
{
    union { float number; uint32_t word; } both = {score + 0.0f};
    return both.word >> 31 ? both.word : ~(both.word | 0x80000000u);
}

static int32_t pair(const void *context, int32_t left, int32_t right, uint32_t *order)
{
    const es_text_codec *codec = context;
    const es_tokenizer *record = codec->record;
    if (left == record->unknown || right == record->unknown) return ES_NO_PAIR;
    int32_t joined = es_piece_find(&codec->pieces, es_piece_of(record, (uint32_t)left),
                                   es_piece_of(record, (uint32_t)right));
    if (joined >= 0) *order = order_of(record->scores[joined]);
    return joined;
}

/* Append a character that has no piece: its bytes, or unknown once per run. */
static es_status add_unknown(const es_text_codec *codec, es_slice character, es_symbols *symbols, es_error *error)
{
    int32_t unknown = codec->record->unknown;
    bool as_bytes = codec->record->flags & ES_FLAG_BYTE_FALLBACK, found = true;
    if (!as_bytes) {
        bool again = symbols->count && symbols->tokens[symbols->count - 1] == unknown;
        if (unknown >= 0 && !again) symbols->tokens[symbols->count++] = unknown;
        found = unknown >= 0;
    }
    for (size_t at = 0; as_bytes && at < character.length; at++) {
        int32_t token = codec->byte_tokens[character.data[at]];
        symbols->tokens[symbols->count++] = token;
        found = found && token >= 0;
    }
    if (found) return ES_OK;
    es_format_error(error, "the vocabulary has no token for '%.*s'", (int)character.length,
                    (const char *)character.data);
    return ES_TEXT_NOT_ENCODABLE;
}

static es_status add_character(const es_text_codec *codec, es_slice character, es_symbols *symbols, es_error *error)
{
    int32_t token = es_piece_find(&codec->pieces, character, (es_slice){character.data, 0});
    if (token < 0) return add_unknown(codec, character, symbols, error);
    symbols->tokens[symbols->count++] = token;
    return ES_OK;
}

es_status es_scored_encode(es_text_codec *codec, es_slice part, bool begins, es_token_list *list, es_error *error)
{
    static const uint8_t space[] = {' '};
    es_symbols symbols = es_symbols_in(codec->work, part.length + 1);
    es_status status = ES_OK;
    if (begins && (codec->record->flags & ES_FLAG_DUMMY_PREFIX))
        status = add_character(codec, (es_slice){space, 1}, &symbols, error);
    for (size_t at = 0; at < part.length && !status;) {
        uint32_t character;
        size_t size = es_utf8_read(part.data + at, part.length - at, &character);
        if (!size) size = 1; /* a mapped file was changed: its special pieces cut characters in two */
        status = add_character(codec, (es_slice){part.data + at, size}, &symbols, error);
        at += size;
    }
    if (status) return status;
    es_symbols_join(&symbols, pair, codec);
    for (uint32_t at = 0; at < symbols.count; at++) es_token_append(list, symbols.tokens[at]);
    return ES_OK;
}
