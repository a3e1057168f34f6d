/* CRC-32 with the instructions of the CRC extension, which ARMv8.0 may lack: chosen at run time. */
#include "crc32.h"

#if defined(__aarch64__)
#include <string.h>

#if defined(__clang__)
#define ES_CRC __attribute__((target("crc")))
#else
#define ES_CRC __attribute__((target("+crc")))
#endif

ES_CRC uint32_t es_crc32_arm(uint32_t crc, const uint8_t *data, size_t length)
{
    crc = ~crc;
    for (; length >= 8; data += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, data, sizeof word);
        __asm__("crc32x %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    }
    for (; length; data++, length--) __asm__("crc32b %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)*data));
    return ~crc;
}
#else
typedef int es_crc32_arm_is_empty;
#endif
