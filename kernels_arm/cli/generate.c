/* edge-sparse generate: a language model continues a prompt. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

static int generate(int count, char **arguments);

const es_cli_command es_cli_generate = {
    "generate", "continue a prompt with a language model",
    "usage: edge-sparse generate MODEL.egs [-p TEXT | -f FILE] [options]\n"
    "\n"
    "The text appears as it is made; times follow on stderr. Ctrl-C ends the answer.\n"
    "\n"
    "  -p, --prompt TEXT           text to continue (default: none)\n"
    "  -f, --prompt-file FILE      file with the prompt; - reads stdin\n"
    "  -n, --tokens N              tokens to generate at most (default: no limit)\n"
    "      --roll                  forget the older half of the text when the context is full\n"
    "  -t, --threads N             threads (default: 1)\n"
    "      --json                  text and times as JSON\n"
    "\n"
    "attention:\n"
    "      --attention MODE        exact (default) or delta\n"
    "      --theta T               delta: smaller changes of keys are not stored (0.6)\n"
    "      --window W              delta: share of the prompt that stays exact (0.05)\n"
    "      --sinks N               delta: so many first tokens stay exact (0)\n"
    "      --cache TYPE            stored keys and values: s8, f16, f32 (s8; for delta f16)\n"
    "      --context N             tokens that fit (default: as the file says)\n"
    "\n"
    "sampling, where not given as the file says:\n"
    "      --temperature T         0 always takes the likeliest token\n"
    "      --top-k K, --top-p P, --min-p P, --repetition-penalty R\n"
    "      --seed N                the same seed gives the same text (default: 0)\n"
    "      --stop TEXT             end at this text; repeatable\n",
    generate};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

typedef struct answer {
    bool json;
    char *text;
    size_t length, room;
} answer;

static int take_piece(void *context, const char *utf8, size_t length)
{
    answer *answer = context;
    if (!answer->json) {
        es_cli_write_text(stdout, utf8, length);
        fflush(stdout);
    } else {
        if (answer->room - answer->length < length) {
            size_t room = (answer->length + length) * 2;
            char *larger = realloc(answer->text, room);
            if (!larger) return 1;
            answer->text = larger;
            answer->room = room;
        }
        memcpy(answer->text + answer->length, utf8, length);
        answer->length += length;
    }
    return interrupted || ferror(stdout);
}

static const char *finish_name(es_finish finish)
{
    static const char *const names[] = {"end", "length", "stop", "context", "cancelled"};
    return names[finish];
}

static int sampling_options(const es_cli_option *options, es_sampling *sampling)
{
    double temperature = (double)sampling->temperature, top_p = (double)sampling->top_p;
    double min_p = (double)sampling->min_p, penalty = (double)sampling->repetition_penalty;
    int64_t top_k = sampling->top_k, seed = 0;
    int code = es_cli_number(options, "temperature", 0, 1e6, &temperature);
    if (!code) code = es_cli_number(options, "top-p", 0, 1, &top_p);
    if (!code) code = es_cli_number(options, "min-p", 0, 1, &min_p);
    if (!code) code = es_cli_number(options, "repetition-penalty", 0, 1e6, &penalty);
    if (!code) code = es_cli_integer(options, "top-k", 0, INT32_MAX, &top_k);
    if (!code) code = es_cli_integer(options, "seed", 0, INT64_MAX, &seed);
    *sampling = (es_sampling){(float)temperature, (uint32_t)top_k, (float)top_p, (float)min_p, (float)penalty,
                              (uint64_t)seed};
    return code;
}

static void print_result(const es_generation *result, const answer *answer)
{
    double rate = result->decode_seconds > 0 ? (result->generated_tokens - 1) / result->decode_seconds : 0;
    if (answer->json) {
        printf("{\"text\": ");
        es_cli_write_json_text(stdout, answer->text ? answer->text : "", answer->length);
        printf(", \"finish\": \"%s\", \"prompt_tokens\": %u, \"generated_tokens\": %u, \"first_token_seconds\": %.9g, "
               "\"decode_seconds\": %.9g}\n",
               finish_name(result->finish), (unsigned)result->prompt_tokens, (unsigned)result->generated_tokens,
               result->first_token_seconds, result->decode_seconds);
        return;
    }
    printf("\n");
    fflush(stdout);
    fprintf(stderr, "%u tokens read, first token after ", (unsigned)result->prompt_tokens);
    es_cli_write_duration(stderr, result->first_token_seconds);
    fprintf(stderr, "; %u generated", (unsigned)result->generated_tokens);
    if (result->generated_tokens > 1) fprintf(stderr, ", then %.1f tokens/s", rate);
    fprintf(stderr, " (%s)\n", finish_name(result->finish));
}

static int answer_prompt(es_text *text, const es_cli_option *options, int64_t tokens)
{
    const es_cli_option *stops = es_cli_find(options, "stop");
    const char *prompt = es_cli_value(options, "prompt"), *file = es_cli_value(options, "prompt-file");
    uint8_t *memory = NULL;
    size_t length = prompt ? strlen(prompt) : 0;
    es_generate_options wanted = {.sampling = es_text_sampling(text),
                                  .max_tokens = (uint32_t)tokens,
                                  .stops = stops->values,
                                  .stop_count = (uint32_t)stops->count,
                                  .roll = es_cli_value(options, "roll") != NULL};
    int code = sampling_options(options, &wanted.sampling);
    if (!code && file) {
        code = es_cli_read_file(file, &memory, &length);
        prompt = (const char *)memory;
    }
    if (code) return code;
    answer answer = {.json = es_cli_value(options, "json") != NULL};
    es_generation result;
    signal(SIGINT, interrupt);
    es_status status = es_text_generate(text, prompt ? prompt : "", length, &wanted, take_piece, &answer, &result);
    if (status) {
        if (answer.length || !answer.json) fputc('\n', stderr);
        code = es_cli_fail_status(status, es_text_error(text));
    } else {
        print_result(&result, &answer);
    }
    free(memory);
    free(answer.text);
    return code;
}

static int generate(int count, char **arguments)
{
    es_cli_option options[] = {{.name = "prompt", .letter = 'p', .takes_value = true},
                               {.name = "prompt-file", .letter = 'f', .takes_value = true},
                               {.name = "tokens", .letter = 'n', .takes_value = true},
                               {.name = "roll"},
                               {.name = "threads", .letter = 't', .takes_value = true},
                               {.name = "json"},
                               ES_CLI_TEXT_OPTIONS,
                               {.name = "temperature", .takes_value = true},
                               {.name = "top-k", .takes_value = true},
                               {.name = "top-p", .takes_value = true},
                               {.name = "min-p", .takes_value = true},
                               {.name = "repetition-penalty", .takes_value = true},
                               {.name = "seed", .takes_value = true},
                               {.name = "stop", .takes_value = true},
                               {.name = NULL}};
    const char *path;
    int64_t tokens = 0;
    int code = es_cli_parse(&es_cli_generate, count, arguments, options, &path);
    if (!code) code = es_cli_integer(options, "tokens", 1, INT32_MAX, &tokens);
    if (!code && es_cli_value(options, "prompt") && es_cli_value(options, "prompt-file"))
        code = es_cli_fail(ES_EXIT_INPUT, "USAGE", "edge-sparse generate --help", "give one prompt");
    if (code) return code < 0 ? 0 : code;
    es_model *model;
    es_text *text;
    code = es_cli_open(path, &model);
    if (code) return code;
    code = es_cli_open_text(model, options, &text);
    if (!code) {
        code = answer_prompt(text, options, tokens);
        es_text_close(text);
    }
    es_model_close(model);
    return code;
}
