/* Makes the checksums of damaged files right again, so that what is damaged gets past the shell. */
#ifndef ES_SEAL_H
#define ES_SEAL_H

#include <stddef.h>
#include <stdint.h>

/* Where numbers of records and blobs lie. */
typedef struct part { size_t offset, length; } part;

enum { MOST_PARTS = 256 };

/* Sections and blobs that lie inside the file, in file order; returns how many. */
size_t find_parts(const uint8_t *data, size_t size, part *parts);
/* Checksums and the file's length. */
void seal(uint8_t *data, size_t size);

#endif
