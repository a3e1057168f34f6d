/* Errors on stderr, with the codes, words and exit codes of the Python program. */
#include <stdarg.h>
#include <string.h>

#include "command.h"

static bool json;

void es_cli_set_json(bool on) { json = on; }

int es_cli_fail(int exit_code, const char *code, const char *hint, const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (json) {
        fprintf(stderr, "{\"error\": {\"code\": \"%s\", \"message\": ", code);
        es_cli_write_json_text(stderr, message, strlen(message));
        fprintf(stderr, ", \"hint\": ");
        es_cli_write_json_text(stderr, hint, strlen(hint));
        fprintf(stderr, "}}\n");
        return exit_code;
    }
    fflush(stdout);
    fprintf(stderr, "error [%s]: ", code);
    es_cli_write_text(stderr, message, strlen(message));
    if (hint[0]) {
        fprintf(stderr, "\nnext step: ");
        es_cli_write_text(stderr, hint, strlen(hint));
    }
    fputc('\n', stderr);
    return exit_code;
}

static int exit_code_of(es_status status)
{
    switch (status) {
    case ES_CANCELLED: return ES_EXIT_INTERRUPTED;
    case ES_MEMORY_EXHAUSTED:
    case ES_THREADS_UNAVAILABLE:
    case ES_OP_UNSUPPORTED:
    case ES_SESSION_BUSY: return ES_EXIT_BACKEND;
    /* The codes of files come first in the list. */
    default: return status <= ES_METADATA_JSON ? ES_EXIT_FILE : ES_EXIT_INPUT;
    }
}

int es_cli_fail_status(es_status status, const char *message)
{
    if (!message || !message[0]) message = es_status_name(status);
    return es_cli_fail(exit_code_of(status), es_status_name(status), es_status_hint(status), "%s", message);
}

int es_cli_open(const char *path, es_model **model)
{
    es_error error = {{0}};
    es_status status = es_model_open(path, NULL, model, &error);
    if (!status) return 0;
    char message[400];
    snprintf(message, sizeof message, "%.120s: %s", path, error.message[0] ? error.message : es_status_name(status));
    return es_cli_fail_status(status, message);
}
