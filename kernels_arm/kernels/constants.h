/* Constants as floats, whether the file holds F32 or F16. Halves are converted where they are used: a conversion of the
 * whole constant ahead of time would take memory for every step that names it. */
#ifndef ES_CONSTANTS_H
#define ES_CONSTANTS_H

#include "kernel.h"
#include "vec.h"

static inline bool es_is_half(const es_tensor *tensor) { return tensor && tensor->dtype == ES_F16; }

/* Element at an offset of a tensor that holds F32 or F16. */
static inline float es_float_at(const es_tensor *tensor, const uint8_t *data, int64_t offset)
{
    if (!es_is_half(tensor)) return ((const float *)(const void *)data)[offset];
    return es_half_to_float(((const uint16_t *)(const void *)data)[offset]);
}

/* count floats from an offset on: where they lie or, converted, in room. */
static inline const float *es_floats_at(const es_tensor *tensor, const uint8_t *data, int64_t offset, int64_t count,
                                        float *room)
{
    if (!es_is_half(tensor)) return (const float *)(const void *)data + offset;
    const uint16_t *halves = (const uint16_t *)(const void *)data + offset;
    int64_t at = 0;
    for (; at + ES_LANES <= count; at += ES_LANES) es_store(room + at, es_load_half(halves + at));
    for (; at < count; at++) room[at] = es_half_to_float(halves[at]);
    return room;
}

#endif
