/* The tokenizer of a file: pieces, merges, marks, chat template and sampling defaults, checked. */
#include <math.h>

#include "reader.h"
#include "utf8.h"

enum { PIECE_LIMIT = 1 << 20, MATCHED_LIMIT = 1 << 13, TEMPLATE_LIMIT = 1 << 16 };
enum { ALL_MARKS = ES_MARK_MATCHED | ES_MARK_HIDDEN | ES_MARK_END, PRE_TOKENIZERS = 5, NORMALISERS = 2 };

typedef struct tokenizer_blobs {
    es_bytes lengths, pieces, scores, merges, marks, chat_template;
} tokenizer_blobs;

static bool find_blobs(es_reader *reader, const uint8_t *record, tokenizer_blobs *blobs)
{
    es_bytes *places[6] = {&blobs->lengths, &blobs->pieces, &blobs->scores, &blobs->merges, &blobs->marks,
                           &blobs->chat_template};
    for (uint32_t which = 0; which < 6; which++) {
        uint32_t at = which < 4 ? ES_AT_TOKENIZER_LENGTHS_BLOB + 4 * which
                                 : ES_AT_TOKENIZER_MARKS_BLOB + 4 * (which - 4);
        if (!es_find_blob(reader, es_load_u32(record + at), "tokenizer", 0, places[which])) return false;
    }
    return true;
}

static bool refuse_size(es_reader *reader, const es_tokenizer *tokenizer)
{
    return es_refuse(reader, ES_TOKENIZER_SIZE, "%u pieces do not fit the tokenizer's blobs or limits",
                     (unsigned)tokenizer->piece_count);
}

/* Sizes of all blobs; copies of all but pieces and template. */
static bool keep_blobs(es_reader *reader, es_tokenizer *tokenizer, tokenizer_blobs *blobs)
{
    uint64_t count = tokenizer->piece_count;
    bool fits = blobs->lengths.length == 4 * count;
    fits &= blobs->scores.length == (tokenizer->kind == ES_TOKEN_SCORED ? 4 * count : 0);
    fits &= blobs->merges.length == (uint64_t)8 * tokenizer->merge_count;
    fits &= tokenizer->kind == ES_TOKEN_RANKED || !tokenizer->merge_count;
    fits &= tokenizer->kind == ES_TOKEN_BYTES || (count && count <= PIECE_LIMIT);
    fits &= !blobs->marks.length || blobs->marks.length == count;
    if (!fits || blobs->pieces.length > UINT32_MAX) return refuse_size(reader, tokenizer);
    blobs->marks.data = es_keep(reader, blobs->marks);
    blobs->scores.data = es_keep(reader, blobs->scores);
    blobs->merges.data = es_keep(reader, blobs->merges);
    uint32_t *starts = es_take_copy(reader, count + 1, sizeof *starts);
    uint64_t matched = 0, end = 0;
    for (uint64_t piece = 0; piece < blobs->marks.length; piece++)
        matched += blobs->marks.data[piece] & ES_MARK_MATCHED;
    for (uint64_t piece = 0; piece < count; piece++) {
        if (starts) starts[piece] = (uint32_t)end;
        end += es_load_u32(blobs->lengths.data + 4 * piece);
        if (end > blobs->pieces.length) return refuse_size(reader, tokenizer);
    }
    if (starts) starts[count] = (uint32_t)end;
    if (matched > MATCHED_LIMIT || end != blobs->pieces.length) return refuse_size(reader, tokenizer);
    tokenizer->piece_starts = starts;
    tokenizer->pieces = blobs->pieces.data;
    tokenizer->scores = blobs->scores.length ? (const float *)(const void *)blobs->scores.data : NULL;
    tokenizer->merges = blobs->merges.length ? (const uint32_t *)(const void *)blobs->merges.data : NULL;
    tokenizer->marks = blobs->marks.length ? blobs->marks.data : NULL;
    return !reader->status;
}

static bool check_values(es_reader *reader, const es_tokenizer *tokenizer, const tokenizer_blobs *blobs)
{
    bool fits = true;
    for (uint64_t at = 0; at < blobs->scores.length; at += 4)
        fits &= isfinite(es_load_f32(blobs->scores.data + at)) != 0;
    for (uint64_t at = 0; at < blobs->merges.length; at += 4)
        fits &= es_load_u32(blobs->merges.data + at) < tokenizer->piece_count;
    for (uint64_t at = 0; at < blobs->marks.length; at++) fits &= blobs->marks.data[at] <= ALL_MARKS;
    if (!fits)
        return es_refuse(reader, ES_TOKENIZER_VALUES,
                         "a score is no number, a merge names no piece, or a mark has unknown bits");
    bool temperature = isfinite(tokenizer->temperature) && tokenizer->temperature >= 0;
    if (!temperature || !(tokenizer->top_p > 0 && tokenizer->top_p <= 1))
        return es_refuse(reader, ES_TOKENIZER_SAMPLING, "sampling with temperature %g and top_p %g",
                         (double)tokenizer->temperature, (double)tokenizer->top_p);
    return true;
}

/* No piece that is looked for in texts could cut a character in two. */
static bool check_matched(es_reader *reader, const tokenizer_blobs *blobs)
{
    uint64_t start = 0, left = blobs->pieces.length;
    for (uint64_t piece = 0; piece < blobs->marks.length; piece++) {
        uint64_t length = es_load_u32(blobs->lengths.data + 4 * piece);
        /* Lengths are read from the file a second time here. */
        if (length > left) length = left;
        if (blobs->marks.data[piece] & ES_MARK_MATCHED && !es_is_utf8(blobs->pieces.data + start, length))
            return es_refuse(reader, ES_TOKENIZER_VALUES, "piece %llu is looked for in texts and is not UTF-8",
                             (unsigned long long)piece);
        start += length;
        left -= length;
    }
    return true;
}

static bool check_flags(es_reader *reader, const es_tokenizer *tokenizer)
{
    uint32_t allowed = ES_FLAG_ADD_BOS;
    if (tokenizer->kind == ES_TOKEN_SCORED) allowed |= ES_FLAG_DUMMY_PREFIX | ES_FLAG_BYTE_FALLBACK;
    if (tokenizer->kind == ES_TOKEN_RANKED) allowed |= ES_FLAG_WHOLE_WORDS;
    bool cut = tokenizer->pre_tokenizer || tokenizer->normaliser;
    if (tokenizer->pre_tokenizer >= PRE_TOKENIZERS || tokenizer->normaliser >= NORMALISERS ||
        (tokenizer->kind != ES_TOKEN_RANKED && cut))
        return es_refuse(reader, ES_TOKENIZER_FLAGS, "pre-tokeniser %u and normaliser %u of a tokenizer of kind %u",
                         (unsigned)tokenizer->pre_tokenizer, (unsigned)tokenizer->normaliser,
                         (unsigned)tokenizer->kind);
    if (tokenizer->flags & ~allowed)
        return es_refuse(reader, ES_TOKENIZER_FLAGS, "flags %#x of a tokenizer of kind %u", (unsigned)tokenizer->flags,
                         (unsigned)tokenizer->kind);
    if (tokenizer->flags & ES_FLAG_ADD_BOS && tokenizer->bos < 0)
        return es_refuse(reader, ES_TOKENIZER_FLAGS, "texts begin with a token that the file does not name");
    return true;
}

static bool check_template(es_reader *reader, es_tokenizer *tokenizer, es_bytes bytes)
{
    if (bytes.length > TEMPLATE_LIMIT)
        return es_refuse(reader, ES_TOKENIZER_TEMPLATE, "a chat template of %llu bytes, more than %d",
                         (unsigned long long)bytes.length, (int)TEMPLATE_LIMIT);
    if (!es_is_utf8(bytes.data, bytes.length))
        return es_refuse(reader, ES_TOKENIZER_TEMPLATE, "the chat template is not UTF-8");
    tokenizer->chat_template = bytes.data;
    tokenizer->template_bytes = bytes.length;
    return true;
}

static bool check_token(es_reader *reader, const es_tokenizer *tokenizer, int32_t token)
{
    int64_t count = tokenizer->piece_count;
    if (tokenizer->kind == ES_TOKEN_BYTES && count < 256) count = 256;
    if (token < -1 || token >= count)
        return es_refuse(reader, ES_TOKENIZER_TOKEN, "special token %d of %u", (int)token,
                         (unsigned)tokenizer->piece_count);
    return true;
}

bool es_read_tokenizer(es_reader *reader)
{
    es_tokenizer *tokenizer = (es_tokenizer *)reader->model->tokenizer;
    uint8_t record[ES_LARGEST_RECORD];
    tokenizer_blobs blobs;
    if (!tokenizer) return true;
    es_load_record(reader, ES_SECTION_TOKENIZER, 0, record);
    memset(tokenizer, 0, sizeof *tokenizer);
    tokenizer->kind = es_load_u32(record + ES_AT_TOKENIZER_KIND);
    tokenizer->piece_count = es_load_u32(record + ES_AT_TOKENIZER_PIECE_COUNT);
    tokenizer->merge_count = es_load_u32(record + ES_AT_TOKENIZER_MERGE_COUNT);
    tokenizer->bos = es_load_i32(record + ES_AT_TOKENIZER_BOS);
    tokenizer->eos = es_load_i32(record + ES_AT_TOKENIZER_EOS);
    tokenizer->unknown = es_load_i32(record + ES_AT_TOKENIZER_UNKNOWN);
    tokenizer->temperature = es_load_f32(record + ES_AT_TOKENIZER_TEMPERATURE);
    tokenizer->top_k = es_load_u32(record + ES_AT_TOKENIZER_TOP_K);
    tokenizer->top_p = es_load_f32(record + ES_AT_TOKENIZER_TOP_P);
    tokenizer->pre_tokenizer = record[ES_AT_TOKENIZER_PRE_TOKENIZER];
    tokenizer->normaliser = record[ES_AT_TOKENIZER_NORMALISER];
    tokenizer->flags = es_load_u16(record + ES_AT_TOKENIZER_FLAGS);
    if (tokenizer->kind < ES_TOKEN_BYTES || tokenizer->kind > ES_TOKEN_RANKED)
        return es_refuse(reader, ES_TOKENIZER_KIND, "tokenizer kind %u is unknown", (unsigned)tokenizer->kind);
    return check_token(reader, tokenizer, tokenizer->bos) && check_token(reader, tokenizer, tokenizer->eos) &&
           check_token(reader, tokenizer, tokenizer->unknown) && find_blobs(reader, record, &blobs) &&
           keep_blobs(reader, tokenizer, &blobs) && check_values(reader, tokenizer, &blobs) &&
           check_matched(reader, &blobs) && check_flags(reader, tokenizer) &&
           check_template(reader, tokenizer, blobs.chat_template);
}
