/* MAX_POOL and AVG_POOL in CHW: windows are reduced along columns first, into one row that is padded with what changes
 * nothing; then along that row, so that no edge of the image is special. Units are planes. */
#ifndef ES_POOL_CHW_H
#define ES_POOL_CHW_H

#include <math.h>

#include "border.h"
#include "planes.h"
#include "vec.h"
#include "windows.h"

/* Reach of a window along a row up to which the padded row is made; wider ones are clipped tap by tap. */
enum { LARGEST_REACH = 4096 };

ES_INLINE es_f32 reduce(bool average, es_f32 a, es_f32 b) { return average ? es_add(a, b) : es_max(a, b); }

static inline float reduce_one(bool average, float a, float b) { return average ? a + b : b > a ? b : a; }

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

/* padded[0 … width - 1] = the taps of a column of the window, reduced. TAPS is a constant, or 0 for any number. */
ES_INLINE void reduce_columns(bool average, const float *x, int64_t step, int64_t taps, float *padded, int64_t width,
                              const int TAPS)
{
    if (TAPS) taps = TAPS;
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
    float lanes[ES_LANES];
    for (int lane = 0; lane < ES_LANES; lane++) lanes[lane] = from[lane * stride];
    return es_load(lanes);
}

/* KERNEL and STRIDE are constants, or 0 for any; with a stride of 2 one load gives two taps. */
ES_INLINE es_f32 reduce_windows(bool average, const es_window_axis *columns, const float *from, const int KERNEL,
                                const int STRIDE)
{
    int64_t kernel = KERNEL ? KERNEL : columns->kernel, dilation = KERNEL ? 1 : columns->dilation;
    es_f32 value, even, odd;
    if (KERNEL && STRIDE == 2) {
        es_load_even_odd(from, &even, &odd);
        value = reduce(average, even, odd);
        for (int64_t tap = 2; tap < kernel; tap += 2) {
            es_load_even_odd(from + tap, &even, &odd);
            value = reduce(average, value, even);
            if (tap + 1 < kernel) value = reduce(average, value, odd);
        }
        return value;
    }
    value = STRIDE == 1 ? es_load(from) : load_strided(from, columns->stride);
    for (int64_t tap = 1; tap < kernel; tap++) {
        from += dilation;
        value = reduce(average, value, STRIDE == 1 ? es_load(from) : load_strided(from, columns->stride));
    }
    return value;
}

/* A row of y; shares are what an average multiplies its sums by, and by share. */
ES_INLINE void reduce_row(bool average, const es_window_axis *columns, const float *padded, const float *shares,
                          float share, float *y, const int KERNEL, const int STRIDE)
{
    for (int64_t at = 0; at < columns->windows; at += ES_LANES) {
        const float *from = padded + at * columns->stride - columns->before;
        es_f32 value = reduce_windows(average, columns, from, KERNEL, STRIDE);
        if (average) value = es_mul(value, es_mul(es_load(shares + at), es_splat(share)));
        int64_t rest = columns->windows - at;
        if (rest >= ES_LANES)
            es_store(y + at, value);
        else
            es_store_first(y + at, value, (int)rest);
    }
}

/* Windows of 2 and 3 pixels, 1 and 2 apart, have loops of their own. */
ES_INLINE void pool_row(bool average, const es_window_axis *columns, const float *x, int64_t step, int64_t taps,
                        float *padded, const float *shares, float share, float *y)
{
    if (taps == 3)
        reduce_columns(average, x, step, taps, padded, columns->length, 3);
    else if (taps == 2)
        reduce_columns(average, x, step, taps, padded, columns->length, 2);
    else
        reduce_columns(average, x, step, taps, padded, columns->length, 0);
    int64_t kind = columns->dilation > 1 ? 0 : 4 * columns->kernel + columns->stride;
    if (kind == 4 * 3 + 2)
        reduce_row(average, columns, padded, shares, share, y, 3, 2);
    else if (kind == 4 * 2 + 2)
        reduce_row(average, columns, padded, shares, share, y, 2, 2);
    else if (kind == 4 * 3 + 1)
        reduce_row(average, columns, padded, shares, share, y, 3, 1);
    else if (columns->stride == 1)
        reduce_row(average, columns, padded, shares, share, y, 0, 1);
    else
        reduce_row(average, columns, padded, shares, share, y, 0, 0);
}

/* The same for windows whose reach is not worth a padded row. */
static void pool_row_far(bool average, const es_window_axis *columns, const float *x, int64_t step, int64_t taps,
                         const float *shares, float share, float *y)
{
    for (int64_t i = 0; i < columns->windows; i++) {
        int64_t first, count = es_taps_inside(columns, i, &first);
        const float *from = x + i * columns->stride - columns->before + first * columns->dilation;
        float value = average ? 0 : -INFINITY;
        for (int64_t row = 0; row < taps; row++)
            for (int64_t tap = 0; tap < count; tap++)
                value = reduce_one(average, value, from[row * step + tap * columns->dilation]);
        y[i] = average ? value * (shares[i] * share) : value;
    }
}

/* Floats of the shares: one for every window of a row, in whole vectors. */
static int64_t room_for_shares(const es_launch *launch)
{
    if (launch->step->op != ES_AVG_POOL) return 0;
    return ((int64_t)launch->out->shape[3] + ES_LANES - 1) / ES_LANES * ES_LANES;
}

static void pool_plane(const es_launch *launch, const es_window_axis *rows, const es_window_axis *columns,
                       const float *x, float *padded, const float *shares, float *y)
{
    bool average = launch->step->op == ES_AVG_POOL;
    int64_t step = (int64_t)launch->in[0]->strides[2];
    for (int64_t i = 0; i < rows->windows; i++, y += launch->out->strides[2]) {
        int64_t first, taps = es_taps_inside(rows, i, &first);
        const float *line = x + (i * rows->stride - rows->before + first * rows->dilation) * step;
        float share = average ? 1.0f / (float)es_taps_counted(rows, i) : 1;
        if (!padded)
            pool_row_far(average, columns, line, step * rows->dilation, taps, shares, share, y);
        else if (average)
            pool_row(true, columns, line, step * rows->dilation, taps, padded, shares, share, y);
        else
            pool_row(false, columns, line, step * rows->dilation, taps, padded, shares, share, y);
    }
}

static void run_chw(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase;
    const es_tensor *x = launch->in[0], *y = launch->out;
    es_window_axis rows = es_read_window(launch, 0), columns = es_read_window(launch, 1);
    float *shares = (float *)(void *)thread_scratch, *padded = NULL;
    for (int64_t i = 0; i < room_for_shares(launch); i++)
        shares[i] = i < columns.windows ? 1.0f / (float)es_taps_counted(&columns, i) : 0;
    if (!reaches_far(&columns)) {
        int64_t before = room_before(&columns), whole = before + columns.length + room_after(&columns);
        padded = shares + room_for_shares(launch);
        for (int64_t at = 0; at < whole; at++) padded[at] = launch->step->op == ES_AVG_POOL ? 0 : -INFINITY;
        padded += before;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        const float *from = es_plane(launch->in_data[0], x, unit);
        float *to = es_plane(launch->out_data, y, unit);
        pool_plane(launch, &rows, &columns, from, padded, shares, to);
        es_zero_border(y, to);
    }
}

static void measure_chw(const es_launch *launch, es_needs *needs)
{
    es_window_axis columns = es_read_window(launch, 1);
    uint64_t floats = (uint64_t)room_for_shares(launch);
    if (!reaches_far(&columns)) floats += (uint64_t)(room_before(&columns) + columns.length + room_after(&columns));
    /* More than there can be, where it does not even fit into a size_t. */
    needs->thread_scratch_bytes = floats < SIZE_MAX / 16 ? (size_t)floats * sizeof(float) : SIZE_MAX / 2;
}

static int64_t units_chw(const es_launch *launch, int phase)
{
    (void)phase;
    return es_count_planes(launch->in[0]);
}

#endif
