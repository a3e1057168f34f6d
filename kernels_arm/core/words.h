/* Numbers and names in words: what of printf the core needs; that has 20 KB of WebAssembly. */
#ifndef ES_WORDS_H
#define ES_WORDS_H

#include <stdarg.h>
#include <stddef.h>

/* Write as snprintf does, for %s %d %u %x %X %g and %%, with #, 0, a width for integers, a precision for strings, and l, ll,
 * z. %g of a number that is nearly half way between two of six digits may give either. Returns the length that there would
 * be with room for it. */
size_t es_words(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t es_words_of(char *text, size_t size, const char *format, va_list arguments) __attribute__((format(printf, 3, 0)));

#endif
