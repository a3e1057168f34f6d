/* A thin layer over the vector registers: what the kernels need, and nothing that costs more than it says.
 *
 * Kernels are written once on es_f32 (ES_LANES floats) and compiled per variant with -DES_VARIANT_NAME=scalar, vector or
 * avx2. ES_LANES is 4 but for AVX2, where it is 8. es_fma fuses where the machine does: NEON and AVX2. */
#ifndef ES_VEC_H
#define ES_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ES_VEC_IS_scalar 1
#define ES_VEC_IS_vector 2
#define ES_VEC_IS_avx2 3
#define ES_VEC_IS_dotprod 4
#define ES_VEC_PICK_(name) ES_VEC_IS_##name
#define ES_VEC_PICK(name) ES_VEC_PICK_(name)
#define ES_VEC_VARIANT ES_VEC_PICK(ES_VARIANT_NAME)

#if ES_VEC_VARIANT == ES_VEC_IS_avx2
#include "vec_avx2.h"
#elif ES_VEC_VARIANT != ES_VEC_IS_scalar && defined(__aarch64__)
#include "vec_neon.h"
#elif ES_VEC_VARIANT != ES_VEC_IS_scalar && defined(__SSE2__)
#include "vec_sse.h"
#elif ES_VEC_VARIANT != ES_VEC_IS_scalar && defined(__wasm_simd128__)
#include "vec_simd128.h"
#else
#include "vec_scalar.h"
#endif

#if ES_VEC_VARIANT == ES_VEC_IS_scalar
#define ES_THIS_VARIANT ES_VARIANT_SCALAR
#define ES_VARIANT_LABEL "scalar"
#elif defined(ES_VEC_AVX2_H)
#define ES_THIS_VARIANT ES_VARIANT_AVX2
#define ES_VARIANT_LABEL "avx2"
#elif ES_VEC_VARIANT == ES_VEC_IS_dotprod
#define ES_THIS_VARIANT ES_VARIANT_DOTPROD
#define ES_VARIANT_LABEL "dotprod"
#else
#define ES_THIS_VARIANT ES_VARIANT_VECTOR
#if defined(ES_VEC_NEON_H)
#define ES_VARIANT_LABEL "neon"
#elif defined(ES_VEC_SIMD128_H) && defined(__wasm_relaxed_simd__)
#define ES_VARIANT_LABEL "relaxed_simd128"
#elif defined(ES_VEC_SIMD128_H)
#define ES_VARIANT_LABEL "simd128"
#else
#define ES_VARIANT_LABEL "sse2"
#endif
#endif
/* The name of a kernel: the grammar's, and the variant. */
#define ES_KERNEL_NAME(base) base "_" ES_VARIANT_LABEL

#define ES_INLINE static inline __attribute__((always_inline))
/* Constant distances from a pointer that a loop moves stay offsets of the loads: clang's loop optimiser forgets that the
 * sums cannot overflow, and WebAssembly then needs an instruction for each. */
#if defined(ES_VEC_SIMD128_H)
#define ES_KEEP_OFFSETS(pointer) __asm__("" : "+r"(pointer))
#else
#define ES_KEEP_OFFSETS(pointer) ((void)0)
#endif
/* Before a loop over registers: they are registers only if it disappears. Builds with sanitizers define it as nothing:
 * with a check for every access the depthwise kernels compile for 39 seconds unrolled, 4 as loops. */
#if defined(ES_UNROLL)
#elif defined(__clang__)
#define ES_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ES_UNROLL _Pragma("GCC unroll 32")
#endif

/* The first n of ES_LANES floats; the other lanes are zero and not stored. n is 0 to ES_LANES. */
static inline es_f32 es_load_first(const float *from, int n)
{
    float lanes[ES_LANES] = {0};
    memcpy(lanes, from, (size_t)n * sizeof(float));
    return es_load(lanes);
}

static inline void es_store_first(float *to, es_f32 a, int n)
{
    float lanes[ES_LANES];
    es_store(lanes, a);
    memcpy(to, lanes, (size_t)n * sizeof(float));
}

/* A half as a float, bit by bit, for machines and places without an instruction. */
static inline float es_half_to_float(uint16_t half)
{
    uint32_t magnitude = half & 0x7FFFu, sign = (uint32_t)(half & 0x8000u) << 16;
    union { uint32_t bits; float number; } value = {magnitude << 13}, scale = {0x77800000u}; /* 2^112 */
    value.number *= scale.number;
    if (magnitude >= 0x7C00u) value.bits |= 0x7F800000u;
    value.bits |= sign;
    return value.number;
}

/* The nearest half, ties to even; infinity for what is too large. */
static inline uint16_t es_float_to_half(float number)
{
    union { float number; uint32_t bits; } value = {number};
    uint32_t sign = value.bits >> 16 & 0x8000u, magnitude = value.bits & 0x7FFFFFFFu;
    value.bits = magnitude;
    if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u);
    if (magnitude >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u);
    if (magnitude < 0x38800000u) {
        value.number += 0.5f; /* there the last place of a float is that of small halves */
        return (uint16_t)(sign | (value.bits - 0x3F000000u));
    }
    return (uint16_t)(sign | (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13);
}

#endif
