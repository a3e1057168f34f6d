/* Whether bytes are UTF-8. */
#ifndef ES_UTF8_H
#define ES_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/* Shortest forms only, no surrogates, nothing above U+10FFFF. */
bool es_is_utf8(const uint8_t *data, uint64_t length);
/* Whether UTF-8 holds control characters (U+0000 to U+001F, U+007F to U+009F). */
bool es_has_controls(const uint8_t *data, uint64_t length);

#endif
