/* The in-memory form of a file, after every rule was checked. Immutable; mirrors edge_sparse/plan.py. */
#ifndef ES_MODEL_H
#define ES_MODEL_H

#include <stdbool.h>

#include "edge_sparse.h"
#include "os.h"

enum { ES_MAX_RANK = 6, ES_MAX_INPUTS = 8, ES_MAX_WORDS = 16 };
enum { ES_NO_TENSOR = -1 };

typedef enum es_layout { ES_ROW_MAJOR = 0, ES_CHW = 1, ES_NHWC = 2 } es_layout;
typedef enum es_storage { ES_ARENA = 0, ES_CONSTANT = 1, ES_INPUT = 2, ES_OUTPUT = 3, ES_STATE = 4 } es_storage;

typedef enum es_op {
    ES_SPMM = 1, ES_DWCONV = 2, ES_ADD = 3, ES_MUL = 4, ES_ACTIVATION = 5, ES_MAX_POOL = 6, ES_AVG_POOL = 7,
    ES_ADAPTIVE_AVG_POOL = 8, ES_MEAN = 9, ES_SOFTMAX = 10, ES_COPY = 11, ES_PHASE_SPLIT = 12, ES_PAD = 13,
    ES_EMBEDDING = 32, ES_RMS_NORM = 33, ES_ROPE = 34, ES_ATTENTION_OP = 35, ES_TAKE_LAST = 36, ES_DELTA_ATTENTION = 37
} es_op;

typedef enum es_activation {
    ES_ACT_NONE, ES_ACT_RELU, ES_ACT_CLAMP, ES_ACT_HARDSWISH, ES_ACT_HARDSIGMOID, ES_ACT_SIGMOID, ES_ACT_SILU,
    ES_ACT_TANH, ES_ACT_GELU
} es_activation;

typedef struct es_border { uint32_t top, left, bottom, right; } es_border;

typedef struct es_tensor {
    const char *name; /* ends in a zero byte; in the model's memory */
    es_dtype dtype;
    es_layout layout;
    es_storage storage;
    uint32_t rank;
    int32_t symbol_axis;           /* 0 or -1 */
    uint64_t offset;               /* bytes, of element zero in its storage */
    uint64_t shape[ES_MAX_RANK];   /* beyond the rank: 0 */
    uint64_t strides[ES_MAX_RANK]; /* elements */
    es_border border;
    uint64_t extent[2]; /* bytes */
    float scale;
    int32_t zero_point;
    const uint8_t *data; /* a constant's bytes, in the file; alignment of the element is certain */
} es_tensor;

typedef struct es_band {
    uint32_t first_row, rows, group;
    uint32_t first_strip;
} es_band;

/* Which columns the strips keep: exactly one of bitmap and list, or neither when every column is kept. Both are copies,
 * bitmap rows are (columns + 7) / 8 bytes, lists lie one behind the other from starts[strip] to starts[strip + 1]. */
typedef struct es_matrix {
    const char *name;
    uint32_t rows, columns;
    const es_band *bands;
    uint32_t band_count;
    uint32_t strips;
    es_dtype dtype;
    uint32_t segment; /* 0: one scale per row of a strip */
    const uint32_t *counts; /* kept columns per strip; of dense matrices too */
    const uint64_t *starts; /* strips + 1; kept columns before a strip */
    const uint8_t *bitmap;
    const uint32_t *list;
    const uint8_t *values;        /* in the file, aligned to 64 bytes there */
    uint64_t value_bytes;
    const uint64_t *value_starts; /* strips + 1; byte of a strip's first value */
    const uint16_t *scales;       /* a copy; NULL for floats */
    const uint64_t *scale_starts; /* strips + 1, in elements; NULL for floats */
    uint64_t kept_weights;
} es_matrix;

/* words as in the file; a float word is read with es_word_float. */
typedef struct es_step {
    es_op op;
    const char *name;
    uint32_t input_count;
    int32_t inputs[ES_MAX_INPUTS]; /* ES_NO_TENSOR where absent and beyond the count */
    int32_t output;
    uint32_t words[ES_MAX_WORDS];
} es_step;

typedef struct es_plan {
    const char *name;
    const es_step *steps;
    uint32_t step_count;
    const uint32_t *inputs, *outputs; /* tensor numbers */
    uint32_t input_count, output_count;
    uint64_t arena_bytes;
    const char *symbol; /* "" without one */
    uint32_t symbol_max;
} es_plan;

typedef struct es_image_record {
    uint32_t height, width, channels, resize;
    float mean[3], std[3];
    bool bgr;
} es_image_record;

enum { ES_TOKEN_BYTES = 1, ES_TOKEN_SCORED = 2, ES_TOKEN_RANKED = 3 };
enum { ES_FLAG_ADD_BOS = 1, ES_FLAG_DUMMY_PREFIX = 2, ES_FLAG_BYTE_FALLBACK = 4, ES_FLAG_WHOLE_WORDS = 8 };
enum { ES_MARK_MATCHED = 1, ES_MARK_HIDDEN = 2, ES_MARK_END = 4 };

typedef struct es_tokenizer {
    uint32_t kind;
    uint32_t piece_count, merge_count;
    int32_t bos, eos, unknown;
    const uint32_t *piece_starts; /* piece_count + 1 offsets into pieces; a copy */
    const uint8_t *pieces;        /* in the file */
    const float *scores;          /* copies from here on; NULL where absent */
    const uint32_t *merges;       /* pairs */
    const uint8_t *marks;
    float temperature, top_p;
    uint32_t top_k;
    uint32_t pre_tokenizer, normaliser, flags;
    const uint8_t *chat_template;
    uint64_t template_bytes;
} es_tokenizer;

struct es_model {
    es_allocator allocator;
    es_map map; /* of the file; empty for memory */
    void *memory; /* everything below lies in one block */
    size_t memory_bytes;
    uint64_t state_bytes;
    const es_tensor *tensors;
    uint32_t tensor_count;
    const es_matrix *matrices;
    uint32_t matrix_count;
    const es_plan *plans;
    uint32_t plan_count;
    const char *const *labels;
    uint32_t label_count;
    const es_image_record *image;     /* NULL if absent */
    const es_tokenizer *tokenizer;    /* NULL if absent */
};

static inline float es_word_float(uint32_t word)
{
    union { uint32_t word; float number; } both = {word};
    return both.number;
}

static inline size_t es_dtype_bytes(es_dtype dtype)
{
    return dtype == ES_F32 || dtype == ES_S32 ? 4 : dtype == ES_F16 ? 2 : 1;
}

static inline uint64_t es_tensor_size(const es_tensor *tensor)
{
    uint64_t size = 1;
    for (uint32_t axis = 0; axis < tensor->rank; axis++) size *= tensor->shape[axis];
    return size;
}

/* Plan by name, the first for NULL or ""; NULL if there is none. */
const es_plan *es_model_find_plan(const es_model *model, const char *name);

/* Words of a step, by op; the order of docs/format.md. */
enum { ES_W_KERNEL_H, ES_W_KERNEL_W, ES_W_STRIDE_H, ES_W_STRIDE_W, ES_W_DILATION_H, ES_W_DILATION_W, ES_W_PAD_TOP,
       ES_W_PAD_LEFT }; /* of DWCONV and pools; SPMM has them one later */
enum { ES_SPMM_MATRIX = 0, ES_SPMM_WINDOW = 1, ES_SPMM_PHASE_SPLIT = 9, ES_SPMM_STRIPS_OUTERMOST = 10,
       ES_SPMM_ACTIVATION = 11, ES_SPMM_QUANTISE_X = 14 };
enum { ES_DWCONV_ACTIVATION = 8, ES_AVG_PAD_BOTTOM = 8, ES_AVG_PAD_RIGHT = 9, ES_AVG_COUNT_INCLUDE_PAD = 10 };
enum { ES_ATT_HEADS, ES_ATT_KV_HEADS, ES_ATT_HEAD_DIM, ES_ATT_SCALE, ES_ATT_THETA, ES_ATT_SINKS };

#endif
