/* The one list of kernel files. Each is compiled per variant and exports ES_FAMILY(name); dispatch, tests and benchmarks
 * all go through it. X(name) */
#ifndef ES_KERNEL_FAMILIES_H
#define ES_KERNEL_FAMILIES_H

#define ES_KERNEL_FAMILIES(X)  \
    X(spmm_chw)                \
    X(spmm_nhwc)               \
    X(spmm_rows)               \
    X(spmm_integer)            \
    X(dwconv_chw)              \
    X(dwconv_nhwc)             \
    X(elementwise)             \
    X(pooling)                 \
    X(mean)                    \
    X(softmax)                 \
    X(movement)                \
    X(embedding)               \
    X(rms_norm)                \
    X(rope)                    \
    X(attention)               \
    X(delta_attention)

#endif
