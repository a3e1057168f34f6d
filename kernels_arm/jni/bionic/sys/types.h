/* 64-bit only. */
#ifndef ES_BIONIC_SYS_TYPES_H
#define ES_BIONIC_SYS_TYPES_H
#include <stddef.h>
typedef long off_t;
typedef long ssize_t;
#endif
