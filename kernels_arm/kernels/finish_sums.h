/* A fence for compilers between the rows of an unrolled tile. */
#ifndef ES_FINISH_SUMS_H
#define ES_FINISH_SUMS_H

#include "vec.h"

/* Everything so far is added to the sums before anything else is loaded. Without it compilers mix the rows of a tile and
 * run out of registers: half as many instructions again. */
ES_INLINE void es_finish_sums(es_f32 *sums, const int COUNT)
{
#if defined(ES_VEC_NEON_H)
    ES_UNROLL
    for (int s = 0; s < COUNT; s++) __asm__ volatile("" : "+w"(sums[s]));
    __asm__ volatile("" ::: "memory");
#elif defined(ES_VEC_SIMD128_H)
    ES_UNROLL
    for (int s = 0; s < COUNT; s++) __asm__ volatile("" : "+r"(sums[s]));
    __asm__ volatile("" ::: "memory");
#else
    (void)sums, (void)COUNT;
#endif
}

#endif
