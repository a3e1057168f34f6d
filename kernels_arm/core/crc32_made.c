/* CRC-32 through tables that are made on the stack: where downloads are dear, 8 KB of them are too much. */
#include "crc32.h"

#include <string.h>

enum { WORTH_TABLES = 1024 }; /* bytes; the tables take 2048 steps */

static const uint32_t polynomial = 0xEDB88320u;

static uint32_t after_byte(uint32_t crc)
{
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
    return crc;
}

/* Row k: what a byte adds when k bytes follow it. */
static void make(uint32_t tables[8][256])
{
    for (uint32_t byte = 0; byte < 256; byte++) tables[0][byte] = after_byte(byte);
    for (int row = 1; row < 8; row++)
        for (uint32_t byte = 0; byte < 256; byte++)
            tables[row][byte] = tables[row - 1][byte] >> 8 ^ tables[0][tables[row - 1][byte] & 0xFF];
}

uint32_t es_crc32_made(uint32_t crc, const uint8_t *data, size_t length)
{
    crc = ~crc;
    if (length >= WORTH_TABLES) {
        uint32_t tables[8][256];
        make(tables);
        for (; length >= 8; data += 8, length -= 8) {
            uint32_t words[2];
            memcpy(words, data, 8);
            words[0] ^= crc;
            crc = 0;
            for (int word = 0; word < 2; word++)
                for (int byte = 0; byte < 4; byte++)
                    crc ^= tables[7 - 4 * word - byte][words[word] >> 8 * byte & 0xFF];
        }
    }
    for (; length; data++, length--) crc = after_byte(crc ^ *data);
    return ~crc;
}
