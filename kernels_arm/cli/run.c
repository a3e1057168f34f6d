/* edge-sparse run: a model on arrays or on a picture. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

static int run(int count, char **arguments);

const es_cli_command es_cli_run = {
    "run", "run a model on arrays or on a picture",
    "usage: edge-sparse run MODEL.egs (-i [NAME=]X.npy ... | --image PICTURE.ppm) [options]\n"
    "\n"
    "Arrays have the shape and type that `edge-sparse inspect` shows. A picture is preprocessed as the file says, and the\n"
    "most probable labels are printed.\n"
    "\n"
    "  -i, --input [NAME=]X.npy  an input; without names in the order of the inputs\n"
    "      --image PICTURE.ppm   a binary PPM or PGM picture to classify (magick cat.jpg cat.ppm)\n"
    "  -o, --output Y.npy        where the first output goes; never replaces a file\n"
    "      --top N               labels (default: 5)\n"
    "  -t, --threads N           threads (default: 1)\n"
    "      --plan NAME           plan of the file (default: the first)\n"
    "      --json                results as JSON\n",
    run};

static int read_inputs(es_cli_arrays *arrays, const es_cli_option *inputs)
{
    for (int i = 0; i < inputs->count; i++) {
        char name[256];
        const char *word = inputs->values[i], *equals = strchr(word, '=');
        uint32_t number = (uint32_t)i;
        int code = 0;
        if (equals && (size_t)(equals - word) < sizeof name) {
            memcpy(name, word, (size_t)(equals - word));
            name[equals - word] = 0;
            code = es_cli_find_input(arrays, name, &number);
            word = equals + 1;
        } else if (number >= arrays->inputs) {
            code = es_cli_fail(ES_EXIT_INPUT, "INPUT_COUNT", "edge-sparse inspect shows them",
                               "%d arrays for %u inputs", inputs->count, (unsigned)arrays->inputs);
        }
        if (code) return code;
        es_cli_array *array = &arrays->arrays[number];
        free(array->data);
        array->data = NULL;
        code = es_cli_read_npy(word, &array->port, &array->data, &array->bytes);
        if (code) return code;
    }
    for (uint32_t number = 0; number < arrays->inputs; number++)
        if (!arrays->arrays[number].data)
            return es_cli_fail(ES_EXIT_INPUT, "INPUT_MISSING", "give every input with -i NAME=X.npy",
                               "there is nothing for input %s", arrays->arrays[number].port.name);
    return 0;
}

static int read_picture(const es_model *model, es_cli_arrays *arrays, const char *path)
{
    es_image image;
    uint8_t *memory;
    int code = es_cli_read_picture(path, &image, &memory);
    if (code) return code;
    es_cli_array *array = &arrays->arrays[0];
    size_t scratch_bytes = es_image_scratch_bytes(model, &image);
    void *scratch = malloc(scratch_bytes ? scratch_bytes : 1);
    array->bytes = (size_t)array->port.bytes;
    array->data = calloc(1, array->bytes);
    if (!scratch || !array->data) {
        code = es_cli_fail_status(ES_MEMORY_EXHAUSTED, "no memory for the picture");
    } else {
        es_status status = es_image_preprocess(model, &image, scratch, scratch_bytes, array->data, array->bytes);
        if (status) code = es_cli_fail_status(status, "");
    }
    free(scratch);
    free(memory);
    return code;
}

static void print_labels(const es_model *model, es_cli_arrays *arrays, int64_t top, bool json)
{
    const es_cli_array *output = &arrays->arrays[arrays->inputs];
    float *scores = output->data;
    int64_t classes = (int64_t)(output->bytes / sizeof *scores);
    double sum = 0;
    float best = -INFINITY;
    for (int64_t i = 0; i < classes; i++) best = scores[i] > best ? scores[i] : best;
    bool normalised = es_session_ends_in_softmax(arrays->session);
    for (int64_t i = 0; i < classes; i++) sum += exp((double)scores[i] - best);
    if (json) printf("[");
    for (int64_t place = 0; place < top && place < classes; place++) {
        int64_t first = 0;
        for (int64_t i = 1; i < classes; i++)
            if (scores[i] > scores[first]) first = i;
        double probability = normalised ? (double)scores[first] : exp((double)scores[first] - best) / sum;
        const char *label = es_model_label(model, (uint32_t)first);
        char number[24];
        if (!label) {
            snprintf(number, sizeof number, "%lld", (long long)first);
            label = number;
        }
        if (json) {
            printf("%s{\"label\": ", place ? ", " : "");
            es_cli_write_json_text(stdout, label, strlen(label));
            printf(", \"probability\": %.9g}", probability);
        } else {
            printf("%5.1f%%  %s\n", 100 * probability, label);
        }
        scores[first] = -INFINITY;
    }
    if (json) printf("]\n");
}

static double element(const es_cli_array *array, size_t index)
{
    const uint8_t *bytes = array->data;
    switch (array->port.dtype) {
    case ES_F32: return ((const float *)array->data)[index];
    case ES_S32: return ((const int32_t *)array->data)[index];
    case ES_S8: return (int8_t)bytes[index];
    default: return bytes[index];
    }
}

static void print_output(const es_cli_array *array, bool json, bool first)
{
    size_t size = array->port.dtype == ES_F32 || array->port.dtype == ES_S32 ? 4 : array->port.dtype == ES_F16 ? 2 : 1;
    size_t count = array->bytes / size;
    if (json) {
        printf("%s", first ? "{" : ", ");
        es_cli_write_json_text(stdout, array->port.name, strlen(array->port.name));
        printf(": [");
        for (size_t i = 0; i < count; i++) printf("%s%.9g", i ? ", " : "", element(array, i));
        printf("]");
        return;
    }
    double low = INFINITY, high = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++) {
        double value = element(array, i);
        low = value < low ? value : low;
        high = value > high ? value : high;
        sum += value;
    }
    printf("%s: %zu numbers from %.6g to %.6g, mean %.6g; first", array->port.name, count, low, high,
           sum / (double)count);
    for (size_t i = 0; i < count && i < 4; i++) printf(" %.4g", element(array, i));
    printf("%s\n", count > 4 ? " ..." : "");
}

static int compute(const es_model *model, es_session *session, const es_cli_option *options, int64_t top)
{
    es_cli_arrays arrays;
    const char *picture = es_cli_value(options, "image"), *output = es_cli_value(options, "output");
    bool json = es_cli_value(options, "json");
    int code = es_cli_make_arrays(session, &arrays);
    if (!code) code = picture ? read_picture(model, &arrays, picture) : read_inputs(&arrays, es_cli_find(options, "input"));
    if (!code) code = es_cli_bind_arrays(&arrays);
    if (!code) {
        es_status status = es_session_run(session);
        if (status) code = es_cli_fail_status(status, es_session_error(session));
    }
    if (!code && output) {
        const es_cli_array *array = &arrays.arrays[arrays.inputs];
        code = es_cli_write_npy(output, &array->port, array->data, array->bytes);
    } else if (!code && picture) {
        print_labels(model, &arrays, top, json);
    } else if (!code) {
        for (uint32_t number = arrays.inputs; number < arrays.count; number++)
            print_output(&arrays.arrays[number], json, number == arrays.inputs);
        if (json) printf("}\n");
    }
    es_cli_free_arrays(&arrays);
    return code;
}

static int run(int count, char **arguments)
{
    es_cli_option options[] = {{.name = "input", .letter = 'i', .takes_value = true},
                               {.name = "image", .takes_value = true},
                               {.name = "output", .letter = 'o', .takes_value = true},
                               {.name = "top", .takes_value = true},
                               {.name = "threads", .letter = 't', .takes_value = true},
                               {.name = "plan", .takes_value = true},
                               {.name = "json"},
                               {.name = NULL}};
    const char *path;
    int64_t top = 5, threads = 1;
    int code = es_cli_parse(&es_cli_run, count, arguments, options, &path);
    if (!code) code = es_cli_integer(options, "top", 1, 1000000, &top);
    if (!code) code = es_cli_integer(options, "threads", 1, 256, &threads);
    if (!code && !es_cli_value(options, "input") == !es_cli_value(options, "image"))
        code = es_cli_fail(ES_EXIT_INPUT, "USAGE", "edge-sparse run --help", "give either --input or --image");
    if (code) return code < 0 ? 0 : code;
    es_model *model;
    code = es_cli_open(path, &model);
    if (code) return code;
    es_session_options session_options = {.threads = (uint32_t)threads};
    es_session *session;
    es_error error;
    es_status status = es_session_create(model, es_cli_value(options, "plan"), &session_options, &session, &error);
    code = status ? es_cli_fail_status(status, error.message) : compute(model, session, options, top);
    es_session_close(session);
    es_model_close(model);
    return code;
}
