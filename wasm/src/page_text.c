/* Exports: language models. */
#include "page.h"

uint32_t ES_EXPORT(vocabulary)(const es_page *page) { return es_text_vocabulary(page->text); }
uint32_t ES_EXPORT(context)(const es_page *page) { return es_text_context(page->text); }
double ES_EXPORT(skipped)(const es_page *page) { return es_text_skipped(page->text); }

int ES_EXPORT(has_tokenizer)(es_page *page)
{
    size_t count;
    return es_text_encode(page->text, "", 0, NULL, 0, &count) != ES_TOKENIZER_MISSING;
}

/* What the file suggests: temperature, top_k, top_p, min_p, repetition penalty. */
void ES_EXPORT(sampling)(const es_page *page, double numbers[5])
{
    es_sampling sampling = es_text_sampling(page->text);
    numbers[0] = (double)sampling.temperature;
    numbers[1] = sampling.top_k;
    numbers[2] = (double)sampling.top_p;
    numbers[3] = (double)sampling.min_p;
    numbers[4] = (double)sampling.repetition_penalty;
}

/* How many tokens or bytes the last encode or decode gave, or would have with more room. */
size_t ES_EXPORT(count)(const es_page *page) { return page->count; }

es_status ES_EXPORT(encode)(es_page *page, const char *utf8, size_t length, int32_t *tokens, size_t capacity)
{
    return es_page_status(page, es_text_encode(page->text, utf8, length, tokens, capacity, &page->count));
}
es_status ES_EXPORT(decode)(es_page *page, const int32_t *tokens, size_t count, char *utf8, size_t capacity)
{
    return es_page_status(page, es_text_decode(page->text, tokens, count, utf8, capacity, &page->count));
}

es_status ES_EXPORT(read)(es_page *page, const int32_t *tokens, size_t count)
{
    return es_page_status(page, es_text_read(page->text, tokens, count, &page->logits));
}
const float *ES_EXPORT(logits)(const es_page *page) { return page->logits; }
size_t ES_EXPORT(rewind_to)(es_page *page, size_t tokens) { return es_text_rewind(page->text, tokens); }

/* Where the addresses of stop texts go, of strings that end in a zero byte and stay until generate_end. */
void *ES_EXPORT(stops)(es_page *page) { return page->stops; }

/* prompt: length bytes of UTF-8, or with are_tokens so many numbers. */
es_status ES_EXPORT(generate_begin)(es_page *page, const void *prompt, size_t length, int are_tokens, float temperature,
                                    uint32_t top_k, float top_p, float min_p, float repetition_penalty, uint64_t seed,
                                    uint32_t max_tokens, uint32_t stop_count, int roll)
{
    es_generate_options options = {
        .sampling = {temperature, top_k, top_p, min_p, repetition_penalty, seed},
        .max_tokens = max_tokens,
        .stops = page->stops,
        .stop_count = stop_count,
        .roll = roll,
    };
    page->piece_length = 0;
    page->done = 0;
    es_status status = are_tokens ? es_text_begin_tokens(page->text, prompt, length, &options)
                                  : es_text_begin(page->text, prompt, length, &options);
    return es_page_status(page, status);
}

/* One step: then ask for its text, and whether it was the last. */
es_status ES_EXPORT(generate_next)(es_page *page)
{
    return es_page_status(page, es_text_next(page->text, &page->piece, &page->piece_length, &page->done));
}
const char *ES_EXPORT(piece)(const es_page *page) { return page->piece; }
size_t ES_EXPORT(piece_length)(const es_page *page) { return page->piece_length; }
int ES_EXPORT(done)(const es_page *page) { return page->done; }

es_status ES_EXPORT(generate_end)(es_page *page)
{
    return es_page_status(page, es_text_end(page->text, &page->generation));
}
/* How it went: finish, prompt, reused, generated tokens, rolls, seconds to the first token and of the others. */
void ES_EXPORT(generation)(const es_page *page, double numbers[7])
{
    const es_generation *generation = &page->generation;
    numbers[0] = generation->finish;
    numbers[1] = generation->prompt_tokens;
    numbers[2] = generation->reused_tokens;
    numbers[3] = generation->generated_tokens;
    numbers[4] = generation->rolls;
    numbers[5] = generation->first_token_seconds;
    numbers[6] = generation->decode_seconds;
}
