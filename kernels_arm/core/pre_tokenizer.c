/* Cuts text as byte-level BPE wants it. Every character is looked at a bounded number of times. */
#include "pre_tokenizer.h"

#include "unicode.h"

/* Sets of classes, as bits. */
enum { OTHERS = 1 << ES_CHARACTER_OTHER, LETTERS = 1 << ES_LETTER, NUMBERS = 1 << ES_NUMBER, SPACES = 1 << ES_SPACE };
enum { LONG_S = 0x17F }; /* equals s where case is ignored */

/* The set that holds the first character's class; 0 at the end. */
static int set_at(const uint8_t *text, size_t length, size_t *size)
{
    uint32_t character = 0;
    *size = es_utf8_read(text, length, &character);
    return *size ? 1 << es_class_of(character) : 0;
}

/* Bytes of the first characters, at most so many, whose classes are in a set. */
static size_t run_of(int set, const uint8_t *text, size_t length, size_t most)
{
    size_t at = 0, size;
    for (; most > 0 && (set_at(text + at, length - at, &size) & set); most--) at += size;
    return at;
}

static uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte; }

/* 's 't 're 've 'm 'll 'd */
static size_t contraction(const uint8_t *text, size_t length, bool any_case)
{
    if (length < 2 || text[0] != '\'') return 0;
    uint8_t first = any_case ? lower(text[1]) : text[1];
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    uint32_t character = 0;
    if (any_case && es_utf8_read(text + 1, length - 1, &character) == 2 && character == LONG_S) return 3;
    if (length < 3) return 0;
    uint8_t second = any_case ? lower(text[2]) : text[2];
    bool found = (first == 'l' && second == 'l') || ((first == 'v' || first == 'r') && second == 'e');
    return found ? 3 : 0;
}

/* \s+(?!\S)|\s+ : all white space, but the last of several characters where something follows. */
static size_t spaces(const uint8_t *text, size_t length)
{
    size_t at = 0, last = 0, size;
    while (set_at(text + at, length - at, &size) & SPACES) {
        last = at;
        at += size;
    }
    return at == length || last == 0 ? at : last;
}

static size_t gpt2_cut(const uint8_t *text, size_t length)
{
    size_t size, lead = text[0] == ' ', found = contraction(text, length, false);
    if (found) return found;
    int set = set_at(text + lead, length - lead, &size);
    if (set & (OTHERS | LETTERS | NUMBERS)) return lead + run_of(set, text + lead, length - lead, length);
    return spaces(text, length);
}

/* Bytes up to the last line break of the white space that text begins with; 0: there is none. */
static size_t lines(const uint8_t *text, size_t length)
{
    size_t at = 0, found = 0, size;
    while (set_at(text + at, length - at, &size) & SPACES) {
        at += size;
        if (text[at - 1] == '\r' || text[at - 1] == '\n') found = at;
    }
    return found;
}

/* Of llama3 and qwen2, which differ in how many numbers stay together. */
static size_t modern_cut(const uint8_t *text, size_t length, size_t numbers)
{
    size_t size, ignored, found = contraction(text, length, true);
    if (found) return found;
    int set = set_at(text, length, &size);
    if (set & LETTERS) return run_of(LETTERS, text, length, length);
    if (set & NUMBERS) return run_of(NUMBERS, text, length, numbers);
    bool line_break = text[0] == '\r' || text[0] == '\n';
    if (!line_break && (set_at(text + size, length - size, &ignored) & LETTERS))
        return size + run_of(LETTERS, text + size, length - size, length);
    size_t lead = text[0] == ' ';
    found = run_of(OTHERS, text + lead, length - lead, length);
    if (found) {
        found += lead;
        while (found < length && (text[found] == '\r' || text[found] == '\n')) found++;
        return found;
    }
    found = lines(text, length);
    return found ? found : spaces(text, length);
}

static size_t digits_cut(es_cutter *cutter)
{
    size_t size;
    if (cutter->at >= cutter->stretch) {
        const uint8_t *text = cutter->text + cutter->at;
        size_t left = cutter->length - cutter->at;
        if (set_at(text, left, &size) & NUMBERS) return size;
        cutter->stretch = cutter->at + run_of(OTHERS | LETTERS | SPACES, text, left, left);
    }
    return gpt2_cut(cutter->text + cutter->at, cutter->stretch - cutter->at);
}

size_t es_next_cut(es_cutter *cutter)
{
    const uint8_t *text = cutter->text + cutter->at;
    size_t left = cutter->length - cutter->at, size = left;
    if (!left) return 0;
    if (cutter->kind == ES_CUT_GPT2) size = gpt2_cut(text, left);
    if (cutter->kind == ES_CUT_LLAMA3) size = modern_cut(text, left, 3);
    if (cutter->kind == ES_CUT_QWEN2) size = modern_cut(text, left, 1);
    if (cutter->kind == ES_CUT_DIGITS) size = digits_cut(cutter);
    cutter->at += size;
    return size;
}
