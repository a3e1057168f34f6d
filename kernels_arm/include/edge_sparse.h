/* edge_sparse: runs group-sparse networks from .egs files. C11, no dependency but libc and libm.
 *
 * Ownership and lifetime
 * - es_model_* makes a model: immutable, shared by any number of threads. It owns its memory and its map of the file.
 *   Memory given to es_model_open_memory and es_model_open_detached stays the caller's and must outlive the model.
 * - es_session_create makes a session: the arena, the state and the threads of one plan. One thread at a time may use it.
 *   The model must outlive it. es_text_create makes a language model on top of a session of its own, by the same rules.
 * - Arrays bound to inputs and outputs stay the caller's. They are read and written only inside es_session_run, and must
 *   not change or overlap meanwhile.
 * - After a fork of the process the child may use its copies of models and sessions; those of several threads go on with
 *   one.
 * - A mapped file must not shrink while its model is open: the system answers reads behind its end with SIGBUS.
 * - Strings and arrays that a call returns belong to the model or session and live as long as it does.
 * - Close functions take NULL. Nothing is allocated after create: runs and generation only use memory that is there.
 * - Whatever fails returns a status, changes nothing, and leaves what it was called on usable.
 *
 * Numbers are those of docs/format.md. All sizes are bytes unless a name says elements or tokens.
 */
#ifndef EDGE_SPARSE_H
#define EDGE_SPARSE_H

#include <stddef.h>
#include <stdint.h>

#include "edge_sparse_status.h"

#if defined(_WIN32) && defined(ES_BUILD_SHARED)
#define ES_API __declspec(dllexport)
#else
#define ES_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define ES_VERSION "0.1.0"

typedef struct es_model es_model;
typedef struct es_session es_session;
typedef struct es_text es_text;

/* ---- Status ---------------------------------------------------------------------------------------------------- */

/* Stable name of a status, "FILE_TRUNCATED", and what to do next; never NULL. */
ES_API const char *es_status_name(es_status status);
ES_API const char *es_status_hint(es_status status);
ES_API const char *es_version(void);

/* What went wrong in words, with the names of tensors and numbers; one line of UTF-8, empty after success. */
typedef struct es_error {
    char message[240];
} es_error;

/* ---- Options --------------------------------------------------------------------------------------------------- */

/* Where memory comes from; both functions or neither. allocate returns NULL when there is none, and memory that is
 * aligned to 64 bytes and zero. Called only by open, create and close. */
typedef struct es_allocator {
    void *(*allocate)(void *context, size_t size);
    void (*release)(void *context, void *memory, size_t size);
    void *context;
} es_allocator;

/* Told what happened, in one line without a newline. May be called by es_model_open* and es_*_create only. */
typedef void (*es_log)(void *context, const char *line);

/* Runs task(task_context, index) once for every index below count, on any threads, and returns when all are done. */
typedef void (*es_parallel)(void *context, void (*task)(void *task_context, int index), void *task_context, int count);

/* Kernel variants, from the plainest to the fastest. A session takes the last one that it may use and the CPU has. */
enum {
    ES_VARIANT_SCALAR = 1,   /* plain C */
    ES_VARIANT_VECTOR = 2,   /* NEON of ARMv8.0, SSE2, SIMD128: whatever the build's baseline has */
    ES_VARIANT_AVX2 = 4,     /* AVX2, FMA, F16C */
    ES_VARIANT_DOTPROD = 8,  /* SDOT of ARMv8.2 */
    ES_VARIANT_ALL = 15
};

/* The variants that this CPU can run, and its name for people ("neon, dotprod"). */
ES_API uint32_t es_cpu_variants(void);
ES_API const char *es_cpu_description(void);

typedef struct es_model_options {
    const es_allocator *allocator; /* NULL: malloc */
    es_log log;                    /* NULL: silent */
    void *log_context;
} es_model_options;

typedef struct es_session_options {
    uint32_t threads;     /* 0 means 1; results do not depend on it */
    uint32_t variants;    /* 0 means ES_VARIANT_ALL */
    es_parallel parallel; /* the caller's threads; NULL: own threads, made by create */
    void *parallel_context;
} es_session_options;

/* ---- Model ----------------------------------------------------------------------------------------------------- */

/* Open a model and check every rule of the format; options and error may be NULL. On failure *model is NULL.
 * From a path (mapped), from a file descriptor (mapped from offset, length 0: to its end; the descriptor stays the
 * caller's; an Android asset is such a part of an APK), or from memory. Offsets need no alignment. */
ES_API es_status es_model_open(const char *path, const es_model_options *options, es_model **model, es_error *error);
ES_API es_status es_model_open_fd(int fd, uint64_t offset, uint64_t length, const es_model_options *options,
                                  es_model **model, es_error *error);
ES_API es_status es_model_open_memory(const void *data, size_t length, const es_model_options *options,
                                      es_model **model, es_error *error);

/* For language bindings that hold a checked model already: head is a file up to the first blob, the blobs are handed
 * in one by one with the lengths that head says. All rules are checked but those of blob places and checksums. */
ES_API es_status es_model_open_detached(const void *head, size_t head_length, const void *const *blobs,
                                        size_t blob_count, const es_model_options *options, es_model **model,
                                        es_error *error);
ES_API void es_model_close(es_model *model);

/* What a file needs, known from its beginning: while it is downloaded. */
typedef struct es_expectation {
    uint64_t file_bytes;
    uint64_t head_bytes;    /* how much of the file must be there to know more; all is known when it is */
    uint64_t session_bytes; /* of arena and state of the largest plan, 0 while unknown; kernels need some more */
} es_expectation;

/* Checks as far as the bytes go, first the header's 64; then at most the sections, nothing of the blobs. */
ES_API es_status es_model_expect(const void *head, size_t length, es_expectation *expectation, es_error *error);

/* Plans by number; NULL beyond the last. */
ES_API const char *es_model_plan_name(const es_model *model, uint32_t plan);
/* Labels by number; NULL beyond the last. */
ES_API const char *es_model_label(const es_model *model, uint32_t label);
/* Bytes that a session of a plan takes besides the weights: arena, state, kernel tables; 0 for an unknown plan. */
ES_API uint64_t es_model_session_bytes(const es_model *model, const char *plan, const es_session_options *options);

/* ---- Session --------------------------------------------------------------------------------------------------- */

typedef enum es_dtype { ES_F32 = 1, ES_F16 = 2, ES_S8 = 3, ES_U8 = 4, ES_S32 = 5, ES_S4 = 6, ES_TERNARY = 7 } es_dtype;

/* An input or output. Arrays are dense, in the order of shape; images with nhwc set are (N, H, W, C) in memory although
 * shape is (N, C, H, W). With symbolic set, shape[0] is the most that a run may bring, and bytes belongs to it. */
typedef struct es_port {
    const char *name;
    es_dtype dtype;
    uint32_t rank;
    uint64_t shape[6];
    uint64_t bytes;
    int nhwc;
    int symbolic;
} es_port;

/* plan NULL or "": the first. options and error may be NULL. On failure *session is NULL. */
ES_API es_status es_session_create(const es_model *model, const char *plan, const es_session_options *options,
                                   es_session **session, es_error *error);
ES_API void es_session_close(es_session *session);

/* Inputs come first: number below inputs is an input, the others outputs. ES_PORT_UNKNOWN beyond the last. */
ES_API void es_session_port_counts(const es_session *session, uint32_t *inputs, uint32_t *outputs);
ES_API es_status es_session_port(const es_session *session, uint32_t number, es_port *port);
ES_API es_status es_session_find_port(const es_session *session, const char *name, uint32_t *number);

/* Bind an array to an input or output until another is bound. bytes is exactly that of the port; for symbolic inputs any
 * whole number of rows from 1, which is the number of tokens of the next runs; for symbolic outputs at least as many
 * rows as the inputs have when it runs. */
ES_API es_status es_session_bind(es_session *session, uint32_t number, void *data, size_t bytes);

/* Run once. Token ids, positions and windows are checked before anything changes. */
ES_API es_status es_session_run(es_session *session);
/* Why the last call on this session failed, in words. */
ES_API const char *es_session_error(const es_session *session);
/* From any thread or signal handler: the run in progress, or else the next one, ends with ES_CANCELLED at the next step. */
ES_API void es_session_cancel(es_session *session);

/* The memory that a state tensor has in this session. */
ES_API es_status es_session_state(es_session *session, const char *name, void **data, size_t *bytes);
/* Set the whole state to zero, as it was after create; of a language model's session: forget all tokens. */
ES_API void es_session_reset(es_session *session);

/* Whether the first output holds probabilities already, looking through copies; else classifiers give logits. */
ES_API int es_session_ends_in_softmax(const es_session *session);

/* What runs for a step, and the nanoseconds that it took in the runs since profiling was switched on. */
typedef struct es_step_profile {
    const char *step;
    const char *op;
    const char *kernel;
    uint64_t runs;
    uint64_t nanoseconds;     /* of all runs */
    uint64_t nanoseconds_min; /* of the fastest run */
    double density;           /* kept share of the matrix; -1 for steps without one */
} es_step_profile;

ES_API void es_session_set_profiling(es_session *session, int on);
ES_API uint32_t es_session_step_count(const es_session *session);
ES_API es_status es_session_step(const es_session *session, uint32_t number, es_step_profile *profile);

/* ---- Images ---------------------------------------------------------------------------------------------------- */

typedef struct es_image {
    const uint8_t *pixels; /* rows from the top, channels side by side */
    uint32_t width, height;
    uint32_t channels; /* 1 grey, 3 RGB, 4 RGBA (alpha is dropped) */
    uint64_t row_bytes; /* 0: width * channels */
} es_image;

/* Bytes of scratch memory that es_image_preprocess needs for such an image; 0 if it will be refused. */
ES_API size_t es_image_scratch_bytes(const es_model *model, const es_image *image);
/* Resize, crop and normalise as the file says, into the first input's array (float32, in the order of the port).
 * Pixels are those of Pillow's bilinear filter. */
ES_API es_status es_image_preprocess(const es_model *model, const es_image *image, void *scratch, size_t scratch_bytes,
                                     float *input, size_t input_bytes);

/* ---- Text ------------------------------------------------------------------------------------------------------ */

typedef enum es_attention { ES_ATTENTION_EXACT = 0, ES_ATTENTION_DELTA = 1 } es_attention;

/* Zero everything for the defaults, then set es_text_options_default. */
typedef struct es_text_options {
    es_session_options session;
    uint32_t context;      /* tokens that fit; 0: as many as the file says */
    uint32_t prompt_bytes; /* longest text, in normalisation form C too; 0: 8 for every token of the context */
    es_attention attention;
    es_dtype cache; /* 0: ES_S8 for exact, ES_F16 for delta attention */
    float theta;    /* of delta attention: changes up to this are not stored */
    float window;   /* of delta attention: exact block as a share of the prompt */
    uint32_t sinks; /* of delta attention: first tokens that stay exact */
} es_text_options;

/* Exact attention over an s8 cache; theta 0.6 and window 0.05 for delta. */
ES_API es_text_options es_text_options_default(void);

ES_API es_status es_text_create(const es_model *model, const es_text_options *options, es_text **text, es_error *error);
ES_API void es_text_close(es_text *text);
ES_API es_session *es_text_session(es_text *text);
ES_API const char *es_text_error(const es_text *text);

/* Tokens of a text, and the text of tokens as it is shown. count is the number there are even if capacity is smaller
 * (then ES_ARGUMENT_RANGE). */
ES_API es_status es_text_encode(es_text *text, const char *utf8, size_t length, int32_t *tokens, size_t capacity,
                                size_t *count);
ES_API es_status es_text_decode(es_text *text, const int32_t *tokens, size_t count, char *utf8, size_t capacity,
                                size_t *length);

/* One decode step: read tokens behind what the caches hold; logits of the last one (vocabulary floats) until the next. */
ES_API es_status es_text_read(es_text *text, const int32_t *tokens, size_t count, const float **logits);
/* Keep only the first tokens of what was read; returns how many are kept, fewer where attention cannot go back there. */
ES_API size_t es_text_rewind(es_text *text, size_t tokens);
ES_API uint32_t es_text_vocabulary(const es_text *text);
ES_API uint32_t es_text_context(const es_text *text);

/* docs/generation.md defines how the next token is chosen. */
typedef struct es_sampling {
    float temperature;        /* from 0; 0: always the likeliest token */
    uint32_t top_k;           /* 0: all */
    float top_p;              /* above 0, at most 1 */
    float min_p;              /* 0 to below 1 */
    float repetition_penalty; /* above 0; 1: none */
    uint64_t seed;
} es_sampling;

/* What the file suggests; seed 0. */
ES_API es_sampling es_text_sampling(const es_text *text);

typedef struct es_generate_options {
    es_sampling sampling;
    uint32_t max_tokens;            /* 0: until the text ends or the context is full */
    const char *const *stops;       /* stop texts, of 1 to 256 bytes */
    uint32_t stop_count;            /* at most 16 */
    int roll;                       /* a full context forgets its older half instead of ending */
} es_generate_options;

typedef enum es_finish {
    ES_FINISH_END = 0,   /* the model ended its text */
    ES_FINISH_LENGTH,    /* max_tokens */
    ES_FINISH_STOP,      /* a stop text */
    ES_FINISH_CONTEXT,   /* no room */
    ES_FINISH_CANCELLED  /* the callback asked for it */
} es_finish;

typedef struct es_generation {
    es_finish finish;
    uint32_t prompt_tokens, reused_tokens, generated_tokens, rolls;
    double first_token_seconds, decode_seconds;
} es_generation;

/* Gets pieces of whole UTF-8 characters as soon as they are certain; not 0 ends the generation. */
typedef int (*es_piece)(void *context, const char *utf8, size_t length);

/* The longest beginning that prompt shares with what the caches hold is not computed again. After ES_CONTEXT_FULL (only
 * with max_tokens, and without roll) and ES_CANCELLED (es_session_cancel) the text so far has been handed out, and
 * *generation says how far it went. */
ES_API es_status es_text_generate(es_text *text, const char *prompt, size_t length, const es_generate_options *options,
                                  es_piece piece, void *context, es_generation *generation);
ES_API es_status es_text_generate_tokens(es_text *text, const int32_t *prompt, size_t count,
                                         const es_generate_options *options, es_piece piece, void *context,
                                         es_generation *generation);

/* The same in steps, for callers with an event loop. Between begin and end other calls on text give ES_SESSION_BUSY,
 * and stop texts stay as they are. next reads at most one chunk of the prompt or adds one token, and gives the text that
 * became certain, often none; it lives until the next call. After *done nothing more comes; a status other than ES_OK
 * sets it too, and text that comes with ES_CONTEXT_FULL counts. end may come at any time: before *done, the finish is
 * ES_FINISH_CANCELLED. next and end without begin give ES_GENERATION_ABSENT. */
ES_API es_status es_text_begin(es_text *text, const char *prompt, size_t length, const es_generate_options *options);
ES_API es_status es_text_begin_tokens(es_text *text, const int32_t *prompt, size_t count,
                                      const es_generate_options *options);
ES_API es_status es_text_next(es_text *text, const char **utf8, size_t *length, int *done);
ES_API es_status es_text_end(es_text *text, es_generation *generation);

/* Share of stored keys that delta attention need not look at, 0 to 1, for what the caches hold now; 0 for exact. */
ES_API double es_text_skipped(const es_text *text);

#ifdef __cplusplus
}
#endif
#endif
