/* Making and closing sessions: one block of memory holds all that a plan needs. */
#include "session.h"

#include <string.h>

typedef struct es_layout_sizes {
    size_t launches, timings, bound, checks, port_numbers, patches, pool;
    size_t prepared, scratch, thread_scratch, arena, state, end;
    size_t thread_scratch_bytes;
    uint32_t patch_count;
} es_layout_sizes;

enum { ALIGNMENT = 64, LARGEST_THREADS = 256 };

/* Reserve bytes in the block; false when they do not fit the address space. */
static bool reserve(size_t *end, uint64_t bytes, size_t *place)
{
    *place = *end;
    if (bytes > SIZE_MAX / 2 || *end > SIZE_MAX / 2) return false;
    *end = es_round_up(*end + (size_t)bytes, ALIGNMENT);
    return true;
}

static bool is_port(const es_tensor *tensor) { return tensor->storage == ES_INPUT || tensor->storage == ES_OUTPUT; }

/* Operands of a step; data pointers are those of constants only. */
static void describe(const es_model *model, const es_plan *plan, uint32_t number, es_launch *launch)
{
    const es_step *step = &plan->steps[number];
    memset(launch, 0, sizeof *launch);
    launch->model = model;
    launch->step = step;
    launch->tokens = plan->symbol_max ? plan->symbol_max : 1;
    launch->out = &model->tensors[step->output];
    for (int index = 0; index < ES_MAX_INPUTS; index++) {
        if (step->inputs[index] == ES_NO_TENSOR) continue;
        launch->in[index] = &model->tensors[step->inputs[index]];
        /* Kernels only read constants. */
        if (launch->in[index]->storage == ES_CONSTANT) launch->in_data[index] = (uint8_t *)launch->in[index]->data;
    }
}

/* Find the kernel of every step and add up what they need. */
static es_status measure(const es_model *model, const es_plan *plan, const es_session_options *options,
                         es_layout_sizes *sizes, es_error *error)
{
    memset(sizes, 0, sizeof *sizes);
    uint32_t ports = plan->input_count + plan->output_count;
    size_t scratch = 0, prepared = 0;
    es_launch pair[2];
    for (uint32_t number = 0; number < plan->step_count; number++) {
        es_launch *launch = &pair[number & 1];
        describe(model, plan, number, launch);
        launch->previous = number ? &pair[~number & 1] : NULL;
        launch->kernel = es_find_kernel(launch, options->variants);
        if (!launch->kernel) {
            es_format_error(error, "step %s: no kernel for op %d", launch->step->name, (int)launch->step->op);
            return ES_OP_UNSUPPORTED;
        }
        es_needs needs = {0, 0, 0};
        if (launch->kernel->measure) launch->kernel->measure(launch, &needs);
        size_t place;
        if (!reserve(&prepared, needs.prepared_bytes, &place)) return ES_MEMORY_EXHAUSTED;
        if (needs.scratch_bytes > scratch) scratch = needs.scratch_bytes;
        if (needs.thread_scratch_bytes > sizes->thread_scratch_bytes)
            sizes->thread_scratch_bytes = needs.thread_scratch_bytes;
        for (int index = 0; index < ES_MAX_INPUTS; index++)
            sizes->patch_count += launch->in[index] && is_port(launch->in[index]);
        sizes->patch_count += is_port(launch->out);
    }
    if (sizes->thread_scratch_bytes > SIZE_MAX / 2) return ES_MEMORY_EXHAUSTED;
    sizes->thread_scratch_bytes = es_round_up(sizes->thread_scratch_bytes, ALIGNMENT);
    size_t end = es_round_up(sizeof(es_session), ALIGNMENT);
    bool fits = reserve(&end, plan->step_count * sizeof(es_launch), &sizes->launches) &&
                reserve(&end, plan->step_count * sizeof(es_timing), &sizes->timings) &&
                reserve(&end, ports * sizeof(es_bound), &sizes->bound) &&
                reserve(&end, ports * sizeof(es_port_checks), &sizes->checks) &&
                reserve(&end, model->tensor_count * sizeof(uint32_t), &sizes->port_numbers) &&
                reserve(&end, sizes->patch_count * sizeof(es_patch), &sizes->patches) &&
                reserve(&end, options->parallel ? 0 : es_pool_bytes(options->threads), &sizes->pool) &&
                reserve(&end, prepared, &sizes->prepared) && reserve(&end, scratch, &sizes->scratch) &&
                reserve(&end, (uint64_t)sizes->thread_scratch_bytes * options->threads, &sizes->thread_scratch) &&
                reserve(&end, plan->arena_bytes + 2 * ES_READ_MARGIN, &sizes->arena) &&
                reserve(&end, model->state_bytes, &sizes->state);
    sizes->end = end;
    return fits ? ES_OK : ES_MEMORY_EXHAUSTED;
}

static uint8_t *address(const es_session *session, const es_tensor *tensor)
{
    if (tensor->storage == ES_ARENA) return session->arena + tensor->offset;
    if (tensor->storage == ES_STATE) return session->state + tensor->offset;
    return (uint8_t *)tensor->data; /* NULL for inputs and outputs until they are bound */
}

static void add_patch(es_session *session, uint8_t **where, int32_t tensor)
{
    session->patches[session->patch_count++] = (es_patch){where, session->port_numbers[tensor]};
}

static void prepare(es_session *session, const es_session_options *options, const es_layout_sizes *sizes)
{
    const es_plan *plan = session->plan;
    uint8_t *prepared = (uint8_t *)session + sizes->prepared;
    for (uint32_t number = 0; number < plan->step_count; number++) {
        es_launch *launch = &session->launches[number];
        const es_step *step = &plan->steps[number];
        describe(session->model, plan, number, launch);
        launch->previous = number ? launch - 1 : NULL;
        launch->kernel = es_find_kernel(launch, options->variants);
        launch->scratch = (uint8_t *)session + sizes->scratch;
        launch->prepared = prepared;
        es_needs needs = {0, 0, 0};
        if (launch->kernel->measure) launch->kernel->measure(launch, &needs);
        prepared += es_round_up(needs.prepared_bytes, ALIGNMENT);
        for (int index = 0; index < ES_MAX_INPUTS; index++) {
            if (!launch->in[index]) continue;
            launch->in_data[index] = address(session, launch->in[index]);
            if (is_port(launch->in[index])) add_patch(session, &launch->in_data[index], step->inputs[index]);
        }
        launch->out_data = address(session, launch->out);
        if (is_port(launch->out)) add_patch(session, &launch->out_data, step->output);
        if (launch->kernel->prepare) launch->kernel->prepare(launch);
        session->timings[number].minimum = UINT64_MAX;
    }
}

/* Options with defaults filled in. */
static es_status complete(const es_session_options *given, es_session_options *options)
{
    *options = given ? *given : (es_session_options){0};
    if (!options->threads) options->threads = 1;
    if (options->threads > LARGEST_THREADS) return ES_THREADS_RANGE;
    if (!options->variants) options->variants = ES_VARIANT_ALL;
    options->variants &= es_detect_variants();
    return ES_OK;
}

uint64_t es_model_session_bytes(const es_model *model, const char *name, const es_session_options *given)
{
    const es_plan *plan = model ? es_model_find_plan(model, name) : NULL;
    es_session_options options;
    es_layout_sizes sizes;
    if (!plan || complete(given, &options) || measure(model, plan, &options, &sizes, NULL)) return 0;
    return sizes.end;
}

es_status es_session_create(const es_model *model, const char *name, const es_session_options *given,
                            es_session **created, es_error *error)
{
    if (error) error->message[0] = 0;
    if (!created) return ES_ARGUMENT_NULL;
    *created = NULL;
    if (!model) return ES_ARGUMENT_NULL;
    const es_plan *plan = es_model_find_plan(model, name);
    if (!plan) {
        es_format_error(error, "the model has no plan %.100s", name ? name : "");
        return ES_PLAN_UNKNOWN;
    }
    es_session_options options;
    es_layout_sizes sizes;
    es_status status = complete(given, &options);
    if (!status) status = measure(model, plan, &options, &sizes, error);
    if (status) return status;
    es_session *session = model->allocator.allocate(model->allocator.context, sizes.end);
    if (!session) {
        es_format_error(error, "plan %s needs %llu bytes besides its weights", plan->name, (unsigned long long)sizes.end);
        return ES_MEMORY_EXHAUSTED;
    }
    uint8_t *base = (uint8_t *)session;
    session->model = model;
    session->plan = plan;
    session->threads = options.threads;
    session->parallel = options.parallel;
    session->parallel_context = options.parallel_context;
    session->launches = (es_launch *)(void *)(base + sizes.launches);
    session->timings = (es_timing *)(void *)(base + sizes.timings);
    session->bound = (es_bound *)(void *)(base + sizes.bound);
    session->checks = (es_port_checks *)(void *)(base + sizes.checks);
    session->port_numbers = (uint32_t *)(void *)(base + sizes.port_numbers);
    for (uint32_t port = 0; port < es_session_ports(session); port++)
        session->port_numbers[es_session_tensor(session, port) - model->tensors] = port;
    session->patches = (es_patch *)(void *)(base + sizes.patches);
    session->thread_scratch = base + sizes.thread_scratch;
    session->thread_scratch_bytes = sizes.thread_scratch_bytes;
    session->arena = base + sizes.arena + ES_READ_MARGIN;
    session->state = base + sizes.state;
    session->bytes = sizes.end;
    atomic_init(&session->busy, 0);
    atomic_init(&session->cancelled, 0);
    prepare(session, &options, &sizes);
    es_find_checks(session);
    if (!options.parallel && options.threads > 1) {
        es_pool *pool = (es_pool *)(void *)(base + sizes.pool);
        status = es_pool_start(pool, options.threads);
        if (status) {
            es_format_error(error, "%u threads cannot be started", (unsigned)options.threads);
            es_session_close(session);
            return status;
        }
        session->pool = pool;
    }
    *created = session;
    return ES_OK;
}

void es_session_close(es_session *session)
{
    if (!session) return;
    if (session->pool && es_pool_alive(session->pool)) es_pool_stop(session->pool);
    const es_allocator *allocator = &session->model->allocator;
    allocator->release(allocator->context, session, session->bytes);
}
