/* MAX_POOL, AVG_POOL and ADAPTIVE_AVG_POOL. */
#include "pool_chw.h"

/* ---- NHWC ------------------------------------------------------------------------------------------------------ */

/* Channels of a pixel from `channel` on, ES_LANES or fewer: inputs of the caller end with their last channel. */
ES_INLINE es_f32 load_channels(const float *pixel, int count)
{
    return count == ES_LANES ? es_load(pixel) : es_load_first(pixel, count);
}

static void pool_pixel(const es_launch *launch, const es_window_axis *rows, const es_window_axis *columns, int64_t i,
                       int64_t j, const float *x, float *y)
{
    bool average = launch->step->op == ES_AVG_POOL;
    int64_t step = (int64_t)launch->in[0]->strides[2], pixel = (int64_t)launch->in[0]->strides[3];
    int64_t first_row, taps_h = es_taps_inside(rows, i, &first_row);
    int64_t first_column, taps_w = es_taps_inside(columns, j, &first_column);
    x += (i * rows->stride - rows->before + first_row * rows->dilation) * step;
    x += (j * columns->stride - columns->before + first_column * columns->dilation) * pixel;
    float counted = (float)(es_taps_counted(rows, i) * es_taps_counted(columns, j));
    int64_t channels = (int64_t)launch->in[0]->shape[1];
    for (int64_t channel = 0; channel < channels; channel += ES_LANES) {
        int count = channels - channel < ES_LANES ? (int)(channels - channel) : ES_LANES;
        es_f32 value = es_splat(average ? 0 : -INFINITY);
        for (int64_t row = 0; row < taps_h; row++)
            for (int64_t tap = 0; tap < taps_w; tap++) {
                const float *from = x + row * rows->dilation * step + tap * columns->dilation * pixel + channel;
                value = reduce(average, value, load_channels(from, count));
            }
        if (average) value = es_div(value, es_splat(counted));
        if (count == ES_LANES)
            es_store(y + channel, value);
        else
            es_store_first(y + channel, value, count);
    }
}

/* Units are rows of y. */
static int64_t units_nhwc(const es_launch *launch, int phase)
{
    (void)phase;
    return (int64_t)(launch->out->shape[0] * launch->out->shape[2]);
}

static void run_nhwc(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase, (void)thread_scratch;
    const es_tensor *x = launch->in[0], *y = launch->out;
    es_window_axis rows = es_read_window(launch, 0), columns = es_read_window(launch, 1);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t image = unit / rows.windows, i = unit % rows.windows;
        const float *from = (const float *)(void *)launch->in_data[0] + image * (int64_t)x->strides[0];
        float *to = (float *)(void *)launch->out_data + image * (int64_t)y->strides[0];
        float *row = to + i * (int64_t)y->strides[2];
        for (int64_t j = 0; j < columns.windows; j++)
            pool_pixel(launch, &rows, &columns, i, j, from, row + j * (int64_t)y->strides[3]);
        es_zero_border_rows(y, to, i, i + 1);
    }
}

/* ---- ADAPTIVE_AVG_POOL ----------------------------------------------------------------------------------------- */

static float sum_of_row(const float *x, int64_t step, int64_t count)
{
    es_f32 sums = es_splat(0.0f);
    int64_t at = 0;
    for (; step == 1 && at + ES_LANES <= count; at += ES_LANES) sums = es_add(sums, es_load(x + at));
    float total = es_sum(sums);
    for (; at < count; at++) total += x[at * step];
    return total;
}

/* Units are (image, channel), in any layouts. */
static int64_t units_adaptive(const es_launch *launch, int phase)
{
    if (phase == 1) return es_border_units(launch);
    return es_count_planes(launch->in[0]);
}

static void run_adaptive(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)thread_scratch;
    if (phase == 1) {
        es_border_run(launch, begin, end);
        return;
    }
    const es_tensor *x = launch->in[0], *y = launch->out;
    int64_t height = (int64_t)x->shape[2], width = (int64_t)x->shape[3];
    int64_t rows = (int64_t)y->shape[2], columns = (int64_t)y->shape[3];
    for (int64_t unit = begin; unit < end; unit++) {
        const float *from = es_plane(launch->in_data[0], x, unit);
        float *to = es_plane(launch->out_data, y, unit);
        for (int64_t place = 0; place < rows * columns; place++) {
            int64_t i = place / columns, j = place % columns;
            int64_t top = i * height / rows, bottom = ((i + 1) * height + rows - 1) / rows;
            int64_t left = j * width / columns, right = ((j + 1) * width + columns - 1) / columns;
            double total = 0;
            for (int64_t row = top; row < bottom; row++)
                total += sum_of_row(from + row * (int64_t)x->strides[2] + left * (int64_t)x->strides[3],
                                    (int64_t)x->strides[3], right - left);
            to[i * (int64_t)y->strides[2] + j * (int64_t)y->strides[3]] =
                (float)(total / (double)((bottom - top) * (right - left)));
        }
    }
}

static bool accepts_chw(const es_launch *launch) { return launch->out->layout == ES_CHW; }
static bool accepts_nhwc(const es_launch *launch) { return launch->out->layout == ES_NHWC; }
static bool accepts_any(const es_launch *launch)
{
    (void)launch;
    return true;
}

#define POOL_CHW(op_, name_)                                                                                      \
    {.name = ES_KERNEL_NAME(name_), .op = op_, .variant = ES_THIS_VARIANT, .accepts = accepts_chw,                \
     .measure = measure_chw, .phases = 1, .units = units_chw, .run = run_chw}
#define POOL_NHWC(op_, name_)                                                                                     \
    {.name = ES_KERNEL_NAME(name_), .op = op_, .variant = ES_THIS_VARIANT, .accepts = accepts_nhwc, .phases = 1,  \
     .units = units_nhwc, .run = run_nhwc}
static const es_kernel max_chw = POOL_CHW(ES_MAX_POOL, "max_pool_f32_chw");
static const es_kernel average_chw = POOL_CHW(ES_AVG_POOL, "avg_pool_f32_chw");
static const es_kernel max_nhwc = POOL_NHWC(ES_MAX_POOL, "max_pool_f32_nhwc");
static const es_kernel average_nhwc = POOL_NHWC(ES_AVG_POOL, "avg_pool_f32_nhwc");
static const es_kernel adaptive = {.name = ES_KERNEL_NAME("adaptive_avg_pool_f32"), .op = ES_ADAPTIVE_AVG_POOL,
                                   .variant = ES_THIS_VARIANT, .accepts = accepts_any, .phases = 2,
                                   .units = units_adaptive, .run = run_adaptive};

ES_FAMILY(pooling) = {&max_chw, &average_chw, &max_nhwc, &average_nhwc, &adaptive, NULL};
