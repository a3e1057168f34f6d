/* Where the fields of a file's records lie, ES_AT_*: the tables of docs/format.md. */
#ifndef ES_RECORDS_H
#define ES_RECORDS_H

#include <stdint.h>
#include <string.h>

typedef enum es_section_type {
    ES_SECTION_STRINGS = 1, ES_SECTION_MODEL, ES_SECTION_TENSORS, ES_SECTION_BANDS, ES_SECTION_MATRICES,
    ES_SECTION_STEPS, ES_SECTION_PLANS, ES_SECTION_PORTS, ES_SECTION_BLOBS, ES_SECTION_LABELS, ES_SECTION_IMAGE,
    ES_SECTION_TOKENIZER, ES_SECTION_METADATA, ES_SECTION_TYPES
} es_section_type;

enum { ES_HEADER_BYTES = 64, ES_DIRECTORY_ENTRY_BYTES = 32, ES_PART_ALIGNMENT = 64, ES_LARGEST_RECORD = 168 };
enum { ES_AT_DIRECTORY_TYPE = 0, ES_AT_DIRECTORY_FLAGS = 4, ES_AT_DIRECTORY_OFFSET = 8, ES_AT_DIRECTORY_LENGTH = 16,
       ES_AT_DIRECTORY_CRC = 24, ES_AT_DIRECTORY_RESERVED = 28 };
enum { ES_AT_BLOB_OFFSET = 0, ES_AT_BLOB_LENGTH = 8, ES_AT_BLOB_CRC = 16, ES_AT_BLOB_RESERVED = 20 };
enum { ES_AT_TENSOR_NAME = 0, ES_AT_TENSOR_DTYPE = 8, ES_AT_TENSOR_LAYOUT = 9, ES_AT_TENSOR_STORAGE = 10,
       ES_AT_TENSOR_RANK = 11, ES_AT_TENSOR_SYMBOL_AXIS = 12, ES_AT_TENSOR_OFFSET = 16, ES_AT_TENSOR_SHAPE = 24,
       ES_AT_TENSOR_STRIDES = 72, ES_AT_TENSOR_BORDER = 120, ES_AT_TENSOR_EXTENT = 136, ES_AT_TENSOR_SCALE = 152,
       ES_AT_TENSOR_ZERO_POINT = 156, ES_AT_TENSOR_BLOB = 160 };
enum { ES_AT_BAND_FIRST_ROW = 0, ES_AT_BAND_ROWS = 4, ES_AT_BAND_GROUP = 8 };
enum { ES_AT_MATRIX_NAME = 0, ES_AT_MATRIX_ROWS = 8, ES_AT_MATRIX_COLUMNS = 12, ES_AT_MATRIX_FIRST_BAND = 16,
       ES_AT_MATRIX_BAND_COUNT = 20, ES_AT_MATRIX_DTYPE = 24, ES_AT_MATRIX_INDEX = 25, ES_AT_MATRIX_SEGMENT = 28,
       ES_AT_MATRIX_COUNTS_BLOB = 32, ES_AT_MATRIX_INDEX_BLOB = 36, ES_AT_MATRIX_VALUES_BLOB = 40,
       ES_AT_MATRIX_SCALES_BLOB = 44 };
enum { ES_AT_STEP_OP = 0, ES_AT_STEP_INPUT_COUNT = 2, ES_AT_STEP_OUTPUT_COUNT = 3, ES_AT_STEP_NAME = 8,
       ES_AT_STEP_INPUTS = 16, ES_AT_STEP_OUTPUTS = 48, ES_AT_STEP_WORDS = 56 };
enum { ES_AT_PLAN_NAME = 0, ES_AT_PLAN_FIRST_STEP = 8, ES_AT_PLAN_STEP_COUNT = 12, ES_AT_PLAN_FIRST_PORT = 16,
       ES_AT_PLAN_INPUT_COUNT = 20, ES_AT_PLAN_OUTPUT_COUNT = 24, ES_AT_PLAN_SYMBOL_MAX = 28,
       ES_AT_PLAN_ARENA_BYTES = 32, ES_AT_PLAN_SYMBOL = 40 };
enum { ES_AT_IMAGE_HEIGHT = 0, ES_AT_IMAGE_WIDTH = 4, ES_AT_IMAGE_CHANNELS = 8, ES_AT_IMAGE_RESIZE = 12,
       ES_AT_IMAGE_MEAN = 16, ES_AT_IMAGE_STD = 32, ES_AT_IMAGE_BGR = 48 };
enum { ES_AT_TOKENIZER_KIND = 0, ES_AT_TOKENIZER_PIECE_COUNT = 4, ES_AT_TOKENIZER_MERGE_COUNT = 8,
       ES_AT_TOKENIZER_BOS = 12, ES_AT_TOKENIZER_EOS = 16, ES_AT_TOKENIZER_UNKNOWN = 20,
       ES_AT_TOKENIZER_LENGTHS_BLOB = 24, ES_AT_TOKENIZER_TEMPERATURE = 40, ES_AT_TOKENIZER_TOP_K = 44,
       ES_AT_TOKENIZER_TOP_P = 48, ES_AT_TOKENIZER_PRE_TOKENIZER = 52, ES_AT_TOKENIZER_NORMALISER = 53,
       ES_AT_TOKENIZER_FLAGS = 54, ES_AT_TOKENIZER_MARKS_BLOB = 56, ES_AT_TOKENIZER_TEMPLATE_BLOB = 60 };

#define ES_NO_BLOB 0xFFFFFFFFu
/* Largest arena, state, tensor and stride. */
#define ES_ARENA_LIMIT ((uint64_t)1 << 32)

/* Numbers lie at any address. */
static inline uint16_t es_load_u16(const uint8_t *bytes)
{
    uint16_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

static inline uint32_t es_load_u32(const uint8_t *bytes)
{
    uint32_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

static inline int32_t es_load_i32(const uint8_t *bytes)
{
    int32_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

static inline uint64_t es_load_u64(const uint8_t *bytes)
{
    uint64_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

static inline float es_load_f32(const uint8_t *bytes)
{
    float number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

#endif
