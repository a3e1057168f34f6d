/* Runs a plan on inputs from a file and writes the outputs, for tests on processors that have no Python here.
 *
 *     replay MODEL.egs PLAN VARIANTS THREADS INPUTS OUTPUTS
 *
 * Both files hold, for every run and every input or output in the order of the ports, a length as u64 and so many bytes,
 * little-endian. One session runs them all. Kernels are told on stdout, one a line. Ends with the status's number. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_sparse.h"

enum { LARGEST_PORTS = 64, BROKEN = 250 };

static int fail(es_status status, const char *message)
{
    fprintf(stderr, "%s: %s\n", es_status_name(status), message);
    return (int)status;
}

static int broken(const char *what)
{
    fprintf(stderr, "%s\n", what);
    return BROKEN;
}

/* One array of a run; false at the end of the file. */
static bool read_array(FILE *file, void **data, uint64_t *bytes)
{
    if (fread(bytes, sizeof *bytes, 1, file) != 1 || *bytes > 1u << 30) return false;
    *data = malloc((size_t)*bytes + 1);
    return *data && fread(*data, 1, (size_t)*bytes, file) == *bytes;
}

/* Bytes of an output in a run in which symbolic inputs have so many rows. */
static uint64_t output_bytes(const es_port *port, uint64_t rows)
{
    return port->symbolic && rows ? port->bytes / port->shape[0] * rows : port->bytes;
}

static int run_all(es_session *session, FILE *in, FILE *out)
{
    void *arrays[LARGEST_PORTS] = {0};
    uint32_t inputs, outputs;
    es_session_port_counts(session, &inputs, &outputs);
    if (inputs + outputs > LARGEST_PORTS) return broken("too many inputs");
    for (;;) {
        uint64_t rows = 0, bytes;
        for (uint32_t number = 0; number < inputs + outputs; number++) {
            es_port port;
            es_session_port(session, number, &port);
            free(arrays[number]);
            arrays[number] = NULL;
            if (number < inputs) {
                if (!read_array(in, &arrays[number], &bytes)) return number ? broken("inputs end early") : 0;
                if (port.symbolic) rows = bytes / (port.bytes / port.shape[0]);
            } else {
                bytes = output_bytes(&port, rows);
                arrays[number] = malloc((size_t)bytes);
            }
            es_status status = es_session_bind(session, number, arrays[number], (size_t)bytes);
            if (status) return fail(status, es_session_error(session));
        }
        es_status status = es_session_run(session);
        if (status) return fail(status, es_session_error(session));
        for (uint32_t number = inputs; number < inputs + outputs; number++) {
            es_port port;
            es_session_port(session, number, &port);
            bytes = output_bytes(&port, rows);
            fwrite(&bytes, sizeof bytes, 1, out);
            fwrite(arrays[number], 1, (size_t)bytes, out);
        }
    }
}

int main(int count, char **arguments)
{
    if (count != 7) return broken("replay MODEL.egs PLAN VARIANTS THREADS INPUTS OUTPUTS");
    es_model *model;
    es_session *session;
    es_error error = {{0}};
    es_status status = es_model_open(arguments[1], NULL, &model, &error);
    if (status) return fail(status, error.message);
    es_session_options options = {.threads = (uint32_t)atoi(arguments[4]), .variants = (uint32_t)atoi(arguments[3])};
    status = es_session_create(model, arguments[2], &options, &session, &error);
    if (status) return fail(status, error.message);
    for (uint32_t number = 0; number < es_session_step_count(session); number++) {
        es_step_profile step;
        es_session_step(session, number, &step);
        printf("%s\n", step.kernel);
    }
    FILE *in = fopen(arguments[5], "rb"), *out = fopen(arguments[6], "wb");
    if (!in || !out) return broken("a file cannot be opened");
    int code = run_all(session, in, out);
    fclose(in);
    if (fclose(out)) return broken("outputs cannot be written");
    es_session_close(session);
    es_model_close(model);
    return code;
}
