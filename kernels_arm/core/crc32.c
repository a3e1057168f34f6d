/* CRC-32 in plain C, 8 bytes at a time through tables, and the choice of the fastest way on this CPU. */
#include "crc32.h"

#include <string.h>

#include "os.h"

/* All 256 sums of 8 numbers, in the order of the bits. */
#define ES_SUMS_1(x, a) (x), (x) ^ (a)
#define ES_SUMS_2(x, a, b) ES_SUMS_1(x, a), ES_SUMS_1((x) ^ (b), a)
#define ES_SUMS_3(x, a, b, c) ES_SUMS_2(x, a, b), ES_SUMS_2((x) ^ (c), a, b)
#define ES_SUMS_4(x, a, b, c, d) ES_SUMS_3(x, a, b, c), ES_SUMS_3((x) ^ (d), a, b, c)
#define ES_SUMS_5(x, a, b, c, d, e) ES_SUMS_4(x, a, b, c, d), ES_SUMS_4((x) ^ (e), a, b, c, d)
#define ES_SUMS_6(x, a, b, c, d, e, f) ES_SUMS_5(x, a, b, c, d, e), ES_SUMS_5((x) ^ (f), a, b, c, d, e)
#define ES_SUMS_7(x, a, b, c, d, e, f, g) ES_SUMS_6(x, a, b, c, d, e, f), ES_SUMS_6((x) ^ (g), a, b, c, d, e, f)
#define ES_CRC32_ROW(k, a, b, c, d, e, f, g, h) \
    [k] = {ES_SUMS_7(0u, a, b, c, d, e, f, g), ES_SUMS_7(0u ^ (h), a, b, c, d, e, f, g)},

/* Row k: what a byte adds when k bytes follow it. */
static const uint32_t tables[8][256] = {
#include "crc32_tables.inc"
};

uint32_t es_crc32_tables(uint32_t crc, const uint8_t *data, size_t length)
{
    crc = ~crc;
    for (; length >= 8; data += 8, length -= 8) {
        uint32_t words[2];
        memcpy(words, data, 8);
        words[0] ^= crc;
        crc = 0;
        for (int word = 0; word < 2; word++)
            for (int byte = 0; byte < 4; byte++)
                crc ^= tables[7 - 4 * word - byte][words[word] >> 8 * byte & 0xFF];
    }
    for (; length; data++, length--) crc = crc >> 8 ^ tables[0][(crc ^ *data) & 0xFF];
    return ~crc;
}

es_crc32_function *es_choose_crc32(void)
{
#if defined(__x86_64__)
    if (es_detect_crc()) return es_crc32_x86;
#elif defined(__aarch64__)
    if (es_detect_crc()) return es_crc32_arm;
#endif
#if defined(__wasm__)
    return es_crc32_made;
#else
    return es_crc32_tables;
#endif
}
