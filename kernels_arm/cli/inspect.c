/* edge-sparse inspect: what a file holds and what would run it. */
#include <string.h>

#include "command.h"

static int inspect(int count, char **arguments);

const es_cli_command es_cli_inspect = {
    "inspect", "show plans, inputs, outputs and kernels of a file",
    "usage: edge-sparse inspect MODEL.egs [--json]\n"
    "\n"
    "Checks the file completely and shows its plans, and the kernel of every step on this machine. The Python program\n"
    "shows layers, sizes and metadata too.\n",
    inspect};

static void print_port(const es_port *port, bool input)
{
    static const char *const types[] = {"", "float32", "float16", "int8", "uint8", "int32", "s4", "ternary"};
    uint64_t shape[6];
    memcpy(shape, port->shape, sizeof shape);
    bool swapped = port->nhwc && port->rank == 4;
    if (swapped) {
        shape[1] = port->shape[2];
        shape[2] = port->shape[3];
        shape[3] = port->shape[1];
    }
    printf("  %s %s: %s", input ? "input" : "output", port->name, types[port->dtype]);
    for (uint32_t axis = 0; axis < port->rank; axis++)
        printf("%s%llu", axis ? "x" : port->symbolic ? " up to " : " ", (unsigned long long)shape[axis]);
    printf("%s\n", swapped ? " (nhwc)" : "");
}

static void print_json_port(const es_port *port, bool first)
{
    printf("%s{\"name\": ", first ? "" : ", ");
    es_cli_write_json_text(stdout, port->name, strlen(port->name));
    printf(", \"bytes\": %llu, \"symbolic\": %s}", (unsigned long long)port->bytes, port->symbolic ? "true" : "false");
}

static void print_plan(const es_session *session, const char *name, uint64_t bytes, bool json, bool first)
{
    uint32_t inputs, outputs;
    es_session_port_counts(session, &inputs, &outputs);
    if (json) {
        printf("%s{\"name\": ", first ? "" : ", ");
        es_cli_write_json_text(stdout, name, strlen(name));
        printf(", \"session_bytes\": %llu, \"ports\": [", (unsigned long long)bytes);
    } else {
        printf("plan %s: ", name[0] ? name : "(without a name)");
        es_cli_write_bytes(stdout, (double)bytes);
        printf(" besides the weights\n");
    }
    for (uint32_t number = 0; number < inputs + outputs; number++) {
        es_port port;
        if (es_session_port(session, number, &port)) continue;
        if (json)
            print_json_port(&port, number == 0);
        else
            print_port(&port, number < inputs);
    }
    if (json) printf("], \"steps\": [");
    for (uint32_t number = 0; number < es_session_step_count(session); number++) {
        es_step_profile step;
        if (es_session_step(session, number, &step)) continue;
        if (json) {
            printf("%s{\"step\": ", number ? ", " : "");
            es_cli_write_json_text(stdout, step.step, strlen(step.step));
            printf(", \"op\": \"%s\", \"kernel\": \"%s\"}", step.op, step.kernel);
        } else {
            printf("  %4u  %-30.30s %-34s", (unsigned)number, step.step, step.kernel);
            if (step.density >= 0) printf(" %3.0f%% kept", 100 * step.density);
            printf("\n");
        }
    }
    if (json) printf("]}");
}

static int inspect(int count, char **arguments)
{
    es_cli_option options[] = {{.name = "json"}, {.name = NULL}};
    const char *path, *name;
    int code = es_cli_parse(&es_cli_inspect, count, arguments, options, &path);
    if (code) return code < 0 ? 0 : code;
    bool json = es_cli_value(options, "json");
    es_model *model;
    code = es_cli_open(path, &model);
    if (code) return code;
    if (json) printf("{\"plans\": [");
    for (uint32_t plan = 0; !code && (name = es_model_plan_name(model, plan)); plan++) {
        es_session *session;
        es_error error;
        es_status status = es_session_create(model, name, NULL, &session, &error);
        if (status)
            code = es_cli_fail_status(status, error.message);
        else
            print_plan(session, name, es_model_session_bytes(model, name, NULL), json, plan == 0);
        es_session_close(session);
    }
    uint32_t labels = 0;
    while (es_model_label(model, labels)) labels++;
    if (json && !code)
        printf("], \"labels\": %u}\n", (unsigned)labels);
    else if (!code && labels)
        printf("labels: %u, from %s\n", (unsigned)labels, es_model_label(model, 0));
    es_model_close(model);
    return code;
}
