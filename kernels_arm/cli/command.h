/* What the commands of the program share: options, errors, text and JSON, files, time. */
#ifndef ES_CLI_COMMAND_H
#define ES_CLI_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

#include "edge_sparse.h"

/* The exit codes of the Python program. */
enum { ES_EXIT_FAILURE = 1, ES_EXIT_FILE = 2, ES_EXIT_INPUT = 3, ES_EXIT_BACKEND = 4, ES_EXIT_OUTPUT = 6,
       ES_EXIT_INTERRUPTED = 130 };

enum { ES_CLI_REPEATS = 16 };

/* An option of a command: "--threads" or "-t". Without takes_value it is a switch and its value is "". */
typedef struct es_cli_option {
    const char *name;
    char letter;
    bool takes_value;
    int count;
    const char *values[ES_CLI_REPEATS];
} es_cli_option;

typedef struct es_cli_command {
    const char *name, *summary, *help;
    int (*run)(int count, char **arguments);
} es_cli_command;

extern const es_cli_command es_cli_run, es_cli_bench, es_cli_generate, es_cli_inspect, es_cli_devices;

/* Fill the options, which end with one without a name, and the one path that is not an option (NULL: there is none to
 * give). Returns 0 or an exit code after an error was printed. options.c */
int es_cli_parse(const es_cli_command *command, int count, char **arguments, es_cli_option *options,
                 const char **path);
/* The last value, NULL if the option was not given. */
const char *es_cli_value(const es_cli_option *options, const char *name);
const es_cli_option *es_cli_find(const es_cli_option *options, const char *name);
/* A whole number or a number in a range, or what is there already if the option was not given; an exit code. */
int es_cli_integer(const es_cli_option *options, const char *name, int64_t low, int64_t high, int64_t *number);
int es_cli_number(const es_cli_option *options, const char *name, double low, double high, double *number);

/* Print an error as the Python program does and return its exit code. errors.c */
int es_cli_fail(int exit_code, const char *code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int es_cli_fail_status(es_status status, const char *message);
/* With --json errors are JSON too. */
void es_cli_set_json(bool on);

/* Open a model; 0 or an exit code. */
int es_cli_open(const char *path, es_model **model);

/* Text without what could steer a terminal; lines and tabs stay. text.c */
void es_cli_write_text(FILE *stream, const char *utf8, size_t length);
void es_cli_write_json_text(FILE *stream, const char *utf8, size_t length);
void es_cli_write_duration(FILE *stream, double seconds);
void es_cli_write_bytes(FILE *stream, double bytes);

/* All bytes of a file ("-": standard input), to be freed; 0 or an exit code. files.c */
int es_cli_read_file(const char *path, uint8_t **data, size_t *length);

/* A .npy file's elements as the port has them. rows is the length of a symbolic axis; memory is to be freed. npy.c */
int es_cli_read_npy(const char *path, const es_port *port, void **data, size_t *bytes);
int es_cli_write_npy(const char *path, const es_port *port, const void *data, size_t bytes);

/* A binary PPM or PGM picture; memory is to be freed. pictures.c */
int es_cli_read_picture(const char *path, es_image *image, uint8_t **memory);

/* Arrays of all inputs and outputs of a session. arrays.c */
typedef struct es_cli_array {
    es_port port;
    void *data;
    size_t bytes;
} es_cli_array;

typedef struct es_cli_arrays {
    es_session *session;
    uint32_t inputs, count;
    es_cli_array *arrays;
} es_cli_arrays;

int es_cli_make_arrays(es_session *session, es_cli_arrays *arrays);
/* Memory for the inputs that have none, filled with a pattern (zeros for whole numbers), and for outputs; then bind. */
int es_cli_bind_arrays(es_cli_arrays *arrays);
void es_cli_free_arrays(es_cli_arrays *arrays);
/* Number of an input; its name in an error. */
int es_cli_find_input(const es_cli_arrays *arrays, const char *name, uint32_t *number);
/* Rows of symbolic axes in this run, else those of the shape. */
uint64_t es_cli_rows(const es_cli_array *array);

/* What es_cli_open_text reads besides --threads. */
#define ES_CLI_TEXT_OPTIONS                                                            \
    {.name = "attention", .takes_value = true}, {.name = "theta", .takes_value = true}, \
    {.name = "window", .takes_value = true}, {.name = "sinks", .takes_value = true},    \
    {.name = "cache", .takes_value = true}, {.name = "context", .takes_value = true}

/* A language model of those options. attention.c */
int es_cli_open_text(const es_model *model, const es_cli_option *options, es_text **text);

double es_cli_seconds(void);

#endif
