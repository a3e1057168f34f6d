/* Memory and threads of one plan. */
#ifndef ES_SESSION_H
#define ES_SESSION_H

#include <stdatomic.h>

#include "kernel.h"

/* Bytes on both sides of the arena that vectors may read (docs/format.md). */
enum { ES_READ_MARGIN = 4096 };

/* Where an array that the caller binds goes: a pointer of a launch. */
typedef struct es_patch {
    uint8_t **where;
    uint32_t port;
} es_patch;

/* What a run must check of the numbers in an input; 0: nothing. */
typedef struct es_port_checks {
    int64_t vocabulary; /* ids are below it */
    int64_t capacity;   /* position + tokens are at most this */
} es_port_checks;

typedef struct es_bound {
    uint8_t *data;
    size_t bytes;
} es_bound;

typedef struct es_timing {
    uint64_t runs, nanoseconds, minimum;
} es_timing;

struct es_session {
    const es_model *model;
    const es_plan *plan;
    uint32_t threads;
    es_pool *pool; /* NULL: the caller's threads, or one */
    es_parallel parallel;
    void *parallel_context;
    es_launch *launches; /* one per step */
    es_timing *timings;
    es_bound *bound; /* inputs, then outputs */
    es_port_checks *checks; /* of inputs */
    uint32_t *port_numbers; /* of every tensor of the model that is a port; files may have a million of both */
    es_patch *patches;
    uint32_t patch_count;
    uint8_t *thread_scratch; /* threads × thread_scratch_bytes */
    size_t thread_scratch_bytes;
    uint8_t *arena;
    uint8_t *state;
    size_t bytes; /* of this whole block */
    int profiling;
    uint32_t resets;
    bool has_windows; /* a step of DELTA_ATTENTION */
    atomic_int busy, cancelled;
    char error[sizeof(((es_error *)0)->message)];
};

/* Keep an error's words and return its status. run_checks.c */
es_status es_session_fail(es_session *session, es_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void es_format_error(es_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline const es_tensor *es_session_tensor(const es_session *session, uint32_t port)
{
    const es_plan *plan = session->plan;
    uint32_t number = port < plan->input_count ? plan->inputs[port] : plan->outputs[port - plan->input_count];
    return &session->model->tensors[number];
}

static inline uint32_t es_session_ports(const es_session *session)
{
    return session->plan->input_count + session->plan->output_count;
}

/* Fill the checks of all inputs; once. run_checks.c */
void es_find_checks(es_session *session);
/* Check everything that is bound; the length of the symbol goes to *tokens. run_checks.c */
es_status es_check_run(es_session *session, int64_t *tokens);

#endif
