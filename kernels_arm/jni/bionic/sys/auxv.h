/* What the kernel says of the processor. */
#ifndef ES_BIONIC_SYS_AUXV_H
#define ES_BIONIC_SYS_AUXV_H
#define AT_HWCAP 16
unsigned long getauxval(unsigned long type);
#endif
