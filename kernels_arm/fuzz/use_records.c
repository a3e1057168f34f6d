/* Encodes and decodes a text with a file's tokenizer, and resizes a picture as it says, whatever its plans are. */
#include <stdlib.h>
#include <string.h>

#include "edge_sparse.h"
#include "text_codec.h"
#include "use_records.h"

enum { LONGEST = 64, TOKENS = 48, LARGEST_MEMORY = 1 << 24, LARGEST_INPUT = 1 << 18, WIDEST = 24 };

/* Pieces of the file, what normalisation changes, what is no UTF-8. */
static size_t make_text(const es_tokenizer *record, uint32_t seed, uint8_t *text)
{
    static const char *const parts[] = {" ",    "e\xCC\x81",     "\xEA\xB0\x80\xE1\x86\xA8", "don't 123\n\n",
                                        "\xFF", "\xE2\x96\x81", "A"};
    size_t length = 0;
    for (uint32_t part = 0; part < 8; part++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t choice = seed >> 16;
        const uint8_t *bytes = (const uint8_t *)parts[choice % 7];
        size_t count = strlen(parts[choice % 7]);
        if (record->piece_count && choice & 0x100) {
            uint32_t piece = (choice >> 4) % record->piece_count;
            bytes = record->pieces + record->piece_starts[piece];
            count = record->piece_starts[piece + 1] - record->piece_starts[piece];
        }
        if (count > LONGEST - length) break;
        memcpy(text + length, bytes, count);
        length += count;
    }
    return length;
}

static void *take(size_t bytes)
{
    void *memory = bytes <= LARGEST_MEMORY ? aligned_alloc(64, bytes ? (bytes + 63) / 64 * 64 : 64) : NULL;
    return memory ? memset(memory, 0, bytes) : NULL;
}

void use_tokenizer(const es_model *model, uint32_t seed)
{
    size_t bytes, spare_bytes, kept = 0;
    const es_tokenizer *record = model->tokenizer;
    if (!record || !es_text_codec_bytes(record, LONGEST, &bytes, &spare_bytes)) return;
    uint8_t *memory = take(bytes), *spare = take(spare_bytes), text[LONGEST], byte;
    es_text_codec codec;
    es_error error;
    memset(&codec, 0, sizeof codec);
    if (memory && spare && !es_text_codec_make(&codec, record, LONGEST, memory, spare, &error)) {
        int32_t tokens[TOKENS];
        es_token_list list = {tokens, TOKENS, 0};
        size_t length = make_text(record, seed, text);
        es_status status = es_text_encode_bytes(&codec, (es_slice){text, length}, &list, &error);
        for (size_t at = 0; !status && at < list.count && at < TOKENS; at++) {
            es_slice shown = es_text_shown(&codec, tokens[at], at ? tokens[at - 1] : -1, &byte);
            for (size_t place = 0; place < shown.length; place++) kept += shown.data[place];
            kept += es_text_ends(&codec, tokens[at]);
        }
    }
    if (kept == SIZE_MAX) abort();
    free(memory);
    free(spare);
}

void use_image(const es_model *model, uint32_t seed)
{
    static const uint32_t channels[] = {1, 3, 4};
    const es_image_record *record = model->image;
    if (!record) return;
    uint64_t elements = (uint64_t)record->channels * record->height * record->width;
    es_image image = {.width = 1 + seed % WIDEST, .height = 1 + (seed >> 8) % WIDEST};
    image.channels = channels[(seed >> 16) % 3];
    size_t size = (size_t)image.width * image.height * image.channels;
    uint8_t *pixels = malloc(size);
    if (!pixels) return;
    memset(pixels, (int)(seed >> 24), size);
    image.pixels = pixels;
    size_t scratch_bytes = es_image_scratch_bytes(model, &image);
    if (elements <= LARGEST_INPUT && scratch_bytes && scratch_bytes <= LARGEST_MEMORY) {
        void *scratch = malloc(scratch_bytes);
        float *input = malloc((size_t)elements * sizeof *input);
        if (scratch && input)
            es_image_preprocess(model, &image, scratch, scratch_bytes, input, (size_t)elements * sizeof *input);
        free(scratch);
        free(input);
    }
    free(pixels);
}
