/* Text to tokens and back, by the tokenizer record of a file (docs/format.md section 6). */
#ifndef ES_TEXT_CODEC_H
#define ES_TEXT_CODEC_H

#include "piece_index.h"

/* Tokens are counted even where there is no room for them. */
typedef struct es_token_list {
    int32_t *tokens;
    size_t capacity, count;
} es_token_list;

/* Two tokens that become one; sorted by both, of equal ones the lowest rank. */
typedef struct es_merge {
    uint32_t left, right, rank, joined;
} es_merge;

typedef struct es_text_codec {
    const es_tokenizer *record;
    uint32_t longest;       /* bytes of a text */
    es_piece_index pieces;
    es_piece_index special; /* MATCHED pieces */
    int32_t *prefixes;      /* per place in special: the place of the longest that it begins with; -1: none */
    bool begins_special[256];
    int32_t byte_tokens[256]; /* kind 2: of <0xNN>, kind 3: of the piece of that byte; -1: none */
    es_merge *merges;
    uint32_t merge_count;
    uint32_t *work;  /* of symbols, and before them of normalisation */
    uint8_t *normal; /* a part in form C */
} es_text_codec;

/* Bytes of memory and, while it is made, of spare memory; false: they do not fit the address space. */
bool es_text_codec_bytes(const es_tokenizer *record, uint32_t longest, size_t *memory, size_t *spare);
/* Both zeroed and aligned to 64 bytes; ES_TOKENIZER_VALUES: a merge makes bytes that are no piece. */
es_status es_text_codec_make(es_text_codec *codec, const es_tokenizer *record, uint32_t longest, uint8_t *memory,
                             uint8_t *spare, es_error *error);

/* Append the tokens of a text, with bos in front if the record says so. */
es_status es_text_encode_bytes(es_text_codec *codec, es_slice text, es_token_list *list, es_error *error);
/* Bytes that a token shows behind another; *byte is room for one that no piece holds. */
es_slice es_text_shown(const es_text_codec *codec, int32_t token, int32_t previous, uint8_t *byte);
bool es_text_ends(const es_text_codec *codec, int32_t token);

static inline void es_token_append(es_token_list *list, int32_t token)
{
    if (list->count < list->capacity) list->tokens[list->count] = token;
    list->count++;
}

/* The parts between special pieces, for kinds 2 and 3. tokenizer_scored.c, tokenizer_ranked.c */
void es_scored_prepare(es_text_codec *codec);
es_status es_scored_encode(es_text_codec *codec, es_slice part, bool begins, es_token_list *list, es_error *error);
es_status es_ranked_prepare(es_text_codec *codec, uint8_t *spare, es_error *error);
es_status es_ranked_encode(es_text_codec *codec, es_slice part, es_token_list *list, es_error *error);

#endif
