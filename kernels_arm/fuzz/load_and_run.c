/* libFuzzer target: a file with right checksums is refused, or it runs and stays inside its memory. Some executions let
 * an allocation fail. fuzz.py builds it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "seal.h"
#include "session.h"
#include "use_records.h"
#include "use_text.h"

/* Arrays, arena and state of a model that is run; time grows with them. */
enum { LARGEST_SESSION = 1 << 20, LARGEST_PORTS = 32, HEADER_BYTES = 64, GUARD = 0x5A };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct failing_allocator {
    int left; /* calls until one fails; negative: none does */
    int64_t bytes;
} failing_allocator;

static void *allocate(void *context, size_t size)
{
    failing_allocator *state = context;
    if (state->left >= 0 && state->left-- == 0) return NULL;
    void *memory = size <= (size_t)1 << 30 ? aligned_alloc(64, (size + 63) / 64 * 64) : NULL;
    if (!memory) return NULL;
    memset(memory, 0, size);
    state->bytes += (int64_t)size;
    return memory;
}

static void release(void *context, void *memory, size_t size)
{
    failing_allocator *state = context;
    state->bytes -= (int64_t)size;
    free(memory);
}

static void stop(const char *problem)
{
    fprintf(stderr, "%s\n", problem);
    abort();
}

/* Small numbers, as tokens and positions are; small floats too. */
static void fill(uint8_t *data, const es_port *port, uint64_t bytes, uint32_t seed)
{
    uint64_t size = es_dtype_bytes(port->dtype);
    for (uint64_t at = 0; at + size <= bytes; at += size) {
        seed = seed * 1664525u + 1013904223u;
        int32_t integer = (int32_t)(seed >> 29);
        float number = (float)(int32_t)seed / 1e9f;
        if (port->dtype == ES_F32) memcpy(data + at, &number, sizeof number);
        else if (size == 4) memcpy(data + at, &integer, sizeof integer);
        else data[at] = (uint8_t)integer;
    }
}

static void guard(es_session *session, int check)
{
    uint8_t *ends[2] = {session->arena - ES_READ_MARGIN, session->arena + session->plan->arena_bytes};
    for (int end = 0; end < 2; end++) {
        if (!check) memset(ends[end], GUARD, ES_READ_MARGIN);
        for (int at = 0; check && at < ES_READ_MARGIN; at++)
            if (ends[end][at] != GUARD) stop("a kernel wrote outside the arena");
    }
}

static void run(es_session *session, uint32_t seed)
{
    uint32_t inputs, outputs;
    uint8_t *arrays[LARGEST_PORTS] = {0};
    es_session_port_counts(session, &inputs, &outputs);
    if (inputs + outputs > LARGEST_PORTS) return;
    uint64_t rows = 0;
    for (int turn = 0; turn < 3; turn++) {
        for (uint32_t number = 0; number < inputs + outputs; number++) {
            es_port port;
            if (es_session_port(session, number, &port)) stop("a port has no description");
            uint64_t bytes = port.bytes;
            if (port.symbolic && !rows) rows = port.shape[0];
            if (port.symbolic) bytes = port.bytes / port.shape[0] * (turn == 1 ? 1 : rows);
            free(arrays[number]);
            arrays[number] = malloc((size_t)bytes);
            if (!arrays[number]) abort();
            fill(arrays[number], &port, bytes, seed + number + (uint32_t)turn);
            if (es_session_bind(session, number, arrays[number], (size_t)bytes)) stop("an array cannot be bound");
        }
        guard(session, 0);
        es_session_run(session);
        guard(session, 1);
    }
    for (uint32_t number = 0; number < inputs + outputs; number++) free(arrays[number]);
}

static uint64_t port_bytes(const es_model *model, const es_plan *plan)
{
    uint64_t bytes = 0;
    for (uint32_t port = 0; port < plan->input_count + plan->output_count && bytes <= LARGEST_SESSION; port++) {
        const es_tensor *tensor = &model->tensors[plan->inputs[port]];
        bytes += es_tensor_size(tensor) * es_dtype_bytes(tensor->dtype);
    }
    return bytes;
}

static void run_plans(const es_model *model, uint32_t seed)
{
    for (uint32_t number = 0; number < model->plan_count; number++) {
        const es_plan *plan = &model->plans[number];
        es_session_options options = {.threads = 1, .variants = seed >> 8 & 1 ? ES_VARIANT_ALL : 1u << (seed >> 9) % 3};
        if (port_bytes(model, plan) > LARGEST_SESSION || plan->arena_bytes > LARGEST_SESSION ||
            model->state_bytes > LARGEST_SESSION)
            continue;
        if (!number) use_text(model, seed);
        uint64_t bytes = es_model_session_bytes(model, plan->name, &options);
        es_session *session = NULL;
        if (bytes && bytes <= 16 * LARGEST_SESSION && !es_session_create(model, plan->name, &options, &session, NULL))
            run(session, seed);
        es_session_close(session);
    }
}

/* What a download may know, asked with exactly the bytes that are there. */
static es_status expect(const uint8_t *data, size_t size, uint64_t *file_bytes)
{
    size_t length = size < HEADER_BYTES ? size : HEADER_BYTES;
    for (;;) {
        es_expectation found;
        uint8_t *head = malloc(length ? length : 1);
        if (!head) abort();
        memcpy(head, data, length);
        es_status status = es_model_expect(head, length, &found, NULL);
        free(head);
        *file_bytes = found.file_bytes;
        if (status || found.head_bytes <= length || found.head_bytes > size) return status;
        length = (size_t)found.head_bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t seed = es_crc32_tables(0, data, size);
    failing_allocator state = {.left = seed % 8 ? -1 : (int)(seed / 8 % 6)};
    es_allocator allocator = {allocate, release, &state};
    es_model_options options = {.allocator = &allocator};
    es_model *model = NULL;
    es_error error;
    /* At any address, with nothing behind it. */
    size_t shift = seed >> 16 & 7;
    uint8_t *copy = malloc(size + shift);
    if (!copy) return 0;
    memcpy(copy + shift, data, size);
    seal(copy + shift, size);
    es_status status = es_model_open_memory(copy + shift, size, &options, &model, &error);
    if (!status != (model != NULL)) stop("status and model disagree");
    if (status && !error.message[0] && status != ES_MEMORY_EXHAUSTED) stop("an error without words");
    uint64_t file_bytes = 0;
    es_status expected = expect(copy + shift, size, &file_bytes);
    if (model && (expected || file_bytes != size)) stop("a model opens although its beginning is wrong");
    if (model) {
        use_tokenizer(model, seed >> 3);
        use_image(model, seed >> 3);
        run_plans(model, seed);
    }
    es_model_close(model);
    if (state.bytes) stop("memory is lost");
    free(copy);
    return 0;
}
