/* Tokens in, text out, never half a character and never a part of a stop text. */
#ifndef ES_TEXT_STREAM_H
#define ES_TEXT_STREAM_H

#include "text_codec.h"

enum { ES_MOST_STOPS = 16, ES_LONGEST_STOP = 256 };

typedef struct es_text_stream {
    const es_text_codec *codec;
    int32_t previous; /* token before the next */
    bool stopped;
    es_slice stops[ES_MOST_STOPS];
    uint32_t stop_count;
    uint8_t *text; /* what was held back, then what a token adds */
    size_t held, length;
    uint8_t character[4]; /* bytes of one that is not complete */
    uint32_t bytes;
} es_text_stream;

/* Bytes of the text that a stream needs for the longest piece. */
size_t es_text_stream_bytes(const es_tokenizer *record);
/* previous: the token in front of the first, -1: none. */
void es_text_stream_start(es_text_stream *stream, const es_text_codec *codec, uint8_t *text, int32_t previous);
/* ES_STOP_TEXT: too many, too long, empty or no UTF-8. Stops stay the caller's while the stream runs. */
es_status es_text_stream_stops(es_text_stream *stream, const char *const *stops, uint32_t count);

/* What is certain after one more token; it lives until the next call. stopped tells that a stop text was found. */
es_slice es_text_stream_push(es_text_stream *stream, int32_t token);
/* What was held back; an incomplete character becomes U+FFFD. */
es_slice es_text_stream_finish(es_text_stream *stream);

#endif
