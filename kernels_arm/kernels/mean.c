/* MEAN over all pixels of an image. In CHW vectors of pixels, units are planes; in NHWC vectors of channels, the units. */
#include "activation.h"

/* Sums side by side: one alone waits for every addition. */
enum { SUMS = 4 };

static float sum_of_row(const float *x, int64_t count)
{
    es_f32 sums[SUMS];
    ES_UNROLL
    for (int s = 0; s < SUMS; s++) sums[s] = es_splat(0.0f);
    int64_t at = 0;
    for (; at + SUMS * ES_LANES <= count; at += SUMS * ES_LANES) {
        ES_UNROLL
        for (int s = 0; s < SUMS; s++) sums[s] = es_add(sums[s], es_load(x + at + s * ES_LANES));
    }
    for (; at + ES_LANES <= count; at += ES_LANES) sums[0] = es_add(sums[0], es_load(x + at));
    float total = es_sum(es_add(es_add(sums[0], sums[1]), es_add(sums[2], sums[3])));
    for (; at < count; at++) total += x[at];
    return total;
}

static void store_mean(const es_launch *launch, es_epilogue epilogue, float *y, es_f32 sums, int count)
{
    const es_tensor *x = launch->in[0];
    es_f32 mean = es_mul(sums, es_splat(1.0f / (float)(x->shape[2] * x->shape[3])));
    es_store_first(y, es_activate(epilogue, mean), count);
}

/* Image and part of a unit: y holds parts of ES_LANES channels or, in CHW, of one. */
static float *place(const es_launch *launch, int64_t image, int64_t channel)
{
    int64_t stride = launch->out->shape[0] > 1 ? (int64_t)launch->out->strides[0] : 0;
    return (float *)(void *)launch->out_data + image * stride + channel;
}

static void run_chw(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase, (void)thread_scratch;
    const es_tensor *x = launch->in[0];
    es_epilogue epilogue = es_read_epilogue(launch->step, 0);
    int64_t channels = (int64_t)x->shape[1], height = (int64_t)x->shape[2], width = (int64_t)x->shape[3];
    int64_t row = (int64_t)x->strides[2];
    if (row == width) {
        width *= height;
        height = 1;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t image = unit / channels, channel = unit % channels;
        const float *from = (const float *)(void *)launch->in_data[0] + image * (int64_t)x->strides[0] +
                            channel * (int64_t)x->strides[1];
        double total = 0;
        for (int64_t y = 0; y < height; y++) total += sum_of_row(from + y * row, width);
        store_mean(launch, epilogue, place(launch, image, channel), es_splat((float)total), 1);
    }
}

static void run_nhwc(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase, (void)thread_scratch;
    const es_tensor *x = launch->in[0];
    es_epilogue epilogue = es_read_epilogue(launch->step, 0);
    int64_t channels = (int64_t)x->shape[1], height = (int64_t)x->shape[2], width = (int64_t)x->shape[3];
    int64_t parts = (channels + ES_LANES - 1) / ES_LANES;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t image = unit / parts, channel = unit % parts * ES_LANES;
        const float *from = (const float *)(void *)launch->in_data[0] + image * (int64_t)x->strides[0] + channel;
        es_f32 total = es_splat(0.0f);
        /* A vector may reach past the last channel: x lies in the arena, and what it finds there is not stored. */
        for (int64_t y = 0; y < height; y++) {
            es_f32 sum = es_splat(0.0f);
            for (int64_t at = 0; at < width; at++)
                sum = es_add(sum, es_load(from + y * (int64_t)x->strides[2] + at * (int64_t)x->strides[3]));
            total = es_add(total, sum);
        }
        int count = channels - channel < ES_LANES ? (int)(channels - channel) : ES_LANES;
        store_mean(launch, epilogue, place(launch, image, channel), total, count);
    }
}

static int64_t units_chw(const es_launch *launch, int phase)
{
    (void)phase;
    return (int64_t)(launch->in[0]->shape[0] * launch->in[0]->shape[1]);
}

static int64_t units_nhwc(const es_launch *launch, int phase)
{
    (void)phase;
    return (int64_t)(launch->in[0]->shape[0] * ((launch->in[0]->shape[1] + ES_LANES - 1) / ES_LANES));
}

static bool accepts_chw(const es_launch *launch) { return launch->in[0]->layout == ES_CHW; }
static bool accepts_nhwc(const es_launch *launch) { return launch->in[0]->layout == ES_NHWC; }

static const es_kernel chw = {.name = ES_KERNEL_NAME("mean_f32_chw"), .op = ES_MEAN, .variant = ES_THIS_VARIANT,
                              .accepts = accepts_chw, .phases = 1, .units = units_chw, .run = run_chw};
static const es_kernel nhwc = {.name = ES_KERNEL_NAME("mean_f32_nhwc"), .op = ES_MEAN, .variant = ES_THIS_VARIANT,
                               .accepts = accepts_nhwc, .phases = 1, .units = units_nhwc, .run = run_nhwc};

ES_FAMILY(mean) = {&chw, &nhwc, NULL};
