/* Pixels of a tile, copied side by side for products in CHW: 8 pixels of 512 planes touch 512 cache lines, which are a
 * whole first-level cache; packed they take half of it. */
#ifndef ES_SPMM_CHW_PACK_H
#define ES_SPMM_CHW_PACK_H

#include "spmm_chw_tile.h"

/* Planes of x that are copied for a tile, 0: none, and how far they are apart in elements. */
typedef struct es_packing {
    int64_t planes;
    ptrdiff_t distance;
} es_packing;

/* Pixels of the widest tile of groups of 4 rows and more, and planes from which copying pays. */
enum { ES_PACKED_PIXELS = 2 * ES_LANES, ES_LEAST_PACKED_PLANES = 64, ES_LEAST_PACKED_GROUP = 4 };

static inline es_packing es_packing_of(const es_launch *launch)
{
    const es_tensor *x = launch->in[0];
    es_packing packing = {0, (ptrdiff_t)x->strides[1]};
    /* Measured in WebAssembly alone: a fifth of dense products of 512 planes. */
#if defined(ES_VEC_SIMD128_H)
    enum { KERNEL_H = ES_SPMM_WINDOW, KERNEL_W, STRIDE_H, STRIDE_W, PAD_TOP = ES_SPMM_WINDOW + 6, PAD_LEFT };
    int64_t columns = es_matrix_of(launch)->columns;
    bool window = es_word(launch, KERNEL_H) != 1 || es_word(launch, KERNEL_W) != 1;
    bool strided = es_word(launch, STRIDE_H) != 1 || es_word(launch, STRIDE_W) != 1;
    bool padded = es_word(launch, PAD_TOP) || es_word(launch, PAD_LEFT);
    bool wide = es_matrix_of(launch)->bands[0].group >= ES_LEAST_PACKED_GROUP;
    if (!window && !strided && !padded && wide && columns >= ES_LEAST_PACKED_PLANES)
        packing.planes = columns;
#endif
    return packing;
}

static inline size_t es_packed_bytes(es_packing packing)
{
    return (size_t)packing.planes * ES_PACKED_PIXELS * sizeof(float);
}

/* Offsets of columns in x become those in packed pixels. */
static inline void es_pack_offsets(const es_launch *launch, const es_operands *operands, es_packing packing)
{
    const es_matrix *matrix = es_matrix_of(launch);
    size_t count = es_keeps_all(matrix) ? matrix->columns : matrix->starts[matrix->strips];
    int32_t *offsets = (int32_t *)(uintptr_t)operands->strips[0].offsets;
    for (size_t at = 0; at < count; at++) offsets[at] = (int32_t)(offsets[at] / packing.distance * ES_PACKED_PIXELS);
}

static inline void es_pack_pixels(const float *x, es_packing packing, int vectors, float *to)
{
    for (int64_t plane = 0; plane < packing.planes; plane++, x += packing.distance, to += ES_PACKED_PIXELS)
        for (int v = 0; v < vectors; v++) es_store(to + v * ES_LANES, es_load(x + v * ES_LANES));
}

#endif
