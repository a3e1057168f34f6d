/* A pool of threads that sleep between runs and spin for a moment between the steps of one. */
#include "os.h"

#include <string.h>

#if defined(__wasm__)

struct es_pool { int unused; };
size_t es_pool_bytes(uint32_t threads) { (void)threads; return sizeof(es_pool); }
es_status es_pool_start(es_pool *pool, uint32_t threads)
{
    (void)pool;
    return threads > 1 ? ES_THREADS_UNAVAILABLE : ES_OK;
}
void es_pool_stop(es_pool *pool) { (void)pool; }
bool es_pool_alive(const es_pool *pool)
{
    (void)pool;
    return true;
}
void es_pool_run(es_pool *pool, void (*task)(void *context, int index), void *context)
{
    (void)pool;
    task(context, 0);
}

#else

#include <stdatomic.h>

#if defined(_WIN32)
#include <windows.h>
typedef HANDLE es_thread;
typedef SRWLOCK es_lock;
typedef CONDITION_VARIABLE es_condition;
#define lock_init(lock) InitializeSRWLock(lock)
#define lock_take(lock) AcquireSRWLockExclusive(lock)
#define lock_leave(lock) ReleaseSRWLockExclusive(lock)
#define lock_end(lock) ((void)(lock))
#define condition_init(condition) InitializeConditionVariable(condition)
#define condition_wait(condition, lock) SleepConditionVariableSRW(condition, lock, INFINITE, 0)
#define condition_wake_all(condition) WakeAllConditionVariable(condition)
#define condition_end(condition) ((void)(condition))
#define thread_yield() SwitchToThread()
#define thread_join(thread) (WaitForSingleObject(thread, INFINITE), CloseHandle(thread))
#define process_number() 0L /* nothing forks here */
#else
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
typedef pthread_t es_thread;
typedef pthread_mutex_t es_lock;
typedef pthread_cond_t es_condition;
#define lock_init(lock) pthread_mutex_init(lock, NULL)
#define lock_take(lock) pthread_mutex_lock(lock)
#define lock_leave(lock) pthread_mutex_unlock(lock)
#define lock_end(lock) pthread_mutex_destroy(lock)
#define condition_init(condition) pthread_cond_init(condition, NULL)
#define condition_wait(condition, lock) pthread_cond_wait(condition, lock)
#define condition_wake_all(condition) pthread_cond_broadcast(condition)
#define condition_end(condition) pthread_cond_destroy(condition)
#define thread_yield() sched_yield()
#define thread_join(thread) pthread_join(thread, NULL)
#define process_number() ((long)getpid())
#endif

/* About 30 microseconds on cores of 1 to 5 GHz: longer than the gap between two steps, shorter than a wake-up pays. */
enum { SPINS = 4000 };

typedef struct es_worker {
    struct es_pool *pool;
    int index;
    es_thread thread;
} es_worker;

struct es_pool {
    _Alignas(64) atomic_uint round; /* grows by one for every task, and when the pool stops */
    _Alignas(64) atomic_uint unfinished;
    atomic_uint sleepers;
    int stopping; /* written before a round begins */
    void (*task)(void *context, int index);
    void *context;
    uint32_t threads;
    long process; /* that has the threads */
    es_lock lock;
    es_condition wake;
    es_worker workers[];
};

static inline void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Return the round that follows a known one. */
static unsigned next_round(es_pool *pool, unsigned known)
{
    for (int spin = 0; spin < SPINS; spin++) {
        unsigned round = atomic_load_explicit(&pool->round, memory_order_acquire);
        if (round != known) return round;
        pause_briefly();
    }
    lock_take(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    unsigned round;
    while ((round = atomic_load(&pool->round)) == known) condition_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    lock_leave(&pool->lock);
    return round;
}

static void begin_round(es_pool *pool)
{
    atomic_fetch_add(&pool->round, 1);
    /* Sequentially consistent: a worker that does not see the new round has been counted as a sleeper before. */
    if (!atomic_load(&pool->sleepers)) return;
    lock_take(&pool->lock);
    condition_wake_all(&pool->wake);
    lock_leave(&pool->lock);
}

static void work(es_worker *worker)
{
    es_pool *pool = worker->pool;
    for (unsigned round = 0;;) {
        round = next_round(pool, round);
        if (pool->stopping) return;
        pool->task(pool->context, worker->index);
        atomic_fetch_sub_explicit(&pool->unfinished, 1, memory_order_release);
    }
}

#if defined(_WIN32)
static DWORD WINAPI thread_main(void *worker)
{
    work(worker);
    return 0;
}

static int thread_start(es_thread *thread, es_worker *worker)
{
    *thread = CreateThread(NULL, 0, thread_main, worker, 0, NULL);
    return *thread == NULL;
}
#else
static void *thread_main(void *worker)
{
    work(worker);
    return NULL;
}

static int thread_start(es_thread *thread, es_worker *worker)
{
    return pthread_create(thread, NULL, thread_main, worker);
}
#endif

size_t es_pool_bytes(uint32_t threads) { return sizeof(es_pool) + threads * sizeof(es_worker); }

es_status es_pool_start(es_pool *pool, uint32_t threads)
{
    memset(pool, 0, sizeof *pool);
    atomic_init(&pool->round, 0);
    atomic_init(&pool->unfinished, 0);
    atomic_init(&pool->sleepers, 0);
    lock_init(&pool->lock);
    condition_init(&pool->wake);
    pool->process = process_number();
    pool->threads = 1;
    for (; pool->threads < threads; pool->threads++) {
        es_worker *worker = &pool->workers[pool->threads - 1];
        worker->pool = pool;
        worker->index = (int)pool->threads;
        if (thread_start(&worker->thread, worker)) {
            es_pool_stop(pool);
            return ES_THREADS_UNAVAILABLE;
        }
    }
    return ES_OK;
}

void es_pool_stop(es_pool *pool)
{
    if (!pool->threads) return;
    pool->stopping = 1;
    begin_round(pool);
    for (uint32_t number = 1; number < pool->threads; number++) thread_join(pool->workers[number - 1].thread);
    condition_end(&pool->wake);
    lock_end(&pool->lock);
    pool->threads = 0;
}

bool es_pool_alive(const es_pool *pool) { return pool->process == process_number(); }

void es_pool_run(es_pool *pool, void (*task)(void *context, int index), void *context)
{
    pool->task = task;
    pool->context = context;
    atomic_store_explicit(&pool->unfinished, pool->threads - 1, memory_order_relaxed);
    begin_round(pool);
    task(context, 0);
    for (int spin = 0; atomic_load_explicit(&pool->unfinished, memory_order_acquire); spin++)
        if (spin < SPINS) pause_briefly();
        else thread_yield(); /* a worker has lost its core */
}

#endif
