/* Inputs, outputs and state of a session by name and number, and what runs for its steps. */
#include <string.h>

#include "ops.h"
#include "session.h"

void es_session_port_counts(const es_session *session, uint32_t *inputs, uint32_t *outputs)
{
    if (inputs) *inputs = session ? session->plan->input_count : 0;
    if (outputs) *outputs = session ? session->plan->output_count : 0;
}

es_status es_session_port(const es_session *session, uint32_t number, es_port *port)
{
    if (!session || !port) return ES_ARGUMENT_NULL;
    if (number >= es_session_ports(session)) return ES_PORT_UNKNOWN;
    const es_tensor *tensor = es_session_tensor(session, number);
    memset(port, 0, sizeof *port);
    port->name = tensor->name;
    port->dtype = tensor->dtype;
    port->rank = tensor->rank;
    memcpy(port->shape, tensor->shape, sizeof port->shape);
    port->bytes = es_tensor_size(tensor) * es_dtype_bytes(tensor->dtype);
    port->nhwc = tensor->layout == ES_NHWC;
    port->symbolic = tensor->symbol_axis == 0;
    return ES_OK;
}

es_status es_session_find_port(const es_session *session, const char *name, uint32_t *number)
{
    if (!session || !name || !number) return ES_ARGUMENT_NULL;
    for (uint32_t port = 0; port < es_session_ports(session); port++)
        if (!strcmp(es_session_tensor(session, port)->name, name)) {
            *number = port;
            return ES_OK;
        }
    return ES_PORT_UNKNOWN;
}

es_status es_session_bind(es_session *session, uint32_t number, void *data, size_t bytes)
{
    if (!session) return ES_ARGUMENT_NULL;
    session->error[0] = 0;
    if (number >= es_session_ports(session))
        return es_session_fail(session, ES_PORT_UNKNOWN, "port %u of %u", (unsigned)number,
                               (unsigned)es_session_ports(session));
    const es_tensor *tensor = es_session_tensor(session, number);
    if (!data) return es_session_fail(session, ES_ARGUMENT_NULL, "%s is bound to a null pointer", tensor->name);
    size_t element = es_dtype_bytes(tensor->dtype);
    uint64_t whole = es_tensor_size(tensor) * element, row = tensor->rank ? whole / tensor->shape[0] : whole;
    bool symbolic = tensor->symbol_axis == 0;
    if (symbolic ? !bytes || bytes > whole || bytes % row : bytes != whole)
        return es_session_fail(session, ES_INPUT_SHAPE, "%s has %llu bytes, not %s%llu", tensor->name,
                               (unsigned long long)bytes, symbolic ? "whole rows up to " : "",
                               (unsigned long long)whole);
    if ((uintptr_t)data % element)
        return es_session_fail(session, ES_INPUT_ALIGNMENT, "%s is not aligned to %u bytes", tensor->name,
                               (unsigned)element);
    session->bound[number] = (es_bound){data, bytes};
    return ES_OK;
}

const char *es_session_error(const es_session *session) { return session ? session->error : ""; }

es_status es_session_state(es_session *session, const char *name, void **data, size_t *bytes)
{
    if (!session || !name || !data || !bytes) return ES_ARGUMENT_NULL;
    session->error[0] = 0;
    for (uint32_t number = 0; number < session->model->tensor_count; number++) {
        const es_tensor *tensor = &session->model->tensors[number];
        if (tensor->storage != ES_STATE || strcmp(tensor->name, name)) continue;
        *data = session->state + tensor->extent[0];
        *bytes = (size_t)(tensor->extent[1] - tensor->extent[0]);
        return ES_OK;
    }
    return es_session_fail(session, ES_STATE_UNKNOWN, "there is no state %.100s", name);
}

void es_session_reset(es_session *session)
{
    if (!session) return;
    memset(session->state, 0, (size_t)session->model->state_bytes);
    session->resets++;
}

uint32_t es_session_step_count(const es_session *session) { return session ? session->plan->step_count : 0; }

es_status es_session_step(const es_session *session, uint32_t number, es_step_profile *profile)
{
    if (!session || !profile) return ES_ARGUMENT_NULL;
    if (number >= session->plan->step_count) return ES_ARGUMENT_RANGE;
    const es_launch *launch = &session->launches[number];
    const es_timing *timing = &session->timings[number];
    *profile = (es_step_profile){launch->step->name,  es_find_op(launch->step->op)->name, launch->kernel->name, timing->runs,
                                 timing->nanoseconds, timing->runs ? timing->minimum : 0, -1.0};
    if (launch->step->op == ES_SPMM) {
        const es_matrix *matrix = &session->model->matrices[launch->step->words[ES_SPMM_MATRIX]];
        profile->density = (double)matrix->kept_weights / ((double)matrix->rows * matrix->columns);
    }
    return ES_OK;
}

uint32_t es_cpu_variants(void) { return es_detect_variants() & es_built_variants(); }

const char *es_cpu_description(void)
{
    uint32_t variants = es_detect_variants();
    if (variants & ES_VARIANT_AVX2) return "AVX2, FMA";
    if (variants & ES_VARIANT_DOTPROD) return "NEON, dot product";
    if (!(variants & ES_VARIANT_VECTOR)) return "scalar";
#if defined(__aarch64__)
    return "NEON";
#elif defined(__wasm__)
    return "SIMD128";
#else
    return "SSE2";
#endif
}

int es_session_ends_in_softmax(const es_session *session)
{
    if (!session) return 0;
    int32_t number = (int32_t)session->plan->outputs[0];
    for (uint32_t step = session->plan->step_count; step--;) {
        const es_step *writer = &session->plan->steps[step];
        if (writer->output != number) continue;
        if (writer->op != ES_COPY) return writer->op == ES_SOFTMAX;
        number = writer->inputs[0];
    }
    return 0;
}
