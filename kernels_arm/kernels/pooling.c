/* MAX_POOL, AVG_POOL and ADAPTIVE_AVG_POOL. In CHW windows are reduced along columns first, into one row that is padded
 * with what changes nothing; then along that row, so that no edge of the image is special. */
#include <math.h>

#include "border.h"
#include "vec.h"
#include "windows.h"

/* Reach of a window along a row up to which the padded row is made; wider ones are clipped tap by tap. */
enum { LARGEST_REACH = 4096 };

ES_INLINE es_f32 reduce(bool average, es_f32 a, es_f32 b) { return average ? es_add(a, b) : es_max(a, b); }

static inline float reduce_one(bool average, float a, float b) { return average ? a + b : b > a ? b : a; }

/* ---- CHW ------------------------------------------------------------------------------------------------------- */

static bool reaches_far(const es_window_axis *columns)
{
    return columns->kernel > LARGEST_REACH || (columns->kernel - 1) * columns->dilation > LARGEST_REACH;
}

/* Floats before and after the image in the padded row. */
static int64_t room_before(const es_window_axis *columns)
{
    return (int64_t)es_round_up((size_t)columns->before, ES_LANES);
}
static int64_t room_after(const es_window_axis *columns)
{
    return (columns->kernel - 1) * columns->dilation + 2 * columns->stride * ES_LANES + ES_LANES;
}

/* padded[0 … width - 1] = the taps of a column of the window, reduced. */
ES_INLINE void reduce_columns(bool average, const float *x, int64_t step, int64_t taps, float *padded, int64_t width)
{
    int64_t at = 0;
    for (; at + ES_LANES <= width; at += ES_LANES) {
        es_f32 value = es_load(x + at);
        for (int64_t tap = 1; tap < taps; tap++) value = reduce(average, value, es_load(x + tap * step + at));
        es_store(padded + at, value);
    }
    for (; at < width; at++) {
        float value = x[at];
        for (int64_t tap = 1; tap < taps; tap++) value = reduce_one(average, value, x[tap * step + at]);
        padded[at] = value;
    }
}

/* ES_LANES windows from a place on, stride apart. */
ES_INLINE es_f32 load_strided(const float *from, int64_t stride)
{
    if (stride == 1) return es_load(from);
    if (stride == 2) {
        es_f32 even, odd;
        es_load_even_odd(from, &even, &odd);
        return even;
    }
    float lanes[ES_LANES];
    for (int lane = 0; lane < ES_LANES; lane++) lanes[lane] = from[lane * stride];
    return es_load(lanes);
}

ES_INLINE void reduce_row(bool average, const es_window_axis *columns, int64_t stride, const float *padded, float *y)
{
    for (int64_t at = 0; at < columns->windows; at += ES_LANES) {
        const float *from = padded + at * stride - columns->before;
        es_f32 value = load_strided(from, stride);
        for (int64_t tap = 1; tap < columns->kernel; tap++)
            value = reduce(average, value, load_strided(from + tap * columns->dilation, stride));
        int64_t rest = columns->windows - at;
        if (rest >= ES_LANES)
            es_store(y + at, value);
        else
            es_store_first(y + at, value, (int)rest);
    }
}

ES_INLINE void pool_row(bool average, const es_window_axis *columns, const float *x, int64_t step, int64_t taps,
                        float *padded, float *y)
{
    reduce_columns(average, x, step, taps, padded, columns->length);
    if (columns->stride == 1)
        reduce_row(average, columns, 1, padded, y);
    else if (columns->stride == 2)
        reduce_row(average, columns, 2, padded, y);
    else
        reduce_row(average, columns, columns->stride, padded, y);
}

/* The same for windows whose reach is not worth a padded row. */
static void pool_row_far(bool average, const es_window_axis *columns, const float *x, int64_t step, int64_t taps,
                         float *y)
{
    for (int64_t i = 0; i < columns->windows; i++) {
        int64_t first, count = es_taps_inside(columns, i, &first);
        const float *from = x + i * columns->stride - columns->before + first * columns->dilation;
        float value = average ? 0 : -INFINITY;
        for (int64_t row = 0; row < taps; row++)
            for (int64_t tap = 0; tap < count; tap++)
                value = reduce_one(average, value, from[row * step + tap * columns->dilation]);
        y[i] = value;
    }
}

static void divide_row(const es_window_axis *columns, int64_t counted_rows, float *y)
{
    for (int64_t i = 0; i < columns->windows; i++) y[i] /= (float)(counted_rows * es_taps_counted(columns, i));
}

static void run_chw(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase;
    const es_tensor *x = launch->in[0], *y = launch->out;
    bool average = launch->step->op == ES_AVG_POOL;
    es_window_axis rows = es_read_window(launch, 0), columns = es_read_window(launch, 1);
    float *padded = (float *)(void *)thread_scratch;
    bool far = reaches_far(&columns);
    if (!far) {
        int64_t before = room_before(&columns), whole = before + columns.length + room_after(&columns);
        for (int64_t at = 0; at < whole; at++) padded[at] = average ? 0 : -INFINITY;
        padded += before;
    }
    int64_t channels = (int64_t)x->shape[1], step = (int64_t)x->strides[2];
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t image = unit / channels, channel = unit % channels;
        const float *from = (const float *)(void *)launch->in_data[0] + image * (int64_t)x->strides[0] +
                            channel * (int64_t)x->strides[1];
        float *to = (float *)(void *)launch->out_data + image * (int64_t)y->strides[0] +
                    channel * (int64_t)y->strides[1];
        for (int64_t i = 0; i < rows.windows; i++) {
            int64_t first, taps = es_taps_inside(&rows, i, &first);
            const float *line = from + (i * rows.stride - rows.before + first * rows.dilation) * step;
            float *row = to + i * (int64_t)y->strides[2];
            if (far)
                pool_row_far(average, &columns, line, step * rows.dilation, taps, row);
            else if (average)
                pool_row(true, &columns, line, step * rows.dilation, taps, padded, row);
            else
                pool_row(false, &columns, line, step * rows.dilation, taps, padded, row);
            if (average) divide_row(&columns, es_taps_counted(&rows, i), row);
        }
        es_zero_border(y, to);
    }
}

static void measure_chw(const es_launch *launch, es_needs *needs)
{
    es_window_axis columns = es_read_window(launch, 1);
    if (reaches_far(&columns)) return;
    uint64_t floats = (uint64_t)(room_before(&columns) + columns.length + room_after(&columns));
    /* More than there can be, where it does not even fit into a size_t. */
    needs->thread_scratch_bytes = floats < SIZE_MAX / 16 ? (size_t)floats * sizeof(float) : SIZE_MAX / 2;
}

static int64_t units_chw(const es_launch *launch, int phase)
{
    (void)phase;
    return (int64_t)(launch->in[0]->shape[0] * launch->in[0]->shape[1]);
}

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
    return (int64_t)(launch->in[0]->shape[0] * launch->in[0]->shape[1]);
}

static void run_adaptive(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)thread_scratch;
    if (phase == 1) {
        es_border_run(launch, begin, end);
        return;
    }
    const es_tensor *x = launch->in[0], *y = launch->out;
    int64_t channels = (int64_t)x->shape[1], height = (int64_t)x->shape[2], width = (int64_t)x->shape[3];
    int64_t rows = (int64_t)y->shape[2], columns = (int64_t)y->shape[3];
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t image = unit / channels, channel = unit % channels;
        const float *from = (const float *)(void *)launch->in_data[0] + image * (int64_t)x->strides[0] +
                            channel * (int64_t)x->strides[1];
        float *to = (float *)(void *)launch->out_data + image * (int64_t)y->strides[0] +
                    channel * (int64_t)y->strides[1];
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
