/* The table of op codes: how many inputs and words a step has (docs/format.md, edge_sparse/format/ops.py). */
#ifndef ES_OPS_H
#define ES_OPS_H

#include "model.h"

typedef struct es_op_spec {
    const char *name;
    uint8_t required_inputs, inputs, words; /* inputs past the required ones may be absent */
} es_op_spec;

/* NULL for unknown codes. */
const es_op_spec *es_find_op(uint32_t code);

#endif
