/* Giving up the processor. */
#ifndef ES_BIONIC_SCHED_H
#define ES_BIONIC_SCHED_H
int sched_yield(void);
#endif
