/* Running a plan: a loop over its steps. */
#include <string.h>

#include "session.h"

/* Pieces of a phase per thread: small enough that a thread which loses its core holds little. */
enum { PIECES_PER_THREAD = 4 };

/* One phase of a step, shared by the threads. */
typedef struct es_phase {
    const es_launch *launch;
    const es_session *session;
    int number;
    int64_t units, piece;
    atomic_llong next;
} es_phase;

static void work_on(void *context, int index)
{
    es_phase *phase = context;
    const es_session *session = phase->session;
    uint8_t *scratch = session->thread_scratch + (size_t)index * session->thread_scratch_bytes;
    for (;;) {
        int64_t begin = atomic_fetch_add_explicit(&phase->next, phase->piece, memory_order_relaxed);
        if (begin >= phase->units) return;
        int64_t end = begin + phase->piece < phase->units ? begin + phase->piece : phase->units;
        phase->launch->kernel->run(phase->launch, phase->number, begin, end, scratch);
    }
}

static void run_phase(const es_session *session, const es_launch *launch, int number)
{
    int64_t units = launch->kernel->units(launch, number);
    if (units <= 0) return;
    if (session->threads == 1 || units == 1) {
        launch->kernel->run(launch, number, 0, units, session->thread_scratch);
        return;
    }
    es_phase phase = {.launch = launch, .session = session, .number = number, .units = units};
    phase.piece = units / ((int64_t)session->threads * PIECES_PER_THREAD);
    if (phase.piece < 1) phase.piece = 1;
    atomic_init(&phase.next, 0);
    if (session->parallel)
        session->parallel(session->parallel_context, work_on, &phase, (int)session->threads);
    else
        es_pool_run(session->pool, work_on, &phase);
}

static void run_step(es_session *session, uint32_t number)
{
    const es_launch *launch = &session->launches[number];
    uint64_t start = session->profiling ? es_nanoseconds() : 0;
    for (int phase = 0; phase < launch->kernel->phases; phase++) run_phase(session, launch, phase);
    if (!session->profiling) return;
    uint64_t taken = es_nanoseconds() - start;
    es_timing *timing = &session->timings[number];
    timing->runs++;
    timing->nanoseconds += taken;
    if (taken < timing->minimum) timing->minimum = taken;
}

static es_status run(es_session *session)
{
    session->error[0] = 0;
    for (uint32_t number = 0; number < session->patch_count; number++)
        *session->patches[number].where = session->bound[session->patches[number].port].data;
    int64_t tokens;
    es_status status = es_check_run(session, &tokens);
    if (status) return status;
    for (uint32_t number = 0; number < session->plan->step_count; number++) session->launches[number].tokens = tokens;
    for (uint32_t number = 0; number < session->plan->step_count; number++) {
        if (atomic_load_explicit(&session->cancelled, memory_order_relaxed)) break;
        run_step(session, number);
    }
    /* Looked at behind the last step too, so that no request is lost between the runs of a text. */
    if (!atomic_exchange(&session->cancelled, 0)) return ES_OK;
    return es_session_fail(session, ES_CANCELLED, "the run was cancelled");
}

es_status es_session_run(es_session *session)
{
    if (!session) return ES_ARGUMENT_NULL;
    if (atomic_exchange(&session->busy, 1)) return ES_SESSION_BUSY;
    /* In a fork of the process one thread goes on: results do not depend on how many there are. */
    if (session->pool && !es_pool_alive(session->pool)) {
        session->pool = NULL;
        session->threads = 1;
    }
    es_status status = run(session);
    atomic_store(&session->busy, 0);
    return status;
}

void es_session_cancel(es_session *session)
{
    if (session) atomic_store(&session->cancelled, 1);
}

void es_session_set_profiling(es_session *session, int on)
{
    if (!session) return;
    session->profiling = on != 0;
    for (uint32_t number = 0; on && number < session->plan->step_count; number++)
        session->timings[number] = (es_timing){0, 0, UINT64_MAX};
}
