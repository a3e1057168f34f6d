/* Tokens in, text out, never half a character and never a part of a stop text. */
#include "text_stream.h"

#include <string.h>

#include "unicode.h"
#include "utf8.h"

size_t es_text_stream_bytes(const es_tokenizer *record)
{
    size_t longest = 1;
    for (uint32_t token = 0; token < record->piece_count; token++) {
        size_t length = es_piece_of(record, token).length;
        if (length > longest) longest = length;
    }
    /* Every byte may become a U+FFFD of three bytes, those of an incomplete character too. */
    return ES_LONGEST_STOP + 3 * (longest + ES_UTF8_MAX);
}

void es_text_stream_start(es_text_stream *stream, const es_text_codec *codec, uint8_t *text, int32_t previous)
{
    memset(stream, 0, sizeof *stream);
    stream->codec = codec;
    stream->text = text;
    stream->previous = previous;
}

es_status es_text_stream_stops(es_text_stream *stream, const char *const *stops, uint32_t count)
{
    if (count > ES_MOST_STOPS) return ES_STOP_TEXT;
    if (count && !stops) return ES_ARGUMENT_NULL;
    for (uint32_t number = 0; number < count; number++) {
        if (!stops[number]) return ES_ARGUMENT_NULL;
        es_slice stop = {(const uint8_t *)stops[number], strlen(stops[number])};
        if (!stop.length || stop.length > ES_LONGEST_STOP || !es_is_utf8(stop.data, stop.length)) return ES_STOP_TEXT;
        stream->stops[number] = stop;
    }
    stream->stop_count = count;
    return ES_OK;
}

/* ---- Bytes to characters: what can no longer become one is replaced, its longest beginning at once. --------------- */

/* Whether bytes are the beginning of a character, or a whole one. */
static bool begins_character(const uint8_t *bytes, uint32_t count)
{
    uint8_t first = bytes[0];
    if (first < 0x80) return count == 1;
    if (first < 0xC2 || first > 0xF4) return false;
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (count > 1 && (bytes[1] < low || bytes[1] > high)) return false;
    for (uint32_t at = 2; at < count; at++)
        if ((bytes[at] & 0xC0) != 0x80) return false;
    return true;
}

static uint32_t character_bytes(uint8_t first) { return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4; }

static void replace(es_text_stream *stream)
{
    stream->length += es_utf8_write(ES_REPLACEMENT, stream->text + stream->length);
    stream->bytes = 0;
}

static void add_byte(es_text_stream *stream, uint8_t byte)
{
    uint8_t *character = stream->character;
    character[stream->bytes] = byte;
    if (!begins_character(character, stream->bytes + 1)) {
        bool alone = stream->bytes == 0;
        replace(stream);
        if (!alone) add_byte(stream, byte); /* once: now the byte is alone */
        return;
    }
    if (++stream->bytes < character_bytes(character[0])) return;
    memcpy(stream->text + stream->length, character, stream->bytes);
    stream->length += stream->bytes;
    stream->bytes = 0;
}

/* ---- Stop texts ---------------------------------------------------------------------------------------------------- */

/* Place of a stop text in the stream's text; its length: not there. */
static size_t find(const es_text_stream *stream, es_slice stop)
{
    for (size_t at = 0; at + stop.length <= stream->length; at++)
        if (!memcmp(stream->text + at, stop.data, stop.length)) return at;
    return stream->length;
}

/* Bytes of the longest beginning of a stop text with which the stream's text ends. */
static size_t overlap(const es_text_stream *stream, es_slice stop)
{
    size_t most = stop.length - 1 < stream->length ? stop.length - 1 : stream->length;
    while (most > 0 && memcmp(stream->text + stream->length - most, stop.data, most) != 0) most--;
    return most;
}

static es_slice show(es_text_stream *stream)
{
    size_t shown = stream->length, keep = 0;
    for (uint32_t number = 0; number < stream->stop_count; number++) {
        size_t place = find(stream, stream->stops[number]);
        stream->stopped = stream->stopped || place < stream->length;
        if (place < shown) shown = place;
        size_t held = overlap(stream, stream->stops[number]);
        if (held > keep) keep = held;
    }
    if (stream->stopped) keep = 0;
    else shown -= keep;
    stream->held = keep;
    return (es_slice){stream->text, shown};
}

/* Begin a new text with what was held back. */
static void take_held(es_text_stream *stream)
{
    memmove(stream->text, stream->text + stream->length - stream->held, stream->held);
    stream->length = stream->held;
}

es_slice es_text_stream_push(es_text_stream *stream, int32_t token)
{
    uint8_t byte;
    if (stream->stopped) return (es_slice){stream->text, 0};
    es_slice piece = es_text_shown(stream->codec, token, stream->previous, &byte);
    stream->previous = token;
    take_held(stream);
    for (size_t at = 0; at < piece.length; at++) add_byte(stream, piece.data[at]);
    return show(stream);
}

es_slice es_text_stream_finish(es_text_stream *stream)
{
    if (stream->stopped) return (es_slice){stream->text, 0};
    take_held(stream);
    if (stream->bytes) replace(stream);
    es_slice shown = show(stream);
    if (!stream->stopped) shown.length += stream->held;
    stream->held = 0;
    return shown;
}
