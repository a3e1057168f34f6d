/* Steps that only move numbers: COPY, PHASE_SPLIT, PAD and TAKE_LAST. */
#include "copy.h"
#include "planes.h"
#include "vec.h"

static void fill_strided(float *to, int64_t step, int64_t count, float value)
{
    for (int64_t at = 0; at < count; at++) to[at * step] = value;
}

/* ---- PHASE_SPLIT ----------------------------------------------------------------------------------------------- */

/* Columns with even and with odd numbers of a row that has both in neighbours. */
static void split_row(const float *x, float *even, float *odd, int64_t width)
{
    int64_t at = 0;
    for (; 2 * (at + ES_LANES) <= width; at += ES_LANES) {
        es_f32 evens, odds;
        es_load_even_odd(x + 2 * at, &evens, &odds);
        es_store(even + at, evens);
        es_store(odd + at, odds);
    }
    for (; at < width / 2; at++) {
        even[at] = x[2 * at];
        odd[at] = x[2 * at + 1];
    }
    if (width % 2) {
        even[at] = x[2 * at];
        odd[at] = 0;
    }
}

/* Units are (image, row phase, channel). */
static int64_t split_units(const es_launch *launch, int phase)
{
    if (phase == 1) return es_border_units(launch);
    return (int64_t)(launch->in[0]->shape[0] * launch->in[0]->shape[1]) * es_word(launch, 0);
}

static void split_run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)thread_scratch;
    if (phase == 1) {
        es_border_run(launch, begin, end);
        return;
    }
    const es_tensor *x = launch->in[0], *y = launch->out;
    int64_t stride_h = es_word(launch, 0), stride_w = es_word(launch, 1), channels = (int64_t)x->shape[1];
    int64_t height = (int64_t)x->shape[2], width = (int64_t)x->shape[3];
    int64_t rows = (int64_t)y->shape[2], columns = (int64_t)y->shape[3];
    int64_t x_pixel = (int64_t)x->strides[3], y_pixel = (int64_t)y->strides[3], plane = (int64_t)y->strides[1];
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t image = unit / (stride_h * channels), row_phase = unit / channels % stride_h, channel = unit % channels;
        const float *from = (const float *)(void *)launch->in_data[0] + image * (int64_t)x->strides[0] +
                            channel * (int64_t)x->strides[1];
        float *to = (float *)(void *)launch->out_data + image * (int64_t)y->strides[0] +
                    (row_phase * stride_w * channels + channel) * plane;
        for (int64_t i = 0; i < rows; i++) {
            int64_t source = i * stride_h + row_phase;
            const float *line = from + (source < height ? source : 0) * (int64_t)x->strides[2];
            float *row = to + i * (int64_t)y->strides[2];
            if (source < height && stride_w == 2 && x_pixel == 1 && y_pixel == 1) {
                split_row(line, row, row + channels * plane, width);
                continue;
            }
            for (int64_t column_phase = 0; column_phase < stride_w; column_phase++, row += channels * plane) {
                int64_t inside = source < height ? (width - column_phase + stride_w - 1) / stride_w : 0;
                copy_strided(line + column_phase * x_pixel, stride_w * x_pixel, row, y_pixel, inside);
                fill_strided(row + inside * y_pixel, y_pixel, columns - inside, 0.0f);
            }
        }
    }
}

/* ---- PAD ------------------------------------------------------------------------------------------------------- */

/* Units are (image, channel). */
static int64_t pad_units(const es_launch *launch, int phase)
{
    if (phase == 1) return es_border_units(launch);
    return es_count_planes(launch->in[0]);
}

static void pad_run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)thread_scratch;
    if (phase == 1) {
        es_border_run(launch, begin, end);
        return;
    }
    const es_tensor *x = launch->in[0], *y = launch->out;
    int64_t top = es_word(launch, 0), left = es_word(launch, 1);
    int64_t height = (int64_t)x->shape[2], width = (int64_t)x->shape[3];
    int64_t rows = (int64_t)y->shape[2], columns = (int64_t)y->shape[3], pixel = (int64_t)y->strides[3];
    float value = es_word_float(launch->step->words[2]);
    for (int64_t unit = begin; unit < end; unit++) {
        const float *from = es_plane(launch->in_data[0], x, unit);
        float *to = es_plane(launch->out_data, y, unit);
        for (int64_t i = 0; i < rows; i++, to += y->strides[2]) {
            if (i < top || i >= top + height) {
                fill_strided(to, pixel, columns, value);
                continue;
            }
            fill_strided(to, pixel, left, value);
            copy_strided(from + (i - top) * (int64_t)x->strides[2], (int64_t)x->strides[3], to + left * pixel, pixel,
                         width);
            fill_strided(to + (left + width) * pixel, pixel, columns - left - width, value);
        }
    }
}

/* ---- TAKE_LAST ------------------------------------------------------------------------------------------------- */

static int64_t last_units(const es_launch *launch, int phase)
{
    (void)launch, (void)phase;
    return 1;
}

static void last_run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase, (void)begin, (void)end, (void)thread_scratch;
    const es_tensor *x = launch->in[0];
    int64_t first = (es_rows(launch, x) - 1) * (int64_t)x->strides[0], width = (int64_t)x->shape[1];
    float *to = (float *)(void *)launch->out_data;
    const float *from = es_floats_at(x, launch->in_data[0], first, width, to);
    if (from != to) memcpy(to, from, (size_t)width * sizeof(float));
}

static bool accepts(const es_launch *launch)
{
    (void)launch;
    return true;
}

#define MOVEMENT(op_, name_, phases_, units_, run_)                                                        \
    {.name = ES_KERNEL_NAME(name_), .op = op_, .variant = ES_THIS_VARIANT, .accepts = accepts, .phases = phases_, \
     .units = units_, .run = run_}
static const es_kernel copy = MOVEMENT(ES_COPY, "copy_f32", 2, copy_units, copy_run);
static const es_kernel phase_split = MOVEMENT(ES_PHASE_SPLIT, "phase_split_f32", 2, split_units, split_run);
static const es_kernel pad = MOVEMENT(ES_PAD, "pad_f32", 2, pad_units, pad_run);
static const es_kernel take_last = MOVEMENT(ES_TAKE_LAST, "take_last_f32", 1, last_units, last_run);

ES_FAMILY(movement) = {&copy, &phase_split, &pad, &take_last, NULL};
