/* Every way a call can end. The names are the codes of the Python and JavaScript runtimes; docs/format.md defines those
 * of files. One list, so that numbers, names and hints cannot drift apart. New codes are added at the end. */
#ifndef EDGE_SPARSE_STATUS_H
#define EDGE_SPARSE_STATUS_H

#define ES_CONVERT_AGAIN "convert the model again"
#define ES_FETCH_AGAIN "download or convert it again"
#define ES_UPDATE "update edge_sparse"

/* X(name, what to do next) */
#define ES_STATUSES(X)                                                                  \
    X(OK, "")                                                                           \
    X(FILE_NOT_FOUND, "check the path")                                                 \
    X(FILE_UNREADABLE, "check the file's type and permissions")                         \
    X(FILE_MAGIC, "pass an .egs file; an HTML page means that a download failed")       \
    X(FILE_TRUNCATED, ES_FETCH_AGAIN)                                                   \
    X(FILE_VERSION, ES_UPDATE)                                                          \
    X(FILE_TRAILING, ES_FETCH_AGAIN)                                                    \
    X(HEADER_CRC, ES_FETCH_AGAIN)                                                       \
    X(HEADER_RESERVED, ES_UPDATE)                                                       \
    X(DIRECTORY_CRC, ES_FETCH_AGAIN)                                                    \
    X(SECTION_COUNT, ES_FETCH_AGAIN)                                                    \
    X(SECTION_ORDER, ES_FETCH_AGAIN)                                                    \
    X(SECTION_FLAGS, ES_UPDATE)                                                         \
    X(SECTION_UNKNOWN, ES_UPDATE)                                                       \
    X(SECTION_OFFSET, ES_FETCH_AGAIN)                                                   \
    X(SECTION_SIZE, ES_FETCH_AGAIN)                                                     \
    X(SECTION_CRC, ES_FETCH_AGAIN)                                                      \
    X(SECTION_MISSING, ES_CONVERT_AGAIN)                                                \
    X(PADDING_NOT_ZERO, ES_FETCH_AGAIN)                                                 \
    X(RESERVED_NOT_ZERO, ES_UPDATE)                                                     \
    X(BLOB_OFFSET, ES_FETCH_AGAIN)                                                      \
    X(BLOB_CRC, ES_FETCH_AGAIN)                                                         \
    X(BLOB_NUMBER, ES_CONVERT_AGAIN)                                                    \
    X(BLOB_UNUSED, ES_CONVERT_AGAIN)                                                    \
    X(STRING_RANGE, ES_CONVERT_AGAIN)                                                   \
    X(STRING_OVERLAP, ES_CONVERT_AGAIN)                                                 \
    X(STRING_UTF8, ES_CONVERT_AGAIN)                                                    \
    X(STRING_CONTROL, ES_CONVERT_AGAIN)                                                 \
    X(MODEL_STATE, ES_CONVERT_AGAIN)                                                    \
    X(TENSOR_DTYPE, ES_CONVERT_AGAIN)                                                   \
    X(TENSOR_LAYOUT, ES_CONVERT_AGAIN)                                                  \
    X(TENSOR_STORAGE, ES_CONVERT_AGAIN)                                                 \
    X(TENSOR_RANK, ES_CONVERT_AGAIN)                                                    \
    X(TENSOR_SHAPE, ES_CONVERT_AGAIN)                                                   \
    X(TENSOR_SCALE, ES_CONVERT_AGAIN)                                                   \
    X(TENSOR_ZERO_POINT, ES_CONVERT_AGAIN)                                              \
    X(TENSOR_SYMBOL_AXIS, ES_CONVERT_AGAIN)                                             \
    X(TENSOR_BORDER, ES_CONVERT_AGAIN)                                                  \
    X(TENSOR_OFFSET, ES_CONVERT_AGAIN)                                                  \
    X(TENSOR_STRIDES, ES_CONVERT_AGAIN)                                                 \
    X(TENSOR_EXTENT, ES_CONVERT_AGAIN)                                                  \
    X(TENSOR_BLOB, ES_CONVERT_AGAIN)                                                    \
    X(MATRIX_BANDS, ES_CONVERT_AGAIN)                                                   \
    X(MATRIX_SIZE, ES_CONVERT_AGAIN)                                                    \
    X(MATRIX_DTYPE, ES_CONVERT_AGAIN)                                                   \
    X(MATRIX_SEGMENT, ES_CONVERT_AGAIN)                                                 \
    X(MATRIX_INDEX, ES_CONVERT_AGAIN)                                                   \
    X(MATRIX_COUNTS, ES_CONVERT_AGAIN)                                                  \
    X(MATRIX_VALUES, ES_CONVERT_AGAIN)                                                  \
    X(MATRIX_SCALES, ES_CONVERT_AGAIN)                                                  \
    X(MATRIX_SHARED, ES_CONVERT_AGAIN)                                                  \
    X(INDEX_DENSE, ES_CONVERT_AGAIN)                                                    \
    X(INDEX_LENGTH, ES_CONVERT_AGAIN)                                                   \
    X(INDEX_COUNT, ES_CONVERT_AGAIN)                                                    \
    X(INDEX_RANGE, ES_CONVERT_AGAIN)                                                    \
    X(PLAN_STEPS, ES_CONVERT_AGAIN)                                                     \
    X(PLAN_PORTS, ES_CONVERT_AGAIN)                                                     \
    X(PLAN_ARENA, ES_CONVERT_AGAIN)                                                     \
    X(PLAN_SYMBOL, ES_CONVERT_AGAIN)                                                    \
    X(PLAN_NAME, ES_CONVERT_AGAIN)                                                      \
    X(PLAN_OUTPUT, ES_CONVERT_AGAIN)                                                    \
    X(STEP_OP, ES_UPDATE)                                                               \
    X(STEP_INPUT_COUNT, ES_CONVERT_AGAIN)                                               \
    X(STEP_OUTPUT_COUNT, ES_CONVERT_AGAIN)                                              \
    X(STEP_TENSOR, ES_CONVERT_AGAIN)                                                    \
    X(STEP_WORDS, ES_CONVERT_AGAIN)                                                     \
    X(STEP_STORAGE, ES_CONVERT_AGAIN)                                                   \
    X(STEP_UNWRITTEN, ES_CONVERT_AGAIN)                                                 \
    X(STEP_OVERWRITTEN, ES_CONVERT_AGAIN)                                               \
    X(STEP_OVERLAP, ES_CONVERT_AGAIN)                                                   \
    X(STEP_DTYPE, ES_CONVERT_AGAIN)                                                     \
    X(STEP_LAYOUT, ES_CONVERT_AGAIN)                                                    \
    X(STEP_SHAPE, ES_CONVERT_AGAIN)                                                     \
    X(STEP_STRIDES, ES_CONVERT_AGAIN)                                                   \
    X(STEP_SYMBOL, ES_CONVERT_AGAIN)                                                    \
    X(STEP_ATTRIBUTE, ES_CONVERT_AGAIN)                                                 \
    X(STEP_MATRIX, ES_CONVERT_AGAIN)                                                    \
    X(STEP_WINDOW, ES_CONVERT_AGAIN)                                                    \
    X(STEP_ROW_STRIDE, ES_CONVERT_AGAIN)                                                \
    X(STEP_READ, ES_CONVERT_AGAIN)                                                      \
    X(IMAGE_VALUES, ES_CONVERT_AGAIN)                                                   \
    X(IMAGE_SHAPE, ES_CONVERT_AGAIN)                                                    \
    X(TOKENIZER_KIND, ES_UPDATE)                                                        \
    X(TOKENIZER_TOKEN, ES_CONVERT_AGAIN)                                                \
    X(TOKENIZER_SIZE, ES_CONVERT_AGAIN)                                                 \
    X(TOKENIZER_VALUES, ES_CONVERT_AGAIN)                                               \
    X(TOKENIZER_SAMPLING, ES_CONVERT_AGAIN)                                             \
    X(TOKENIZER_FLAGS, ES_UPDATE)                                                       \
    X(TOKENIZER_TEMPLATE, ES_CONVERT_AGAIN)                                             \
    X(METADATA_JSON, ES_CONVERT_AGAIN)                                                  \
    X(ARGUMENT_NULL, "pass a pointer that is not null")                                 \
    X(ARGUMENT_RANGE, "see the limits in edge_sparse.h")                                \
    X(MEMORY_EXHAUSTED, "close other programs, or use a smaller model or context")      \
    X(THREADS_RANGE, "ask for 1 to 256 threads")                                        \
    X(THREADS_UNAVAILABLE, "ask for fewer threads")                                     \
    X(PLAN_UNKNOWN, "ask es_model_plan_name for the plans of the file")                 \
    X(PORT_UNKNOWN, "ask es_session_port for inputs and outputs")                       \
    X(STATE_UNKNOWN, "name a state tensor of the file")                                 \
    X(OP_UNSUPPORTED, "allow more kernel variants, or run the model in Python")         \
    X(INPUT_MISSING, "bind memory to every input and output before a run")              \
    X(INPUT_SHAPE, "pass exactly the bytes that es_session_port says")                  \
    X(INPUT_SYMBOL, "bind the same number of tokens to all inputs")                     \
    X(INPUT_ALIGNMENT, "align arrays to the size of their elements")                    \
    X(TOKEN_RANGE, "check the tokenizer")                                               \
    X(POSITION_RANGE, "count positions from 0, and go on from one that was reached")    \
    X(WINDOW_RANGE, "ask for a window of at least 1, or make room for a larger one")    \
    X(SESSION_BUSY, "use a session in one thread at a time")                            \
    X(CANCELLED, "")                                                                    \
    X(IMAGE_RECORD_MISSING, "convert the model with --image, or preprocess yourself")   \
    X(IMAGE_TOO_LARGE, "scale the picture down first")                                  \
    X(IMAGE_TYPE, "pass grey, RGB or RGBA pixels of 8 bits")                            \
    X(NO_LANGUAGE_MODEL, "convert a Hugging Face folder or a llama2.c file")            \
    X(TOKENIZER_MISSING, "convert the model with its tokenizer, or pass tokens")        \
    X(TOKENIZER_MISMATCH, "convert the model again with its own tokenizer")             \
    X(TEXT_NOT_ENCODABLE, "pass UTF-8 that the tokenizer has pieces for")               \
    X(PROMPT_EMPTY, "pass some text")                                                   \
    X(PROMPT_TOO_LONG, "shorten the prompt, or ask for a larger context")               \
    X(CONTEXT_RANGE, "ask for at least the tokens of one run")                          \
    X(CONTEXT_FULL, "ask for fewer tokens or a larger context, or let it roll")         \
    X(ATTENTION_CACHE, "ask for s8, f16 or f32; delta attention has f16 and f32")       \
    X(ATTENTION_THETA, "pass a number from 0")                                          \
    X(ATTENTION_WINDOW, "pass a share from 0 to 1")                                     \
    X(ATTENTION_SINKS, "pass 0 to 65536")                                               \
    X(ATTENTION_ABSENT, "load a converted language model")                              \
    X(SAMPLING_RANGE, "see es_sampling for the ranges")                                 \
    X(STOP_TEXT, "pass stop texts that are UTF-8 and not empty")                        \
    X(LOGITS_NOT_FINITE, "check the model: its weights may have overflowed")            \
    X(GENERATION_ABSENT, "call es_text_begin first")

typedef enum es_status {
#define ES_STATUS_NUMBER(name, hint) ES_##name,
    ES_STATUSES(ES_STATUS_NUMBER)
#undef ES_STATUS_NUMBER
        ES_STATUS_COUNT
} es_status;

#endif
