/* Whether the metadata is a JSON object (RFC 8259) in UTF-8. Nobody runs on it, so nothing is kept. */
#include "reader.h"
#include "utf8.h"

/* Deepest nesting; Python's reader gives up somewhere below 1000. One bit per level says what it is in. */
enum { LARGEST_DEPTH = 900, LARGEST_INTEGER = 4300 };

typedef struct json_text {
    const uint8_t *data;
    uint64_t length, at;
    uint32_t depth;
    uint8_t in_object[LARGEST_DEPTH / 8 + 1];
} json_text;

/* The next character, 0 at the end. */
static int peek(const json_text *text) { return text->at < text->length ? text->data[text->at] : 0; }

static void skip_space(json_text *text)
{
    while (peek(text) == ' ' || peek(text) == '\t' || peek(text) == '\n' || peek(text) == '\r') text->at++;
}

static bool take(json_text *text, int character)
{
    if (peek(text) != character || text->at >= text->length) return false;
    text->at++;
    return true;
}

static bool take_word(json_text *text, const char *word)
{
    for (; *word; word++)
        if (!take(text, *word)) return false;
    return true;
}

static uint64_t take_digits(json_text *text)
{
    uint64_t start = text->at;
    while (peek(text) >= '0' && peek(text) <= '9') text->at++;
    return text->at - start;
}

static bool take_number(json_text *text)
{
    take(text, '-');
    bool zero = peek(text) == '0';
    uint64_t digits = take_digits(text);
    if (!digits || (zero && digits > 1)) return false;
    bool whole = true;
    if (take(text, '.')) {
        whole = false;
        if (!take_digits(text)) return false;
    }
    if (peek(text) == 'e' || peek(text) == 'E') {
        whole = false;
        text->at++;
        if (peek(text) == '+' || peek(text) == '-') text->at++;
        if (!take_digits(text)) return false;
    }
    /* Python makes no integer of more digits. */
    return !whole || digits <= LARGEST_INTEGER;
}

static bool is_hexadecimal(int character)
{
    return (character >= '0' && character <= '9') || (character >= 'a' && character <= 'f') ||
           (character >= 'A' && character <= 'F');
}

static bool take_escape(json_text *text)
{
    int character = peek(text);
    if (!character || !strchr("\"\\/bfnrtu", character)) return false;
    text->at++;
    for (int digit = 0; character == 'u' && digit < 4; digit++, text->at++)
        if (!is_hexadecimal(peek(text))) return false;
    return true;
}

static bool take_string(json_text *text)
{
    if (!take(text, '"')) return false;
    while (text->at < text->length) {
        int character = text->data[text->at++];
        if (character == '"') return true;
        if (character < 0x20 || (character == '\\' && !take_escape(text))) return false;
    }
    return false;
}

static bool in_object(const json_text *text) { return text->in_object[text->depth / 8] >> text->depth % 8 & 1; }

static bool open_level(json_text *text, bool object)
{
    if (++text->depth > LARGEST_DEPTH) return false;
    uint8_t bit = (uint8_t)(1u << text->depth % 8), *bits = &text->in_object[text->depth / 8];
    *bits = (uint8_t)(object ? *bits | bit : *bits & ~bit);
    return true;
}

/* The name of a member and its colon. */
static bool take_name(json_text *text)
{
    skip_space(text);
    if (!take_string(text)) return false;
    skip_space(text);
    return take(text, ':');
}

/* A value without parts. */
static bool take_scalar(json_text *text)
{
    switch (peek(text)) {
    case '"': return take_string(text);
    case 't': return take_word(text, "true");
    case 'f': return take_word(text, "false");
    case 'n': return take_word(text, "null");
    default: return take_number(text);
    }
}

/* Close levels and go on behind a comma, up to the next value; false at the end or an error. */
static bool next_value(json_text *text)
{
    while (text->depth) {
        skip_space(text);
        if (take(text, ',')) return !in_object(text) || take_name(text);
        if (!take(text, in_object(text) ? '}' : ']')) return false;
        text->depth--;
    }
    return false;
}

static bool is_object(json_text *text)
{
    skip_space(text);
    if (peek(text) != '{') return false;
    do {
        skip_space(text);
        bool object = peek(text) == '{';
        if (object || peek(text) == '[') {
            text->at++;
            if (!open_level(text, object)) return false;
            skip_space(text);
            if (take(text, object ? '}' : ']')) text->depth--;
            else if (object ? take_name(text) : true) continue;
            else return false;
        } else if (!take_scalar(text)) {
            return false;
        }
        if (!next_value(text)) break;
    } while (true);
    skip_space(text);
    return !text->depth && text->at == text->length;
}

bool es_check_metadata(es_reader *reader)
{
    const es_section *section = &reader->sections[ES_SECTION_METADATA];
    if (!section->count) return true;
    json_text text = {.data = section->data, .length = section->length};
    if (!es_is_utf8(section->data, section->length) || !is_object(&text))
        return es_refuse(reader, ES_METADATA_JSON, "the metadata is not a JSON object in UTF-8");
    return true;
}
