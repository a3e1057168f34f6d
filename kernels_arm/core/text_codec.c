/* Text to tokens and back: special pieces, and what is the same for all kinds of tokenizers. */
#include "text_codec.h"

#include <string.h>

#include "session.h"
#include "symbols.h"
#include "unicode.h"
#include "utf8.h"

enum { ALIGNMENT = 64 };

typedef struct es_places {
    size_t pieces, special, prefixes, merges, work, normal, end;
} es_places;

static bool reserve(size_t *end, uint64_t count, size_t size, size_t *place)
{
    *place = *end;
    if (count > SIZE_MAX / 4 / size || *end > SIZE_MAX / 4) return false;
    *end = es_round_up(*end + (size_t)count * size, ALIGNMENT);
    return true;
}

/* Symbols that a text may become: a byte each, and the space in front. */
static uint64_t most_symbols(uint32_t longest) { return (uint64_t)longest + 1; }

static bool lay_out(const es_tokenizer *record, uint32_t longest, es_places *places)
{
    size_t end = 0;
    bool ranked = record->kind == ES_TOKEN_RANKED, bytes = record->kind == ES_TOKEN_BYTES;
    bool fits = reserve(&end, record->piece_count, 4, &places->pieces) &&
                reserve(&end, record->piece_count, 4, &places->special) &&
                reserve(&end, record->piece_count, 4, &places->prefixes) &&
                reserve(&end, record->merge_count, sizeof(es_merge), &places->merges) &&
                reserve(&end, bytes ? 0 : most_symbols(longest), ES_SYMBOL_ARRAYS * 4, &places->work) &&
                reserve(&end, ranked && record->normaliser ? longest : 0, 1, &places->normal);
    places->end = end;
    return fits;
}

bool es_text_codec_bytes(const es_tokenizer *record, uint32_t longest, size_t *memory, size_t *spare)
{
    es_places places;
    size_t end = 0, ignored;
    bool fits = lay_out(record, longest, &places) && reserve(&end, record->piece_count, 4, &ignored) &&
                reserve(&end, record->merge_count, sizeof(es_merge), &ignored);
    *memory = places.end;
    *spare = end;
    return fits;
}

static bool begins_with(es_slice text, es_slice piece)
{
    return piece.length <= text.length && !memcmp(text.data, piece.data, piece.length);
}

static es_slice special_at(const es_text_codec *codec, int32_t place)
{
    return es_piece_of(codec->record, codec->special.tokens[place]);
}

static void find_prefixes(es_text_codec *codec)
{
    for (uint32_t place = 0; place < codec->special.count; place++) {
        es_slice piece = special_at(codec, (int32_t)place);
        int32_t prefix = (int32_t)place - 1;
        while (prefix >= 0 && !begins_with(piece, special_at(codec, prefix))) prefix = codec->prefixes[prefix];
        codec->prefixes[place] = prefix;
        codec->begins_special[piece.data[0]] = true;
    }
}

es_status es_text_codec_make(es_text_codec *codec, const es_tokenizer *record, uint32_t longest, uint8_t *memory,
                             uint8_t *spare, es_error *error)
{
    es_places places;
    lay_out(record, longest, &places);
    memset(codec, 0, sizeof *codec);
    codec->record = record;
    codec->longest = longest;
    codec->prefixes = (int32_t *)(void *)(memory + places.prefixes);
    codec->merges = (es_merge *)(void *)(memory + places.merges);
    codec->work = (uint32_t *)(void *)(memory + places.work);
    codec->normal = memory + places.normal;
    uint32_t *numbers = (uint32_t *)(void *)spare;
    es_piece_index_fill(&codec->special, record, ES_MARK_MATCHED, (uint32_t *)(void *)(memory + places.special), numbers);
    if (!record->marks) codec->special.count = 0;
    find_prefixes(codec);
    if (record->kind == ES_TOKEN_BYTES) return ES_OK;
    es_piece_index_fill(&codec->pieces, record, 0, (uint32_t *)(void *)(memory + places.pieces), numbers);
    if (record->kind == ES_TOKEN_RANKED) return es_ranked_prepare(codec, spare, error);
    es_scored_prepare(codec);
    return ES_OK;
}

/* Place of the longest special piece that text begins with; -1: none. */
static int32_t find_special(const es_text_codec *codec, es_slice text)
{
    if (!codec->begins_special[text.data[0]]) return -1;
    uint32_t low = 0, high = codec->special.count; /* of the pieces that are not above text, the last */
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (es_bytes_compare(special_at(codec, (int32_t)middle), text) <= 0) low = middle + 1;
        else high = middle;
    }
    int32_t place = (int32_t)low - 1;
    while (place >= 0 && !begins_with(text, special_at(codec, place))) place = codec->prefixes[place];
    return place;
}

static es_status encode_part(es_text_codec *codec, es_slice part, bool begins, es_token_list *list, es_error *error)
{
    if (!part.length) return ES_OK;
    if (codec->record->kind == ES_TOKEN_SCORED) return es_scored_encode(codec, part, begins, list, error);
    if (codec->record->kind == ES_TOKEN_RANKED) return es_ranked_encode(codec, part, list, error);
    for (size_t at = 0; at < part.length; at++) es_token_append(list, part.data[at]);
    return ES_OK;
}

es_status es_text_encode_bytes(es_text_codec *codec, es_slice text, es_token_list *list, es_error *error)
{
    if (text.length > codec->longest) {
        es_format_error(error, "a text of %llu bytes where up to %u fit", (unsigned long long)text.length,
                        (unsigned)codec->longest);
        return ES_PROMPT_TOO_LONG;
    }
    if (!es_is_utf8(text.data, text.length)) {
        es_format_error(error, "the text is not UTF-8");
        return ES_TEXT_NOT_ENCODABLE;
    }
    if (codec->record->flags & ES_FLAG_ADD_BOS) es_token_append(list, codec->record->bos);
    if (!text.length) return ES_OK; /* it may be a null pointer */
    size_t begin = 0, at = 0;
    while (at < text.length) {
        int32_t place = find_special(codec, (es_slice){text.data + at, text.length - at});
        if (place < 0) {
            at++;
            continue;
        }
        es_status status = encode_part(codec, (es_slice){text.data + begin, at - begin}, begin == 0, list, error);
        if (status) return status;
        es_token_append(list, (int32_t)codec->special.tokens[place]);
        at += special_at(codec, place).length;
        begin = at;
    }
    return encode_part(codec, (es_slice){text.data + begin, at - begin}, begin == 0, list, error);
}

static int hexadecimal(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* The byte that a piece <0xNN> stands for; -1: it is another piece. */
static int byte_of(es_slice piece)
{
    if (piece.length != 6 || memcmp(piece.data, "<0x", 3) || piece.data[5] != '>') return -1;
    int high = hexadecimal(piece.data[3]), low = hexadecimal(piece.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

es_slice es_text_shown(const es_text_codec *codec, int32_t token, int32_t previous, uint8_t *byte)
{
    const es_tokenizer *record = codec->record;
    const es_slice nothing = {byte, 0};
    if (token < 0 || token == record->bos || token == record->eos) return nothing;
    uint32_t number = (uint32_t)token;
    if (record->kind == ES_TOKEN_BYTES) {
        *byte = (uint8_t)token;
        return (es_slice){byte, token < 256};
    }
    if (number >= record->piece_count || (record->marks && (record->marks[number] & ES_MARK_HIDDEN))) return nothing;
    es_slice piece = es_piece_of(record, number);
    if (record->kind != ES_TOKEN_SCORED) return piece;
    int found = byte_of(piece);
    if (found >= 0) {
        *byte = (uint8_t)found;
        return (es_slice){byte, 1};
    }
    bool leading = previous >= 0 && previous == record->bos && piece.length && piece.data[0] == ' ';
    return (es_slice){piece.data + leading, piece.length - leading};
}

bool es_text_ends(const es_text_codec *codec, int32_t token)
{
    const es_tokenizer *record = codec->record;
    if (token < 0) return false;
    if (token == record->eos) return true;
    return (uint32_t)token < record->piece_count && record->marks && (record->marks[token] & ES_MARK_END);
}
