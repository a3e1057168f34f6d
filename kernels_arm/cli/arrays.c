/* Memory for the inputs and outputs of a session. */
#include <stdlib.h>
#include <string.h>

#include "command.h"

static int no_memory(void)
{
    return es_cli_fail_status(ES_MEMORY_EXHAUSTED, "no memory for inputs and outputs");
}

int es_cli_make_arrays(es_session *session, es_cli_arrays *arrays)
{
    uint32_t outputs;
    memset(arrays, 0, sizeof *arrays);
    arrays->session = session;
    es_session_port_counts(session, &arrays->inputs, &outputs);
    arrays->arrays = calloc(arrays->inputs + outputs + 1, sizeof *arrays->arrays);
    if (!arrays->arrays) return no_memory();
    arrays->count = arrays->inputs + outputs;
    for (uint32_t number = 0; number < arrays->count; number++)
        es_session_port(session, number, &arrays->arrays[number].port);
    return 0;
}

uint64_t es_cli_rows(const es_cli_array *array)
{
    return array->port.symbolic ? array->bytes / (array->port.bytes / array->port.shape[0]) : array->port.shape[0];
}

/* Numbers from -1 to 1 without a period that a cache could know. */
static void fill(es_cli_array *array)
{
    if (array->port.dtype != ES_F32) return;
    float *values = array->data;
    uint32_t state = 1;
    for (size_t i = 0; i < array->bytes / sizeof *values; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(state >> 8) * (2.0f / 16777216.0f) - 1.0f;
    }
}

int es_cli_bind_arrays(es_cli_arrays *arrays)
{
    uint64_t tokens = 0;
    for (uint32_t number = 0; number < arrays->inputs; number++)
        if (arrays->arrays[number].data && arrays->arrays[number].port.symbolic)
            tokens = es_cli_rows(&arrays->arrays[number]);
    for (uint32_t number = 0; number < arrays->count; number++) {
        es_cli_array *array = &arrays->arrays[number];
        if (!array->data) {
            uint64_t bytes = array->port.bytes;
            if (array->port.symbolic && tokens && tokens < array->port.shape[0])
                bytes = bytes / array->port.shape[0] * tokens;
            if (bytes > SIZE_MAX) return no_memory();
            array->bytes = (size_t)bytes;
            array->data = calloc(1, array->bytes);
            if (!array->data) return no_memory();
            if (number < arrays->inputs) fill(array);
        }
        es_status status = es_session_bind(arrays->session, number, array->data, array->bytes);
        if (status) return es_cli_fail_status(status, es_session_error(arrays->session));
    }
    return 0;
}

void es_cli_free_arrays(es_cli_arrays *arrays)
{
    for (uint32_t number = 0; number < arrays->count; number++) free(arrays->arrays[number].data);
    free(arrays->arrays);
    arrays->arrays = NULL;
    arrays->count = 0;
}

int es_cli_find_input(const es_cli_arrays *arrays, const char *name, uint32_t *number)
{
    es_status status = es_session_find_port(arrays->session, name, number);
    if (!status && *number < arrays->inputs) return 0;
    return es_cli_fail(ES_EXIT_INPUT, "INPUT_NAME", "edge-sparse inspect shows the names",
                       "the model has no input %s", name);
}
