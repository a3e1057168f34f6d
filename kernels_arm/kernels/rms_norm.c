/* RMS_NORM: rows divided by their root mean square, elements in the lanes. */
#include <math.h>

#include "rows.h"
#include "vec.h"

/* Partial sums that hide the latency of a multiply-add: four in flight keep a Cortex-A72 busy. */
enum { SUMS = 4 };

static bool accepts(const es_launch *launch) { return launch->in[0]->dtype == ES_F32; }

/* Weights in float32. */
static void measure(const es_launch *launch, es_needs *needs)
{
    if (launch->in[1]->dtype == ES_F16) needs->prepared_bytes = es_tensor_size(launch->in[1]) * sizeof(float);
}

static void prepare(es_launch *launch)
{
    if (launch->in[1]->dtype != ES_F16) return;
    float *weights = launch->prepared;
    const uint8_t *halves = launch->in_data[1];
    for (uint64_t i = 0; i < es_tensor_size(launch->in[1]); i++) {
        uint16_t half;
        memcpy(&half, halves + i * sizeof half, sizeof half);
        weights[i] = es_half_to_float(half);
    }
}

static int64_t units(const es_launch *launch, int phase)
{
    (void)phase;
    return es_count_rows(launch, launch->in[0]);
}

static float sum_of_squares(const float *x, int64_t width)
{
    es_f32 sums[SUMS];
    ES_UNROLL
    for (int part = 0; part < SUMS; part++) sums[part] = es_splat(0.0f);
    int64_t i = 0;
    for (; i + SUMS * ES_LANES <= width; i += SUMS * ES_LANES) {
        ES_UNROLL
        for (int part = 0; part < SUMS; part++) {
            es_f32 value = es_load(x + i + part * ES_LANES);
            sums[part] = es_fma(value, value, sums[part]);
        }
    }
    for (; i + ES_LANES <= width; i += ES_LANES) {
        es_f32 value = es_load(x + i);
        sums[0] = es_fma(value, value, sums[0]);
    }
    es_f32 rest = es_load_first(x + i, (int)(width - i));
    sums[1] = es_fma(rest, rest, sums[1]);
    return es_sum(es_add(es_add(sums[0], sums[1]), es_add(sums[2], sums[3])));
}

static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase, (void)thread_scratch;
    const es_tensor *in = launch->in[0];
    int64_t width = (int64_t)in->shape[in->rank - 1];
    const float *weights = (const float *)(const void *)launch->in_data[1];
    if (launch->in[1]->dtype == ES_F16) weights = launch->prepared;
    float epsilon = es_word_float(launch->step->words[0]);
    for (int64_t row = begin; row < end; row++) {
        const float *x = (const float *)(const void *)launch->in_data[0] + row * es_row_distance(in);
        float *y = (float *)(void *)launch->out_data + row * es_row_distance(launch->out);
        float factor = 1.0f / sqrtf(sum_of_squares(x, width) / (float)width + epsilon);
        int64_t i = 0;
        for (; i + ES_LANES <= width; i += ES_LANES)
            es_store(y + i, es_mul(es_mul(es_load(x + i), es_splat(factor)), es_load(weights + i)));
        for (; i < width; i++) y[i] = x[i] * factor * weights[i];
    }
}

static const es_kernel rms_norm = {
    .name = ES_KERNEL_NAME("rms_norm_f32"), .op = ES_RMS_NORM, .variant = ES_THIS_VARIANT, .accepts = accepts,
    .measure = measure, .prepare = prepare, .phases = 1, .units = units, .run = run,
};

ES_FAMILY(rms_norm) = {&rms_norm, NULL};
