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

/* All runs, with arrays for inputs and outputs, which stay the caller's to free. */
static int run_all(es_session *session, uint32_t inputs, uint32_t outputs, void **arrays, FILE *in, FILE *out)
{
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

static void tell_kernels(es_session *session)
{
    for (uint32_t number = 0; number < es_session_step_count(session); number++) {
        es_step_profile step;
        es_session_step(session, number, &step);
        printf("%s\n", step.kernel);
    }
}

static int run_files(es_session *session, const char *given, const char *taken)
{
    void *arrays[LARGEST_PORTS] = {0};
    uint32_t inputs, outputs;
    es_session_port_counts(session, &inputs, &outputs);
    if (inputs + outputs > LARGEST_PORTS) return broken("too many inputs");
    FILE *in = fopen(given, "rb"), *out = fopen(taken, "wb");
    int code = in && out ? run_all(session, inputs, outputs, arrays, in, out) : broken("a file cannot be opened");
    for (int number = 0; number < LARGEST_PORTS; number++) free(arrays[number]);
    if (in) fclose(in);
    if (out && fclose(out) && !code) code = broken("outputs cannot be written");
    return code;
}

int main(int count, char **arguments)
{
    if (count != 7) return broken("replay MODEL.egs PLAN VARIANTS THREADS INPUTS OUTPUTS");
    es_model *model;
    es_session *session = NULL;
    es_error error = {{0}};
    es_session_options options = {.threads = (uint32_t)atoi(arguments[4]), .variants = (uint32_t)atoi(arguments[3])};
    es_status status = es_model_open(arguments[1], NULL, &model, &error);
    if (!status) status = es_session_create(model, arguments[2], &options, &session, &error);
    int code = status ? fail(status, error.message) : 0;
    if (!code) tell_kernels(session);
    if (!code) code = run_files(session, arguments[5], arguments[6]);
    es_session_close(session);
    es_model_close(model);
    return code;
}
