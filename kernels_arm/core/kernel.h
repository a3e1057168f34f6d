/* What a kernel is to the executor. Kernels neither allocate nor keep anything: all their memory is laid out when a
 * session is created, and every unit of work writes elements that no other unit writes, so results do not depend on
 * how units are shared among threads. */
#ifndef ES_KERNEL_H
#define ES_KERNEL_H

#include "model.h"

/* One step of a plan, made ready to run. */
typedef struct es_launch {
    const es_model *model;
    const es_step *step;
    const struct es_kernel *kernel;
    const es_tensor *in[ES_MAX_INPUTS]; /* NULL where absent */
    const es_tensor *out;
    uint8_t *in_data[ES_MAX_INPUTS]; /* element zero; of inputs and outputs set before every run */
    uint8_t *out_data;
    int64_t tokens;    /* length of the symbol in this run; in measure its maximum; 1 without a symbol */
    void *prepared;    /* memory of measure's prepared_bytes, filled once by prepare, constant afterwards */
    uint8_t *scratch;  /* scratch_bytes, shared by all units; the next step alone may use what is left in it */
    const struct es_launch *previous; /* of the step before, NULL for the first */
} es_launch;

typedef struct es_needs {
    size_t prepared_bytes;
    size_t scratch_bytes;        /* shared by the threads of one step */
    size_t thread_scratch_bytes; /* of every thread */
} es_needs;

typedef struct es_kernel {
    const char *name; /* the grammar of docs/architecture.md: "spmm_f32_gs4x1_chw" */
    es_op op;
    uint32_t variant; /* ES_VARIANT_*: what the CPU must have */
    /* Whether it runs this step. The file is valid; only pointers to constants and tensors may be looked at. */
    bool (*accepts)(const es_launch *launch);
    /* Memory for the largest run; NULL: none. */
    void (*measure)(const es_launch *launch, es_needs *needs);
    void (*prepare)(es_launch *launch); /* NULL: nothing */
    int phases;                         /* 1 or more; a phase begins when all units of the one before have ended */
    /* Units of a phase in a run of launch->tokens. */
    int64_t (*units)(const es_launch *launch, int phase);
    /* Compute units begin … end - 1. */
    void (*run)(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch);
} es_kernel;

/* Every file in kernels/ is compiled once per variant and exports ES_FAMILY(name): its kernels, ended by a NULL. */
#define ES_JOIN_(a, b) a##_##b
#define ES_JOIN(a, b) ES_JOIN_(a, b)
#define ES_LOCAL(name) ES_JOIN(name, ES_VARIANT_NAME)
#define ES_FAMILY(name) const es_kernel *const ES_LOCAL(es_kernels_##name)[]

/* The first kernel that accepts the launch, of the best variant in the mask; NULL: none. kernel_list.c */
const es_kernel *es_find_kernel(const es_launch *launch, uint32_t variants);
/* All kernels of all variants, for tests and benchmarks; NULL beyond the last. */
const es_kernel *es_kernel_number(uint32_t number);
/* The variants that it has kernels of: released libraries leave plain C out. */
uint32_t es_built_variants(void);

/* A word of the step as a signed number. */
static inline int64_t es_word(const es_launch *launch, int word) { return (int32_t)launch->step->words[word]; }

static inline size_t es_round_up(size_t size, size_t multiple) { return (size + multiple - 1) / multiple * multiple; }

/* Length of axis 0 in this run. */
static inline int64_t es_rows(const es_launch *launch, const es_tensor *tensor)
{
    return tensor->symbol_axis == 0 ? launch->tokens : (int64_t)(tensor->rank ? tensor->shape[0] : 1);
}

#endif
