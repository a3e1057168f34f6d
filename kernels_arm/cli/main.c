/* The program edge-sparse: the C core on a command line. */
#include <stdlib.h>
#include <string.h>

#include "command.h"

static const es_cli_command *const commands[] = {&es_cli_run, &es_cli_bench, &es_cli_generate, &es_cli_inspect,
                                                 &es_cli_devices};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const char closing[] =
    "\nexamples:\n"
    "  edge-sparse inspect model.egs\n"
    "  edge-sparse run model.egs --image cat.ppm\n"
    "  edge-sparse generate llama.egs -p \"Once upon a time\" -n 200\n"
    "  edge-sparse bench model.egs -t 1,4 --steps\n"
    "\n"
    "exit codes: 0 done, 1 unexpected failure, 2 invalid file, 3 wrong input or option, 4 not possible here,\n"
    "6 cannot write, 130 interrupted. Results go to stdout, everything else to stderr. With --json, stdout is one JSON\n"
    "document or empty, and an error is the last line of stderr, in JSON too.\n"
    "Models are made with the Python program: edge-sparse convert.\n";

static void print_help(void)
{
    printf("usage: edge-sparse COMMAND ...\n\nRun and time group-sparse networks from .egs files.\n\ncommands:\n");
    for (int i = 0; i < COMMANDS; i++) printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n`edge-sparse COMMAND --help` explains a command; --version tells the release.\n%s", closing);
}

static int dispatch(int count, char **arguments)
{
    if (count < 2) {
        print_help();
        return 0;
    }
    const char *word = arguments[1];
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        print_help();
        return 0;
    }
    if (!strcmp(word, "--version")) {
        printf("edge-sparse %s (C core, %s)\n", es_version(), es_cpu_description());
        return 0;
    }
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(word, commands[i]->name)) return commands[i]->run(count - 2, arguments + 2);
    return es_cli_fail(ES_EXIT_INPUT, "USAGE", "edge-sparse --help", "there is no command %s", word);
}

int main(int count, char **arguments)
{
    bool json = false;
    for (int i = 1; i < count; i++) json = json || !strcmp(arguments[i], "--json");
    es_cli_set_json(json);
    /* A JSON document is written completely or not at all; only outputs of a run, after which nothing fails, are larger. */
    if (json) setvbuf(stdout, NULL, _IOFBF, 1 << 20);
    int code = dispatch(count, arguments);
    if (json && code) _Exit(code);
    if (fflush(stdout) || ferror(stdout)) {
        if (code) return code;
        return es_cli_fail(ES_EXIT_OUTPUT, "OUTPUT_NOT_WRITABLE", "free some space", "stdout cannot be written");
    }
    return code;
}
