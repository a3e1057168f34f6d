/* Characters: UTF-8, classes, and normalisation form C (Unicode Standard Annex 15). */
#include "unicode.h"

#include <string.h>

#include "unicode_tables.inc"

size_t es_utf8_read(const uint8_t *text, size_t length, uint32_t *character)
{
    if (!length) return 0;
    uint32_t first = text[0];
    if (first < 0x80) {
        *character = first;
        return 1;
    }
    size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || size > length) return 0;
    uint32_t result = first & (0x7Fu >> size);
    for (size_t at = 1; at < size; at++) {
        if ((text[at] & 0xC0) != 0x80) return 0;
        result = result << 6 | (text[at] & 0x3F);
    }
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (result < smallest[size] || result > 0x10FFFF || (result >= 0xD800 && result < 0xE000)) return 0;
    *character = result;
    return size;
}

size_t es_utf8_write(uint32_t character, uint8_t *text)
{
    if (character < 0x80) {
        text[0] = (uint8_t)character;
        return 1;
    }
    size_t size = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t at = size - 1; at > 0; at--, character >>= 6) text[at] = (uint8_t)(0x80 | (character & 0x3F));
    text[0] = (uint8_t)(0xF00u >> size | character);
    return size;
}

es_character_class es_class_of(uint32_t character)
{
    uint32_t block = character / CLASS_BLOCK;
    if (block >= sizeof class_blocks / sizeof *class_blocks) return ES_CHARACTER_OTHER;
    uint32_t place = class_blocks[block] * (uint32_t)CLASS_BLOCK + character % CLASS_BLOCK;
    return (es_character_class)(class_values[place / 4] >> place % 4 * 2 & 3);
}

/* ---- Normalisation: work holds a character in the low 21 bits, its combining class above. ------------------------ */

enum { CHARACTER_BITS = 21, CHARACTER_MASK = 0x1FFFFF };
enum { HANGUL = 0xAC00, HANGUL_L = 0x1100, HANGUL_V = 0x1161, HANGUL_T = 0x11A7, L_COUNT = 19, V_COUNT = 21, T_COUNT = 28 };
/* No decomposition leads to more than this many characters in all: asserted by the test of the tables. */
enum { DEEPEST = 4 };

static uint32_t with_class(uint32_t character)
{
    uint32_t block = character / COMBINING_BLOCK;
    if (block >= sizeof combining_blocks / sizeof *combining_blocks) return character;
    uint32_t place = combining_blocks[block] * (uint32_t)COMBINING_BLOCK + character % COMBINING_BLOCK;
    return character | (uint32_t)combining_values[place] << CHARACTER_BITS;
}

enum { COUNT = sizeof first_low / sizeof *first_low, COMPOSES = 0x80, HIGH = 0x1F, NONE = COUNT };

static uint32_t first_of(size_t number) { return first_low[number] | (uint32_t)(first_high[number] & HIGH) << 16; }

/* The number of a character's decomposition; NONE: it has none. */
static size_t decomposition(uint32_t character)
{
    size_t low = 0, high = sizeof run_characters / sizeof *run_characters;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (run_characters[middle] <= character) low = middle + 1;
        else high = middle;
    }
    if (!low) return NONE;
    size_t number = run_numbers[low - 1] + (size_t)(character - run_characters[low - 1]);
    return number < run_numbers[low] ? number : NONE;
}

/* The character with a decomposition. */
static uint32_t character_of(size_t number)
{
    size_t run = 0;
    while (run_numbers[run + 1] <= number) run++;
    return run_characters[run] + (uint32_t)(number - run_numbers[run]);
}

/* Append a character's full decomposition; returns the new count. */
static size_t decompose(uint32_t character, uint32_t *work, size_t count)
{
    uint32_t syllable = character - HANGUL, behind[DEEPEST];
    if (syllable < L_COUNT * V_COUNT * T_COUNT) {
        work[count++] = HANGUL_L + syllable / (V_COUNT * T_COUNT);
        work[count++] = HANGUL_V + syllable / T_COUNT % V_COUNT;
        if (syllable % T_COUNT) work[count++] = HANGUL_T + syllable % T_COUNT;
        return count;
    }
    int depth = 0;
    for (size_t number; depth < DEEPEST && (number = decomposition(character)) != NONE;) {
        character = first_of(number);
        if (second_places[number]) behind[depth++] = seconds[second_places[number]];
    }
    work[count++] = with_class(character);
    while (depth > 0) work[count++] = with_class(behind[--depth]);
    return count;
}

/* Stable merge sort by combining class: a hostile text may hold one run of a million marks. */
static void sort_marks(uint32_t *marks, size_t count, uint32_t *spare)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t begin = 0; begin + width < count; begin += 2 * width) {
            size_t middle = begin + width, end = middle + width < count ? middle + width : count;
            size_t left = begin, right = middle, at = 0;
            while (left < middle && right < end)
                spare[at++] = marks[right] >> CHARACTER_BITS < marks[left] >> CHARACTER_BITS ? marks[right++] : marks[left++];
            while (left < middle) spare[at++] = marks[left++];
            memcpy(marks + begin, spare, at * sizeof *marks);
        }
    }
}

static void order_marks(uint32_t *work, size_t count, uint32_t *spare)
{
    for (size_t begin = 0; begin < count;) {
        size_t end = begin;
        while (end < count && work[end] >> CHARACTER_BITS) end++;
        if (end > begin + 1) sort_marks(work + begin, end - begin, spare);
        begin = end + 1;
    }
}

/* The character that two make; 0: none. */
static uint32_t composition(uint32_t first, uint32_t second)
{
    if (first - HANGUL_L < L_COUNT && second - HANGUL_V < V_COUNT)
        return HANGUL + ((first - HANGUL_L) * V_COUNT + (second - HANGUL_V)) * T_COUNT;
    if (first - HANGUL < L_COUNT * V_COUNT * T_COUNT && (first - HANGUL) % T_COUNT == 0 &&
        second - HANGUL_T - 1 < T_COUNT - 1)
        return first + second - HANGUL_T;
    size_t low = 1, high = sizeof seconds / sizeof *seconds;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (seconds[middle] < second) low = middle + 1;
        else high = middle;
    }
    /* Most characters never are a second part; of those that are, texts have few. */
    if (low == sizeof seconds / sizeof *seconds || seconds[low] != second) return 0;
    for (size_t number = 0; number < COUNT; number++)
        if (second_places[number] == low && first_high[number] & COMPOSES && first_of(number) == first)
            return character_of(number);
    return 0;
}

static size_t compose(uint32_t *work, size_t count)
{
    size_t made = 0, starter = 0;
    bool started = false;
    uint32_t last = 0; /* class of what stands last behind the starter; 0: the starter itself */
    for (size_t at = 0; at < count; at++) {
        uint32_t character = work[at] & CHARACTER_MASK, class = work[at] >> CHARACTER_BITS;
        if (started && (last == 0 || last < class)) {
            uint32_t both = composition(work[starter] & CHARACTER_MASK, character);
            if (both) {
                work[starter] = both;
                continue;
            }
        }
        if (!class) {
            starter = made;
            started = true;
        }
        last = class;
        work[made++] = work[at];
    }
    return made;
}

/* U+0390 of two bytes becomes three characters, and no other character more per byte. */
static size_t most_characters(size_t length) { return length + length / 2 + 1; }

size_t es_nfc_work(size_t length) { return 2 * most_characters(length); }

size_t es_nfc(const uint8_t *text, size_t length, uint8_t *normal, size_t capacity, uint32_t *work)
{
    size_t plain = 0; /* below U+0300 everything is in form C, and what follows may only combine with the last one */
    while (plain < length && text[plain] < 0xCC) plain++;
    if (plain == length) {
        memcpy(normal, text, length < capacity ? length : capacity);
        return length;
    }
    size_t count = 0;
    uint32_t character;
    for (size_t at = 0; at < length;) {
        size_t size = es_utf8_read(text + at, length - at, &character);
        if (!size) break;
        count = decompose(character, work, count);
        at += size;
    }
    order_marks(work, count, work + most_characters(length));
    count = compose(work, count);
    size_t written = 0;
    for (size_t at = 0; at < count; at++) {
        uint8_t bytes[ES_UTF8_MAX];
        size_t size = es_utf8_write(work[at] & CHARACTER_MASK, bytes);
        if (written + size <= capacity) memcpy(normal + written, bytes, size);
        written += size;
    }
    return written;
}
