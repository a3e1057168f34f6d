/* How 64-bit numbers are printed where long has 64 bits. */
#ifndef ES_BIONIC_INTTYPES_H
#define ES_BIONIC_INTTYPES_H
#include <stdint.h>
#define PRId32 "d"
#define PRIu32 "u"
#define PRIx32 "x"
#define PRId64 "ld"
#define PRIu64 "lu"
#define PRIx64 "lx"
#endif
