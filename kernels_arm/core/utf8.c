/* Whether bytes are UTF-8: the table of well-formed sequences of the Unicode standard (table 3-7). */
#include "utf8.h"

/* Bytes of the sequence that begins here, 0 if there is none. */
static uint64_t sequence(const uint8_t *data, uint64_t left)
{
    uint8_t first = data[0];
    if (first < 0x80) return 1;
    if (first < 0xC2 || first > 0xF4) return 0;
    uint64_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (length > left) return 0;
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (data[1] < low || data[1] > high) return 0;
    for (uint64_t index = 2; index < length; index++)
        if ((data[index] & 0xC0) != 0x80) return 0;
    return length;
}

bool es_is_utf8(const uint8_t *data, uint64_t length)
{
    for (uint64_t at = 0; at < length;) {
        uint64_t step = sequence(data + at, length - at);
        if (!step) return false;
        at += step;
    }
    return true;
}

bool es_has_controls(const uint8_t *data, uint64_t length)
{
    for (uint64_t at = 0; at < length; at++) {
        if (data[at] < 0x20 || data[at] == 0x7F) return true;
        /* U+0080 to U+009F */
        if (data[at] == 0xC2 && at + 1 < length && data[at + 1] < 0xA0) return true;
    }
    return false;
}
