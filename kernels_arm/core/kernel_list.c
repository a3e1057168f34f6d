/* All kernels of all variants in this build, and the choice among them. */
#include "kernel.h"

#include "../kernels/kernel_families.h"

#define ES_DECLARE(name, variant) extern const es_kernel *const es_kernels_##name##_##variant[];
#ifndef ES_BUILD_WITHOUT_SCALAR
#define ES_DECLARE_SCALAR(name) ES_DECLARE(name, scalar)
ES_KERNEL_FAMILIES(ES_DECLARE_SCALAR)
#endif
#ifdef ES_BUILD_VECTOR
#define ES_DECLARE_VECTOR(name) ES_DECLARE(name, vector)
ES_KERNEL_FAMILIES(ES_DECLARE_VECTOR)
#endif
#ifdef ES_BUILD_AVX2
#define ES_DECLARE_AVX2(name) ES_DECLARE(name, avx2)
ES_KERNEL_FAMILIES(ES_DECLARE_AVX2)
#endif
#ifdef ES_BUILD_DOTPROD
ES_DECLARE(spmm_integer, dotprod)
#endif

/* The best first. */
static const es_kernel *const *const families[] = {
#ifdef ES_BUILD_DOTPROD
    es_kernels_spmm_integer_dotprod,
#endif
#ifdef ES_BUILD_AVX2
#define ES_NAME_AVX2(name) es_kernels_##name##_avx2,
    ES_KERNEL_FAMILIES(ES_NAME_AVX2)
#endif
#ifdef ES_BUILD_VECTOR
#define ES_NAME_VECTOR(name) es_kernels_##name##_vector,
    ES_KERNEL_FAMILIES(ES_NAME_VECTOR)
#endif
#ifndef ES_BUILD_WITHOUT_SCALAR
#define ES_NAME_SCALAR(name) es_kernels_##name##_scalar,
    ES_KERNEL_FAMILIES(ES_NAME_SCALAR)
#endif
};

const es_kernel *es_find_kernel(const es_launch *launch, uint32_t variants)
{
    for (size_t family = 0; family < sizeof families / sizeof *families; family++)
        for (const es_kernel *const *kernel = families[family]; *kernel; kernel++)
            if ((*kernel)->op == launch->step->op && ((*kernel)->variant & variants) && (*kernel)->accepts(launch))
                return *kernel;
    return NULL;
}

uint32_t es_built_variants(void)
{
    uint32_t variants = 0;
    const es_kernel *kernel;
    for (uint32_t number = 0; (kernel = es_kernel_number(number)); number++) variants |= kernel->variant;
    return variants;
}

const es_kernel *es_kernel_number(uint32_t number)
{
    for (size_t family = 0; family < sizeof families / sizeof *families; family++)
        for (const es_kernel *const *kernel = families[family]; *kernel; kernel++)
            if (!number--) return *kernel;
    return NULL;
}
