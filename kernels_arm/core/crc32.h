/* CRC-32 of zlib and PNG (polynomial 0xEDB88320). */
#ifndef ES_CRC32_H
#define ES_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of some bytes that follow bytes with the checksum crc; 0 at first. */
typedef uint32_t es_crc32_function(uint32_t crc, const uint8_t *data, size_t length);

es_crc32_function es_crc32_tables; /* plain C */
es_crc32_function es_crc32_made;   /* plain C, without constants */
es_crc32_function es_crc32_x86;    /* PCLMULQDQ; only where es_crc32_has_x86 */
es_crc32_function es_crc32_arm;    /* the CRC32 instructions of ARMv8; only where es_crc32_has_arm */

/* The fastest that this CPU has. */
es_crc32_function *es_choose_crc32(void);

#endif
