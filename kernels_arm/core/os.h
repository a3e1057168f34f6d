/* Everything that is asked of the operating system. os.c and, for threads, threads.c alone include its headers. */
#ifndef ES_OS_H
#define ES_OS_H

#include <stdbool.h>

#include "edge_sparse.h"

/* A read-only private map of a file, or a copy of it where maps do not exist. data is the wished part, base the pages. */
typedef struct es_map {
    const uint8_t *data;
    uint64_t length;
    void *base;
    uint64_t base_length;
} es_map;

es_status es_map_path(const char *path, es_map *map);
es_status es_map_fd(int fd, uint64_t offset, uint64_t length, es_map *map);
void es_unmap(es_map *map);

/* The default allocator: zeroed, aligned to 64 bytes, from fresh pages when large. */
extern const es_allocator es_default_allocator;

uint64_t es_nanoseconds(void);
/* What the operating system says of the CPU: a mask of ES_VARIANT_*. */
uint32_t es_detect_variants(void);
/* Whether the CPU has the instructions of crc32_x86.c or crc32_arm.c. */
bool es_detect_crc(void);

/* A pool of threads that wait for es_pool_run. The pool lies in memory of es_pool_bytes that the caller owns. */
typedef struct es_pool es_pool;
size_t es_pool_bytes(uint32_t threads);
es_status es_pool_start(es_pool *pool, uint32_t threads);
void es_pool_stop(es_pool *pool);
/* Whether its threads are there: a fork of the process gets the memory of a pool, but none of its threads. */
bool es_pool_alive(const es_pool *pool);
/* Runs task(context, index) for index 0 … threads - 1, 0 on the calling thread; returns when all have ended. */
void es_pool_run(es_pool *pool, void (*task)(void *context, int index), void *context);

#endif
