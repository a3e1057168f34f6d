/* The table of op codes. */
#include "ops.h"

const es_op_spec *es_find_op(uint32_t code)
{
    static const es_op_spec specs[ES_DELTA_ATTENTION + 1] = {
        [ES_SPMM] = {"SPMM", 1, 3, 15},
        [ES_DWCONV] = {"DWCONV", 2, 3, 11},
        [ES_ADD] = {"ADD", 2, 2, 3},
        [ES_MUL] = {"MUL", 2, 2, 3},
        [ES_ACTIVATION] = {"ACTIVATION", 1, 1, 3},
        [ES_MAX_POOL] = {"MAX_POOL", 1, 1, 8},
        [ES_AVG_POOL] = {"AVG_POOL", 1, 1, 11},
        [ES_ADAPTIVE_AVG_POOL] = {"ADAPTIVE_AVG_POOL", 1, 1, 0},
        [ES_MEAN] = {"MEAN", 1, 1, 3},
        [ES_SOFTMAX] = {"SOFTMAX", 1, 1, 0},
        [ES_COPY] = {"COPY", 1, 1, 0},
        [ES_PHASE_SPLIT] = {"PHASE_SPLIT", 1, 1, 2},
        [ES_PAD] = {"PAD", 1, 1, 3},
        [ES_EMBEDDING] = {"EMBEDDING", 1, 2, 1},
        [ES_RMS_NORM] = {"RMS_NORM", 2, 2, 1},
        [ES_ROPE] = {"ROPE", 3, 3, 2},
        [ES_ATTENTION_OP] = {"ATTENTION", 6, 8, 4},
        [ES_TAKE_LAST] = {"TAKE_LAST", 1, 1, 0},
        [ES_DELTA_ATTENTION] = {"DELTA_ATTENTION", 8, 8, 6},
    };
    return code <= ES_DELTA_ATTENTION && specs[code].name ? &specs[code] : NULL;
}
