/* The kernel's struct stat: what the core reads of it, at its place. */
#ifndef ES_BIONIC_SYS_STAT_H
#define ES_BIONIC_SYS_STAT_H
#include <stddef.h>
#include <sys/types.h>
struct stat {
#if defined(__aarch64__)
    unsigned long device, inode;
    unsigned st_mode, links, user, group;
    unsigned long special, padding;
    off_t st_size;
    unsigned long rest[9];
#elif defined(__x86_64__)
    unsigned long device, inode, links;
    unsigned st_mode, user, group, padding;
    unsigned long special;
    off_t st_size;
    unsigned long rest[11];
#else
#error "64-bit ARM and x86-64 only"
#endif
};
_Static_assert(offsetof(struct stat, st_size) == 48, "the kernel's layout");
#if defined(__aarch64__)
_Static_assert(sizeof(struct stat) == 128 && offsetof(struct stat, st_mode) == 16, "the kernel's layout");
#else
_Static_assert(sizeof(struct stat) == 144 && offsetof(struct stat, st_mode) == 24, "the kernel's layout");
#endif
#define S_ISREG(mode) (((mode) & 0170000) == 0100000)
int fstat(int fd, struct stat *information);
#endif
