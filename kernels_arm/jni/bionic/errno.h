/* Bionic's errno: a function of its own name. Numbers are those of Linux. */
#ifndef ES_BIONIC_ERRNO_H
#define ES_BIONIC_ERRNO_H
int *__errno(void) __attribute__((const));
#define errno (*__errno())
#define ENOENT 2
#define EINTR 4
#define ENOMEM 12
#endif
