/* Options on the command line: "--name value", "--name=value", "-n value", "-nvalue" and switches. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

static int wrong_usage(const es_cli_command *command, const char *what, const char *word)
{
    char hint[64];
    snprintf(hint, sizeof hint, "edge-sparse %s --help", command->name);
    return es_cli_fail(ES_EXIT_INPUT, "USAGE", hint, "%s%s", what, word);
}

/* The option that a word names; *value is what follows "=" or the letter, else NULL. */
static es_cli_option *match(es_cli_option *options, const char *word, const char **value)
{
    *value = NULL;
    for (es_cli_option *option = options; option->name; option++) {
        size_t length = strlen(option->name);
        if (word[1] == '-' && !strncmp(word + 2, option->name, length)) {
            if (!word[2 + length]) return option;
            if (word[2 + length] == '=') {
                *value = word + 3 + length;
                return option;
            }
        } else if (word[1] != '-' && option->letter && word[1] == option->letter) {
            if (word[2]) *value = word + 2;
            return option;
        }
    }
    return NULL;
}

int es_cli_parse(const es_cli_command *command, int count, char **arguments, es_cli_option *options, const char **path)
{
    if (path) *path = NULL;
    bool only_paths = false;
    for (int i = 0; i < count; i++) {
        const char *word = arguments[i], *value;
        if (!only_paths && !strcmp(word, "--")) {
            only_paths = true;
        } else if (!only_paths && (!strcmp(word, "--help") || !strcmp(word, "-h"))) {
            printf("%s", command->help);
            return -1;
        } else if (only_paths || word[0] != '-' || !word[1]) {
            if (!path || *path) return wrong_usage(command, "unexpected argument ", word);
            *path = word;
        } else {
            es_cli_option *option = match(options, word, &value);
            if (!option) return wrong_usage(command, "unknown option ", word);
            if (!option->takes_value && value) return wrong_usage(command, "no value belongs to ", word);
            if (option->takes_value && !value && i + 1 == count) return wrong_usage(command, "no value after ", word);
            if (option->count == ES_CLI_REPEATS) return wrong_usage(command, "too often: ", word);
            option->values[option->count++] = !option->takes_value ? "" : value ? value : arguments[++i];
        }
    }
    if (path && !*path) return wrong_usage(command, "name a file: MODEL.egs", "");
    return 0;
}

const es_cli_option *es_cli_find(const es_cli_option *options, const char *name)
{
    while (strcmp(options->name, name)) options++;
    return options;
}

const char *es_cli_value(const es_cli_option *options, const char *name)
{
    const es_cli_option *option = es_cli_find(options, name);
    return option->count ? option->values[option->count - 1] : NULL;
}

int es_cli_integer(const es_cli_option *options, const char *name, int64_t low, int64_t high, int64_t *number)
{
    const char *text = es_cli_value(options, name);
    if (!text) return 0;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < low || value > high)
        return es_cli_fail(ES_EXIT_INPUT, "USAGE", "give a whole number in that range",
                           "--%s %s is not a whole number from %lld to %lld", name, text, (long long)low,
                           (long long)high);
    *number = value;
    return 0;
}

int es_cli_number(const es_cli_option *options, const char *name, double low, double high, double *number)
{
    const char *text = es_cli_value(options, name);
    if (!text) return 0;
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < low || value > high)
        return es_cli_fail(ES_EXIT_INPUT, "USAGE", "give a number in that range", "--%s %s is not a number from %g to %g",
                           name, text, low, high);
    *number = value;
    return 0;
}
