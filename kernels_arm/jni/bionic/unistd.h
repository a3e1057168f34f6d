/* Bionic numbers what sysconf can be asked in its own way. */
#ifndef ES_BIONIC_UNISTD_H
#define ES_BIONIC_UNISTD_H
#define _SC_PAGESIZE 0x27
int close(int fd);
int getpid(void);
long sysconf(int name);
#endif
