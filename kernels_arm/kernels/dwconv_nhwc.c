/* DWCONV in NHWC: channels in the lanes, pixels of two rows in registers; units are pairs of rows, so that threads and
 * caches see whole pixels. Windows of 3 x 3 and 5 x 5 with strides of 1 and 2 have tiles of their own. */
#include "activation.h"
#include "border.h"
#include "constants.h"
#include "finish_sums.h"

enum { X, WEIGHT, BIAS };
enum { ROWS = 2, PIXELS = 4, MAX_TAPS = 25 };

typedef struct shape {
    int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int64_t channels, height, width;
    int64_t x_row, x_pixel, y_row, y_pixel;
    es_epilogue epilogue;
} shape;

/* ES_LANES channels: x at tap (0, 0) of a row's first pixel, y at that pixel. */
typedef struct block {
    const shape *shape;
    const es_f32 *weights; /* of all taps; of tiles only */
    es_f32 bias;
    int count; /* of channels that there are */
} block;

/* `tiles` tiles side by side. */
typedef void (*tiles_function)(const block *block, const float *x, float *y, int64_t tiles);

ES_INLINE void store(const block *block, float *y, es_f32 value)
{
    if (block->count == ES_LANES)
        es_store(y, value);
    else
        es_store_first(y, value, block->count);
}

/* Everything in capitals is a constant where this is called. A pixel is loaded once for all sums that it belongs to. */
ES_INLINE void add_tile(es_f32 *sums, const es_f32 *weights, const float *x, int64_t x_row, int64_t x_pixel,
                        const int KERNEL, const int STRIDE, const int TILE_ROWS, const int TILE_PIXELS)
{
    ES_UNROLL
    for (int row = 0; row < (TILE_ROWS - 1) * STRIDE + KERNEL; row++, x += x_row) {
        es_finish_sums(sums, TILE_ROWS * TILE_PIXELS);
        ES_UNROLL
        for (int column = 0; column < (TILE_PIXELS - 1) * STRIDE + KERNEL; column++) {
            es_f32 pixel = es_load(x + column * x_pixel);
            ES_UNROLL
            for (int s = 0; s < TILE_ROWS * TILE_PIXELS; s++) {
                int ky = row - s / TILE_PIXELS * STRIDE, kx = column - s % TILE_PIXELS * STRIDE;
                if (ky < 0 || ky >= KERNEL || kx < 0 || kx >= KERNEL) continue;
                sums[s] = es_fma(pixel, weights[ky * KERNEL + kx], sums[s]);
            }
        }
    }
}

ES_INLINE void run_tiles(const block *block, const float *x, float *y, int64_t tiles, const int KERNEL,
                         const int STRIDE, const int TILE_ROWS, const int TILE_PIXELS)
{
    const shape *shape = block->shape;
    const int64_t x_row = shape->x_row, x_pixel = shape->x_pixel, y_row = shape->y_row, y_pixel = shape->y_pixel;
    const es_f32 bias = block->bias, low = es_splat(shape->epilogue.low), high = es_splat(shape->epilogue.high);
    const bool whole = block->count == ES_LANES;
    es_f32 sums[ROWS * PIXELS], weights[MAX_TAPS];
    ES_UNROLL
    for (int tap = 0; tap < KERNEL * KERNEL; tap++) weights[tap] = block->weights[tap];
    for (; tiles > 0; tiles--, x += TILE_PIXELS * STRIDE * x_pixel, y += TILE_PIXELS * y_pixel) {
        ES_UNROLL
        for (int s = 0; s < TILE_ROWS * TILE_PIXELS; s++) sums[s] = bias;
        add_tile(sums, weights, x, x_row, x_pixel, KERNEL, STRIDE, TILE_ROWS, TILE_PIXELS);
        ES_UNROLL
        for (int s = 0; s < TILE_ROWS * TILE_PIXELS; s++) sums[s] = es_bound(sums[s], low, high);
        if (whole) {
            ES_UNROLL
            for (int s = 0; s < TILE_ROWS * TILE_PIXELS; s++)
                es_store(y + s / TILE_PIXELS * y_row + s % TILE_PIXELS * y_pixel, sums[s]);
        } else {
            for (int s = 0; s < TILE_ROWS * TILE_PIXELS; s++)
                store(block, y + s / TILE_PIXELS * y_row + s % TILE_PIXELS * y_pixel, sums[s]);
        }
    }
}

#define NAME(kernel, stride, rows, pixels) tiles_##kernel##_##stride##_##rows##_##pixels
#define TILE(kernel, stride, rows, pixels)                                                                          \
    static void NAME(kernel, stride, rows, pixels)(const block *block, const float *x, float *y, int64_t tiles)     \
    {                                                                                                               \
        run_tiles(block, x, y, tiles, kernel, stride, rows, pixels);                                                \
    }
#define TILES(kernel, stride) \
    TILE(kernel, stride, 1, 1) TILE(kernel, stride, 1, 4) TILE(kernel, stride, 2, 1) TILE(kernel, stride, 2, 4)
#define NAMES(kernel, stride) \
    {{NAME(kernel, stride, 1, 1), NAME(kernel, stride, 1, 4)}, {NAME(kernel, stride, 2, 1), NAME(kernel, stride, 2, 4)}}
TILES(3, 1)
TILES(3, 2)
TILES(5, 1)
TILES(5, 2)
/* By kernel, stride, rows and pixels (1 or 4). */
static const tiles_function tiles[2][2][2][2] = {{NAMES(3, 1), NAMES(3, 2)}, {NAMES(5, 1), NAMES(5, 2)}};

static const tiles_function (*find_tiles(const shape *shape))[2]
{
    bool square = shape->kernel_h == shape->kernel_w && shape->stride_h == shape->stride_w;
    bool known = (shape->kernel_h == 3 || shape->kernel_h == 5) && shape->stride_h <= 2;
    if (!square || !known || shape->dilation_h > 1 || shape->dilation_w > 1) return NULL;
    return tiles[shape->kernel_h == 5][shape->stride_h == 2];
}

static shape read_shape(const es_launch *launch)
{
    const es_tensor *x = launch->in[X], *y = launch->out;
    return (shape){.kernel_h = es_word(launch, ES_W_KERNEL_H), .kernel_w = es_word(launch, ES_W_KERNEL_W),
                   .stride_h = es_word(launch, ES_W_STRIDE_H), .stride_w = es_word(launch, ES_W_STRIDE_W),
                   .dilation_h = es_word(launch, ES_W_DILATION_H), .dilation_w = es_word(launch, ES_W_DILATION_W),
                   .channels = (int64_t)y->shape[1], .height = (int64_t)y->shape[2], .width = (int64_t)y->shape[3],
                   .x_row = (int64_t)x->strides[2], .x_pixel = (int64_t)x->strides[3],
                   .y_row = (int64_t)y->strides[2], .y_pixel = (int64_t)y->strides[3],
                   .epilogue = es_read_epilogue(launch->step, ES_DWCONV_ACTIVATION)};
}

/* Numbers of a constant for a block of channels; the lanes beyond the last channel are zero. */
static es_f32 load_constant(const es_launch *launch, int input, int64_t offset, int count)
{
    float room[ES_LANES];
    const float *from = es_floats_at(launch->in[input], launch->in_data[input], offset, count, room);
    return count == ES_LANES ? es_load(from) : es_load_first(from, count);
}

/* One pixel of any window. */
static void convolve(const es_launch *launch, const block *block, int64_t channel, const float *x, float *y)
{
    const shape *shape = block->shape;
    es_f32 sum = block->bias;
    int64_t tap = channel;
    for (int64_t ky = 0; ky < shape->kernel_h; ky++)
        for (int64_t kx = 0; kx < shape->kernel_w; kx++, tap += shape->channels) {
            es_f32 pixel = es_load(x + ky * shape->dilation_h * shape->x_row + kx * shape->dilation_w * shape->x_pixel);
            sum = es_fma(pixel, load_constant(launch, WEIGHT, tap, block->count), sum);
        }
    store(block, y, es_bound(sum, es_splat(shape->epilogue.low), es_splat(shape->epilogue.high)));
}

/* All pixels of some rows in tiles. The last one of a row starts early instead of being short. */
static void run_rows(const block *block, const tiles_function functions[2], const float *x, float *y)
{
    const shape *shape = block->shape;
    int64_t x_step = shape->stride_w * shape->x_pixel, start = shape->width - PIXELS;
    if (start < 0) {
        functions[0](block, x, y, shape->width);
        return;
    }
    functions[1](block, x, y, shape->width / PIXELS);
    if (shape->width % PIXELS) functions[1](block, x + start * x_step, y + start * shape->y_pixel, 1);
}

/* A block of channels of `rows` rows. */
static void run_block(const es_launch *launch, const shape *shape, int64_t channel, int rows, const float *x, float *y)
{
    const tiles_function(*functions)[2] = find_tiles(shape);
    es_f32 weights[MAX_TAPS];
    int64_t rest = shape->channels - channel;
    block block = {.shape = shape, .weights = weights, .count = rest < ES_LANES ? (int)rest : ES_LANES};
    block.bias = launch->in[BIAS] ? load_constant(launch, BIAS, channel, block.count) : es_splat(0.0f);
    if (functions) {
        for (int tap = 0; tap < shape->kernel_h * shape->kernel_w; tap++)
            weights[tap] = load_constant(launch, WEIGHT, tap * shape->channels + channel, block.count);
        run_rows(&block, functions[rows - 1], x, y);
        return;
    }
    for (int row = 0; row < rows; row++)
        for (int64_t at = 0; at < shape->width; at++)
            convolve(launch, &block, channel,
                     x + row * shape->stride_h * shape->x_row + at * shape->stride_w * shape->x_pixel,
                     y + row * shape->y_row + at * shape->y_pixel);
}

static void activate_rows(const shape *shape, float *y, int rows)
{
    if (es_epilogue_is_bounds(shape->epilogue)) return;
    for (int row = 0; row < rows; row++)
        for (int64_t at = 0; at < shape->width; at++)
            es_activate_row(shape->epilogue, y + row * shape->y_row + at * shape->y_pixel, shape->channels);
}

static int64_t units(const es_launch *launch, int phase)
{
    (void)phase;
    return (int64_t)(launch->out->shape[0] * ((launch->out->shape[2] + ROWS - 1) / ROWS));
}

static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase, (void)thread_scratch;
    const es_tensor *x = launch->in[X], *y = launch->out;
    shape shape = read_shape(launch);
    int64_t bands = (shape.height + ROWS - 1) / ROWS;
    int64_t first = es_word(launch, ES_W_PAD_TOP) * shape.x_row + es_word(launch, ES_W_PAD_LEFT) * shape.x_pixel;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t image = unit / bands, row = unit % bands * ROWS;
        int rows = shape.height - row < ROWS ? (int)(shape.height - row) : ROWS;
        const float *from = (const float *)(void *)launch->in_data[X] + image * (int64_t)x->strides[0] +
                            row * shape.stride_h * shape.x_row - first;
        float *origin = (float *)(void *)launch->out_data + image * (int64_t)y->strides[0];
        float *to = origin + row * shape.y_row;
        for (int64_t channel = 0; channel < shape.channels; channel += ES_LANES) {
            int64_t start = channel + ES_LANES <= shape.channels || shape.channels < ES_LANES
                                ? channel : shape.channels - ES_LANES;
            run_block(launch, &shape, start, rows, from + start, to + start);
        }
        activate_rows(&shape, to, rows);
        es_zero_border_rows(y, origin, row, row + rows);
    }
}

static bool accepts(const es_launch *launch) { return launch->out->layout == ES_NHWC; }

static const es_kernel kernel = {.name = ES_KERNEL_NAME("dwconv_f32_nhwc"), .op = ES_DWCONV,
                                 .variant = ES_THIS_VARIANT, .accepts = accepts, .phases = 1, .units = units,
                                 .run = run};

ES_FAMILY(dwconv_nhwc) = {&kernel, NULL};
