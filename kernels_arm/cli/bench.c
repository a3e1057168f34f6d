/* edge-sparse bench: how long a model takes on this machine. */
#include <stdlib.h>
#include <string.h>

#include "command.h"

static int bench(int count, char **arguments);

const es_cli_command es_cli_bench = {
    "bench", "time a model on this machine",
    "usage: edge-sparse bench MODEL.egs [options]\n"
    "\n"
    "The minimum is what the machine can do, the median what one gets. Close other programs first.\n"
    "\n"
    "  -t, --threads N[,N]  numbers of threads (default: 1)\n"
    "  -r, --repeats N      timed runs (default: 50)\n"
    "      --warmup N       runs before them (default: 5)\n"
    "      --steps          also time every step\n"
    "      --plan NAME      plan of the file (default: the first)\n"
    "      --variants N     kernels that may run: 1 plain C, 2 vectors, 4 AVX2, 8 dot product, and sums (default: all)\n"
    "      --json           results as JSON\n"
    "\n"
    "language models:\n"
    "      --decode         time single tokens\n"
    "      --depth N        tokens that are read before (default: 0)\n"
    "      --attention, --theta, --window, --sinks, --cache, --context as in generate\n",
    bench};

typedef struct plan_bench {
    const es_model *model;
    const es_cli_option *options;
    int64_t repeats, warmup, variants;
    bool json, first;
    double *times;
} plan_bench;

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_times(plan_bench *bench, int64_t threads)
{
    qsort(bench->times, (size_t)bench->repeats, sizeof *bench->times, compare);
    double minimum = bench->times[0], median = bench->times[bench->repeats / 2];
    if (bench->json) {
        printf("%s{\"threads\": %lld, \"seconds_min\": %.9g, \"seconds_median\": %.9g", bench->first ? "" : ", ",
               (long long)threads, minimum, median);
    } else {
        printf("%lld thread(s): min ", (long long)threads);
        es_cli_write_duration(stdout, minimum);
        printf(", median ");
        es_cli_write_duration(stdout, median);
        printf(" (%lld runs)\n", (long long)bench->repeats);
    }
    bench->first = false;
}

static void print_steps(const plan_bench *bench, const es_session *session)
{
    if (bench->json) printf(", \"steps\": [");
    for (uint32_t number = 0; number < es_session_step_count(session); number++) {
        es_step_profile step;
        if (es_session_step(session, number, &step)) return;
        double minimum = (double)step.nanoseconds_min * 1e-9;
        if (bench->json) {
            printf("%s{\"step\": ", number ? ", " : "");
            es_cli_write_json_text(stdout, step.step, strlen(step.step));
            printf(", \"op\": \"%s\", \"kernel\": \"%s\", \"density\": ", step.op, step.kernel);
            printf(step.density < 0 ? "null" : "%.6g", step.density);
            printf(", \"seconds_min\": %.9g, \"seconds_mean\": %.9g}", minimum,
                   (double)step.nanoseconds * 1e-9 / (double)step.runs);
            continue;
        }
        char kept[8] = "";
        if (step.density >= 0) snprintf(kept, sizeof kept, "%.0f%%", 100 * step.density);
        printf("%4u  %-30.30s %-34.34s %5s  ", (unsigned)number, step.step, step.kernel, kept);
        es_cli_write_duration(stdout, minimum);
        printf("\n");
    }
    if (bench->json) printf("]");
}

static int time_runs(plan_bench *bench, es_session *session, int64_t threads)
{
    for (int64_t number = -bench->warmup; number < bench->repeats; number++) {
        double start = es_cli_seconds();
        es_status status = es_session_run(session);
        if (status) return es_cli_fail_status(status, es_session_error(session));
        if (number >= 0) bench->times[number] = es_cli_seconds() - start;
    }
    print_times(bench, threads);
    if (es_cli_value(bench->options, "steps")) {
        /* In runs of their own: reading the clock takes time. */
        es_session_set_profiling(session, 1);
        for (int64_t number = 0; number < bench->repeats; number++) {
            es_status status = es_session_run(session);
            if (status) return es_cli_fail_status(status, es_session_error(session));
        }
        print_steps(bench, session);
    }
    if (bench->json) printf("}");
    return 0;
}

static int time_plan(plan_bench *bench, int64_t threads)
{
    es_session_options options = {.threads = (uint32_t)threads, .variants = (uint32_t)bench->variants};
    es_session *session;
    es_error error;
    es_status status = es_session_create(bench->model, es_cli_value(bench->options, "plan"), &options, &session, &error);
    if (status) return es_cli_fail_status(status, error.message);
    es_cli_arrays arrays;
    int code = es_cli_make_arrays(session, &arrays);
    if (!code) code = es_cli_bind_arrays(&arrays);
    if (!code) code = time_runs(bench, session, threads);
    es_cli_free_arrays(&arrays);
    es_session_close(session);
    return code;
}

static int time_decoding(plan_bench *bench, int64_t depth)
{
    es_text *text;
    int code = es_cli_open_text(bench->model, bench->options, &text);
    if (code) return code;
    const float *logits;
    double start = es_cli_seconds();
    es_status status = ES_OK;
    for (int64_t number = -depth - bench->warmup; !status && number < bench->repeats; number++) {
        int32_t token = (int32_t)((number + depth + bench->warmup) * 7919 % es_text_vocabulary(text));
        if (number >= 0) start = es_cli_seconds();
        status = es_text_read(text, &token, 1, &logits);
        if (number >= 0) bench->times[number] = es_cli_seconds() - start;
    }
    int64_t threads = 1;
    if (status)
        code = es_cli_fail_status(status, es_text_error(text));
    else if (!(code = es_cli_integer(bench->options, "threads", 1, 256, &threads)))
        print_times(bench, threads);
    if (!code && bench->json) printf("}");
    if (!code && !bench->json) printf("%.1f tokens/s at best\n", 1 / bench->times[0]);
    es_text_close(text);
    return code;
}

/* One session per number in "1,2,4". */
static int for_each_count(plan_bench *bench)
{
    const char *text = es_cli_value(bench->options, "threads");
    for (const char *at = text ? text : "1"; *at;) {
        char *end;
        long long threads = strtoll(at, &end, 10);
        if (end == at || (*end && *end != ',') || threads < 1 || threads > 256)
            return es_cli_fail(ES_EXIT_INPUT, "THREADS_RANGE", "ask for 1 to 256 threads", "--threads %s", text);
        int code = time_plan(bench, threads);
        if (code) return code;
        at = *end ? end + 1 : end;
    }
    return 0;
}

static int bench(int count, char **arguments)
{
    es_cli_option options[] = {{.name = "threads", .letter = 't', .takes_value = true},
                               {.name = "repeats", .letter = 'r', .takes_value = true},
                               {.name = "warmup", .takes_value = true},
                               {.name = "steps"},
                               {.name = "plan", .takes_value = true},
                               {.name = "variants", .takes_value = true},
                               {.name = "json"},
                               {.name = "decode"},
                               {.name = "depth", .takes_value = true},
                               ES_CLI_TEXT_OPTIONS,
                               {.name = NULL}};
    const char *path;
    plan_bench bench = {.options = options, .repeats = 50, .warmup = 5, .first = true};
    int64_t depth = 0;
    int code = es_cli_parse(&es_cli_bench, count, arguments, options, &path);
    if (!code) code = es_cli_integer(options, "repeats", 1, 1000000, &bench.repeats);
    if (!code) code = es_cli_integer(options, "warmup", 0, 1000000, &bench.warmup);
    if (!code) code = es_cli_integer(options, "variants", 1, ES_VARIANT_ALL, &bench.variants);
    if (!code) code = es_cli_integer(options, "depth", 0, 1 << 30, &depth);
    if (code) return code < 0 ? 0 : code;
    bench.json = es_cli_value(options, "json");
    bench.times = malloc((size_t)bench.repeats * sizeof *bench.times);
    if (!bench.times) return es_cli_fail_status(ES_MEMORY_EXHAUSTED, "");
    es_model *model;
    double start = es_cli_seconds();
    code = es_cli_open(path, &model);
    if (!code) {
        bench.model = model;
        double taken = es_cli_seconds() - start;
        if (bench.json) {
            printf("{\"cpu\": \"%s\", \"read_seconds\": %.9g, \"timings\": [", es_cpu_description(), taken);
        } else {
            printf("kernels for %s; reading and checking the file: ", es_cpu_description());
            es_cli_write_duration(stdout, taken);
            printf("\n");
        }
        code = es_cli_value(options, "decode") ? time_decoding(&bench, depth) : for_each_count(&bench);
        if (bench.json && !code) printf("]}\n");
        es_model_close(model);
    }
    free(bench.times);
    return code;
}
