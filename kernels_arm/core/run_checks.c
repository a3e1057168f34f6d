/* What must hold of the arrays and numbers of a run before any kernel sees them; see backends/run_checks.py. */
#include <stdarg.h>
#include <string.h>

#include "session.h"
#include "words.h"

es_status es_session_fail(es_session *session, es_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    es_words_of(session->error, sizeof session->error, format, arguments);
    va_end(arguments);
    return status;
}

void es_format_error(es_error *error, const char *format, ...)
{
    if (!error) return;
    va_list arguments;
    va_start(arguments, format);
    es_words_of(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
}

static void lower(int64_t *limit, int64_t other)
{
    if (!*limit || other < *limit) *limit = other;
}

/* The checks of the input that a step reads as operand number index. */
static es_port_checks *checks_of(es_session *session, const es_step *step, int index)
{
    return &session->checks[session->port_numbers[step->inputs[index]]];
}

void es_find_checks(es_session *session)
{
    for (uint32_t number = 0; number < session->plan->step_count; number++) {
        const es_launch *launch = &session->launches[number];
        const es_step *step = launch->step;
        if (step->op == ES_EMBEDDING) {
            int64_t table = launch->in[1] ? (int64_t)launch->in[1]->shape[0]
                                          : (int64_t)launch->model->matrices[step->words[0]].rows;
            lower(&checks_of(session, step, 0)->vocabulary, table);
        } else if (step->op == ES_ROPE) {
            lower(&checks_of(session, step, 1)->capacity, INT32_MAX);
        } else if (step->op == ES_ATTENTION_OP) {
            lower(&checks_of(session, step, 5)->capacity, (int64_t)launch->in[3]->shape[0]);
        } else if (step->op == ES_DELTA_ATTENTION) {
            lower(&checks_of(session, step, 5)->capacity, (int64_t)launch->in[4]->shape[0]);
            session->has_windows = true;
        }
    }
}

static es_status find_tokens(es_session *session, int64_t *tokens)
{
    const es_plan *plan = session->plan;
    *tokens = plan->symbol_max ? plan->symbol_max : 1;
    bool known = false;
    for (uint32_t port = 0; port < es_session_ports(session); port++) {
        const es_tensor *tensor = es_session_tensor(session, port);
        const es_bound *bound = &session->bound[port];
        if (!bound->data)
            return es_session_fail(session, ES_INPUT_MISSING, "nothing is bound to %s", tensor->name);
        if (tensor->symbol_axis != 0) continue;
        int64_t rows = (int64_t)(bound->bytes / (es_tensor_size(tensor) / tensor->shape[0] *
                                                 es_dtype_bytes(tensor->dtype)));
        if (port >= plan->input_count) {
            if (rows < *tokens)
                return es_session_fail(session, ES_INPUT_SHAPE, "output %s has room for %lld of %lld %s", tensor->name,
                                       (long long)rows, (long long)*tokens, plan->symbol);
        } else if (known && rows != *tokens) {
            return es_session_fail(session, ES_INPUT_SYMBOL, "inputs disagree about %s: %lld and %lld", plan->symbol,
                                   (long long)*tokens, (long long)rows);
        } else {
            *tokens = rows;
            known = true;
        }
    }
    return ES_OK;
}

/* Numbers that were checked must not change while steps use them. */
static es_status check_apart(es_session *session, uint32_t port)
{
    const es_bound *numbers = &session->bound[port];
    uintptr_t begin = (uintptr_t)numbers->data, end = begin + numbers->bytes;
    for (uint32_t output = session->plan->input_count; output < es_session_ports(session); output++) {
        const es_bound *other = &session->bound[output];
        if ((uintptr_t)other->data < end && begin < (uintptr_t)other->data + other->bytes)
            return es_session_fail(session, ES_ARGUMENT_RANGE, "the arrays of %s and %s overlap",
                                   es_session_tensor(session, port)->name, es_session_tensor(session, output)->name);
    }
    return ES_OK;
}

static es_status check_numbers(es_session *session, uint32_t port, int64_t tokens)
{
    const es_port_checks *checks = &session->checks[port];
    const char *name = es_session_tensor(session, port)->name;
    const int32_t *numbers = (const int32_t *)(const void *)session->bound[port].data;
    size_t count = session->bound[port].bytes / sizeof *numbers;
    for (size_t i = 0; checks->vocabulary && i < count; i++)
        if (numbers[i] < 0 || numbers[i] >= checks->vocabulary)
            return es_session_fail(session, ES_TOKEN_RANGE, "%s holds token %d of a vocabulary of %lld", name,
                                   (int)numbers[i], (long long)checks->vocabulary);
    if (!checks->capacity) return ES_OK;
    if (numbers[0] < 0)
        return es_session_fail(session, ES_POSITION_RANGE, "%s is %d", name, (int)numbers[0]);
    if (numbers[0] + tokens > checks->capacity)
        return es_session_fail(session, ES_POSITION_RANGE, "%lld tokens at position %d exceed the %lld of the cache",
                               (long long)tokens, (int)numbers[0], (long long)checks->capacity);
    return ES_OK;
}

static es_status check_window(es_session *session, const es_launch *launch, int64_t tokens)
{
    int32_t numbers[2], stored;
    memcpy(numbers, launch->in_data[5], sizeof numbers);
    memcpy(&stored, launch->in_data[7], sizeof stored);
    int64_t position = numbers[0], window = numbers[1];
    if (window < 1)
        return es_session_fail(session, ES_WINDOW_RANGE, "the window is %lld tokens", (long long)window);
    int64_t room = (int64_t)launch->in[6]->shape[0] - 1 - es_word(launch, ES_ATT_SINKS);
    int64_t needed = position % window + tokens;
    if (needed > room)
        return es_session_fail(session, ES_WINDOW_RANGE,
                               "a window of %lld tokens needs %lld exact keys, there is room for %lld",
                               (long long)window, (long long)needed, (long long)room);
    if (position > stored)
        return es_session_fail(session, ES_POSITION_RANGE, "position %lld leaves tokens out: %d are stored",
                               (long long)position, (int)stored);
    return ES_OK;
}

es_status es_check_run(es_session *session, int64_t *tokens)
{
    es_status status = find_tokens(session, tokens);
    for (uint32_t port = 0; !status && port < session->plan->input_count; port++)
        if (session->checks[port].vocabulary || session->checks[port].capacity)
            status = check_apart(session, port) ? ES_ARGUMENT_RANGE : check_numbers(session, port, *tokens);
    for (uint32_t number = 0; !status && session->has_windows && number < session->plan->step_count; number++)
        if (session->launches[number].step->op == ES_DELTA_ATTENTION)
            status = check_window(session, &session->launches[number], *tokens);
    return status;
}
