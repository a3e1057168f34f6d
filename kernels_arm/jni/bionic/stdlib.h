/* Memory, and what sorts. */
#ifndef ES_BIONIC_STDLIB_H
#define ES_BIONIC_STDLIB_H
#include <stddef.h>
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *memory, size_t size);
void free(void *memory);
int abs(int value);
void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *));
#endif
