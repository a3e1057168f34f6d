/* Flags are those of Linux on 64-bit ARM and x86-64. */
#ifndef ES_BIONIC_FCNTL_H
#define ES_BIONIC_FCNTL_H
#define O_RDONLY 0
#define O_NONBLOCK 04000
#define O_CLOEXEC 02000000
int open(const char *path, int flags, ...);
#endif
