/* Maps of files. */
#ifndef ES_BIONIC_SYS_MMAN_H
#define ES_BIONIC_SYS_MMAN_H
#include <stddef.h>
#include <sys/types.h>
#define PROT_READ 1
#define MAP_PRIVATE 2
#define MAP_FAILED ((void *)-1)
#define MADV_WILLNEED 3
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int munmap(void *address, size_t length);
int madvise(void *address, size_t length, int advice);
#endif
