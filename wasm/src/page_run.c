/* Exports: inputs and outputs, runs, pictures, profiles. */
#include "page.h"

uint32_t ES_EXPORT(input_count)(const es_page *page)
{
    uint32_t inputs, outputs;
    es_session_port_counts(page->session, &inputs, &outputs);
    return inputs;
}

uint32_t ES_EXPORT(output_count)(const es_page *page)
{
    uint32_t inputs, outputs;
    es_session_port_counts(page->session, &inputs, &outputs);
    return outputs;
}

/* Look at an input or output: the functions below tell of this one. */
es_status ES_EXPORT(port)(es_page *page, uint32_t number)
{
    return es_page_status(page, es_session_port(page->session, number, &page->port));
}
const char *ES_EXPORT(port_name)(const es_page *page) { return page->port.name; }
uint32_t ES_EXPORT(port_dtype)(const es_page *page) { return page->port.dtype; }
uint32_t ES_EXPORT(port_rank)(const es_page *page) { return page->port.rank; }
double ES_EXPORT(port_length)(const es_page *page, uint32_t axis) { return (double)page->port.shape[axis % 6]; }
double ES_EXPORT(port_bytes)(const es_page *page) { return (double)page->port.bytes; }
int ES_EXPORT(port_nhwc)(const es_page *page) { return page->port.nhwc; }
int ES_EXPORT(port_symbolic)(const es_page *page) { return page->port.symbolic; }

es_status ES_EXPORT(bind)(es_page *page, uint32_t number, void *data, size_t bytes)
{
    return es_page_status(page, es_session_bind(page->session, number, data, bytes));
}
es_status ES_EXPORT(run)(es_page *page) { return es_page_status(page, es_session_run(page->session)); }
void ES_EXPORT(reset)(es_page *page) { es_session_reset(page->session); }
int ES_EXPORT(ends_in_softmax)(const es_page *page) { return es_session_ends_in_softmax(page->session); }

/* RGBA pixels to an input's array. */
es_status ES_EXPORT(preprocess)(es_page *page, const uint8_t *pixels, uint32_t width, uint32_t height, float *input,
                                size_t input_bytes)
{
    es_image image = {.pixels = pixels, .width = width, .height = height, .channels = 4};
    size_t scratch_bytes = es_image_scratch_bytes(page->model, &image);
    void *scratch = scratch_bytes ? malloc(scratch_bytes) : NULL;
    if (scratch_bytes && !scratch) return ES_MEMORY_EXHAUSTED;
    es_status status = es_image_preprocess(page->model, &image, scratch, scratch_bytes, input, input_bytes);
    free(scratch);
    return status;
}

void ES_EXPORT(set_profiling)(es_page *page, int on) { es_session_set_profiling(page->session, on); }
uint32_t ES_EXPORT(step_count)(const es_page *page) { return es_session_step_count(page->session); }
/* Look at a step: the functions below tell of this one. */
es_status ES_EXPORT(step)(es_page *page, uint32_t number)
{
    return es_page_status(page, es_session_step(page->session, number, &page->step));
}
const char *ES_EXPORT(step_name)(const es_page *page) { return page->step.step; }
const char *ES_EXPORT(step_op)(const es_page *page) { return page->step.op; }
const char *ES_EXPORT(step_kernel)(const es_page *page) { return page->step.kernel; }
double ES_EXPORT(step_runs)(const es_page *page) { return (double)page->step.runs; }
double ES_EXPORT(step_nanoseconds)(const es_page *page) { return (double)page->step.nanoseconds; }
double ES_EXPORT(step_nanoseconds_min)(const es_page *page) { return (double)page->step.nanoseconds_min; }
double ES_EXPORT(step_density)(const es_page *page) { return page->step.density; }
