/* DWCONV in CHW: pixels of a row in the lanes, several rows in registers; units are planes. Windows of 3 x 3 and 5 x 5
 * with strides of 1 and 2 have register tiles of their own, all others one loop. */
#include "activation.h"
#include "border.h"
#include "constants.h"
#include "dwconv_tile.h"

enum { X, WEIGHT, BIAS };

typedef void (*strip_function)(const es_dwconv_plane *plane, const float *weights, const float *x, float *y);

#define NAME(kernel, stride, vectors) strip_##kernel##_##stride##_##vectors
#define STRIP(kernel, stride, vectors)                                                                             \
    static void NAME(kernel, stride, vectors)(const es_dwconv_plane *plane, const float *weights, const float *x,  \
                                              float *y)                                                            \
    {                                                                                                              \
        es_dwconv_strip(plane, weights, x, y, kernel, stride, vectors);                                            \
    }
#if defined(ES_VEC_NEON_H)
#define WIDE_STRIPS(kernel, stride) NARROW_STRIPS(kernel, stride) STRIP(kernel, stride, 3) STRIP(kernel, stride, 4)
#define WIDE_NAMES(kernel, stride) \
    {NAME(kernel, stride, 1), NAME(kernel, stride, 2), NAME(kernel, stride, 3), NAME(kernel, stride, 4)}
#else
#define WIDE_STRIPS(kernel, stride) NARROW_STRIPS(kernel, stride)
#define WIDE_NAMES(kernel, stride) NARROW_NAMES(kernel, stride)
#endif
#define NARROW_STRIPS(kernel, stride) STRIP(kernel, stride, 1) STRIP(kernel, stride, 2)
#define NARROW_NAMES(kernel, stride) {NAME(kernel, stride, 1), NAME(kernel, stride, 2)}

/* 25 taps take too many registers for wider strips, and too much code. */
enum { NARROW_VECTORS = 2 };

WIDE_STRIPS(3, 1)
WIDE_STRIPS(3, 2)
NARROW_STRIPS(5, 1)
NARROW_STRIPS(5, 2)

/* By kernel, stride and vectors - 1. */
static const strip_function strips[2][2][ES_DWCONV_VECTORS] = {{WIDE_NAMES(3, 1), WIDE_NAMES(3, 2)},
                                                               {NARROW_NAMES(5, 1), NARROW_NAMES(5, 2)}};

typedef struct shape {
    int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int64_t height, width;
    int64_t room; /* elements of a plane of y from pixel 0 on */
    const strip_function *strips;
} shape;

/* Of height rows as many as divide by 4 go by fours, 3, 6 or 9 by threes; 1, 2 and 5 rows leave single ones. */
static void split_rows(int64_t height, int64_t kernel, int64_t tiles[3])
{
    int64_t threes = height % 4 == 0 || height < 3 || height == 5 ? 0 : 4 - height % 4;
    if (kernel > ES_DWCONV_FOURS_UP_TO) {
        tiles[0] = 0;
        tiles[1] = height / 3;
        tiles[2] = height % 3;
        return;
    }
    tiles[0] = (height - 3 * threes) / 4;
    tiles[1] = threes;
    tiles[2] = height - 3 * threes - 4 * tiles[0];
}

static shape read_shape(const es_launch *launch)
{
    const es_tensor *y = launch->out;
    shape shape = {.kernel_h = es_word(launch, ES_W_KERNEL_H), .kernel_w = es_word(launch, ES_W_KERNEL_W),
                   .stride_h = es_word(launch, ES_W_STRIDE_H), .stride_w = es_word(launch, ES_W_STRIDE_W),
                   .dilation_h = es_word(launch, ES_W_DILATION_H), .dilation_w = es_word(launch, ES_W_DILATION_W),
                   .height = (int64_t)y->shape[2], .width = (int64_t)y->shape[3]};
    int64_t pixels = (shape.height - 1) * (int64_t)y->strides[2] + shape.width;
    int64_t framed = pixels + (int64_t)y->border.bottom * (int64_t)y->strides[2] + y->border.right;
    shape.room = (pixels + 15) / 16 * 16;
    if (framed > shape.room) shape.room = framed;
    bool square = shape.kernel_h == shape.kernel_w && shape.stride_h == shape.stride_w;
    bool known = (shape.kernel_h == 3 || shape.kernel_h == 5) && shape.stride_h <= 2;
    if (square && known && shape.dilation_h == 1 && shape.dilation_w == 1)
        shape.strips = strips[shape.kernel_h == 5][shape.stride_h == 2];
    return shape;
}

/* One pixel. */
static float convolve(const es_dwconv_plane *plane, const shape *shape, const float *weights, const float *x)
{
    float sum = plane->bias;
    for (int64_t ky = 0; ky < shape->kernel_h; ky++, weights += shape->kernel_w)
        for (int64_t kx = 0; kx < shape->kernel_w; kx++)
            sum += weights[kx] * x[ky * shape->dilation_h * plane->x_row + kx * shape->dilation_w];
    sum = plane->low > sum ? plane->low : sum;
    return plane->high < sum ? plane->high : sum;
}

/* A vector of a row, of any window. */
ES_INLINE es_f32 convolve_vector(const es_dwconv_plane *plane, const shape *shape, const float *weights,
                                 const float *x, const int STRIDE)
{
    es_f32 sum = es_splat(plane->bias), odd;
    int64_t step = shape->dilation_h * plane->x_row;
    for (int64_t ky = 0; ky < shape->kernel_h; ky++, weights += shape->kernel_w, x += step)
        for (int64_t kx = 0; kx < shape->kernel_w; kx++) {
            const float *from = x + kx * shape->dilation_w;
            es_f32 pixels;
            if (STRIDE == 1)
                pixels = es_load(from);
            else
                es_load_even_odd(from, &pixels, &odd);
            sum = es_fma_scalar(pixels, weights[kx], sum);
        }
    return es_bound(sum, es_splat(plane->low), es_splat(plane->high));
}

/* Any window: whole vectors of a row where the stride allows, then single pixels. */
static __attribute__((noinline)) void run_any(const es_dwconv_plane *plane, const shape *shape, const float *weights,
                                              const float *x, float *y)
{
    for (int64_t row = 0; row < shape->height; row++, x += shape->stride_h * plane->x_row, y += plane->y_row) {
        int64_t at = 0;
        if (shape->stride_w == 1)
            for (; at + ES_LANES <= shape->width; at += ES_LANES)
                es_store(y + at, convolve_vector(plane, shape, weights, x + at, 1));
        if (shape->stride_w == 2)
            for (; at + ES_LANES < shape->width; at += ES_LANES)
                es_store(y + at, convolve_vector(plane, shape, weights, x + 2 * at, 2));
        for (; at < shape->width; at++) y[at] = convolve(plane, shape, weights, x + at * shape->stride_w);
    }
}

/* Strips of as many vectors as there are registers for. The last one starts early instead of being short. In an image
 * narrower than a strip it overruns its rows instead: the next row mends that; behind the last one the plane has room. */
static void run_strips(const es_dwconv_plane *plane, const float *weights, const shape *shape, const float *x, float *y)
{
    for (int64_t left = 0; left < shape->width;) {
        int64_t rest = shape->width - left, start = left;
        int64_t most = (shape->kernel_h == 3 ? ES_DWCONV_VECTORS : NARROW_VECTORS) * ES_LANES;
        int vectors = (int)(((rest < most ? rest : most) + ES_LANES - 1) / ES_LANES);
        int64_t wide = vectors * ES_LANES;
        if (wide > rest) {
            if (wide <= shape->width)
                start = shape->width - wide;
            else if ((shape->height - 1) * plane->y_row + wide > shape->room)
                wide = --vectors * ES_LANES;
        }
        shape->strips[vectors - 1](plane, weights, x + start * shape->stride_w, y + start);
        left = start + wide;
    }
}

/* Whether strips can do it: where not even one vector may overrun a row, single pixels must. */
static bool fits_strips(const shape *shape, int64_t y_row)
{
    return shape->strips && (shape->width >= ES_LANES || (shape->height - 1) * y_row + ES_LANES <= shape->room);
}

static __attribute__((noinline)) void activate_plane(es_epilogue epilogue, const shape *shape, float *y, int64_t y_row)
{
    for (int64_t row = 0; row < shape->height; row++) es_activate_row(epilogue, y + row * y_row, shape->width);
}

static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase;
    const es_tensor *x = launch->in[X], *y = launch->out, *weight = launch->in[WEIGHT];
    shape shape = read_shape(launch);
    es_epilogue epilogue = es_read_epilogue(launch->step, ES_DWCONV_ACTIVATION);
    es_dwconv_plane plane = {.x_row = (int64_t)x->strides[2], .y_row = (int64_t)y->strides[2],
                             .next = shape.dilation_w, .low = epilogue.low, .high = epilogue.high};
    split_rows(shape.height, shape.kernel_h, plane.tiles);
    int64_t channels = (int64_t)x->shape[1], taps = shape.kernel_h * shape.kernel_w;
    int64_t first = es_word(launch, ES_W_PAD_TOP) * plane.x_row + es_word(launch, ES_W_PAD_LEFT);
    bool stripped = fits_strips(&shape, plane.y_row);
    int64_t image = begin / channels, channel = begin % channels;
    for (int64_t unit = begin; unit < end; unit++) {
        const float *from = (const float *)(void *)launch->in_data[X] + image * (int64_t)x->strides[0] +
                            channel * (int64_t)x->strides[1] - first;
        float *to = (float *)(void *)launch->out_data + image * (int64_t)y->strides[0] +
                    channel * (int64_t)y->strides[1];
        const float *weights = es_floats_at(weight, launch->in_data[WEIGHT], channel * taps, taps,
                                            (float *)(void *)thread_scratch);
        plane.bias = launch->in[BIAS] ? es_float_at(launch->in[BIAS], launch->in_data[BIAS], channel) : 0;
        if (stripped)
            run_strips(&plane, weights, &shape, from, to);
        else
            run_any(&plane, &shape, weights, from, to);
        if (!es_epilogue_is_bounds(epilogue)) activate_plane(epilogue, &shape, to, plane.y_row);
        es_zero_border(y, to);
        if (++channel < channels) continue;
        channel = 0;
        image++;
    }
}

static bool accepts(const es_launch *launch) { return launch->out->layout == ES_CHW; }

/* Room for a plane's weights as floats. */
static void measure(const es_launch *launch, es_needs *needs)
{
    uint64_t taps = launch->in[WEIGHT]->shape[1] * launch->in[WEIGHT]->shape[2];
    if (es_is_half(launch->in[WEIGHT])) needs->thread_scratch_bytes = (size_t)taps * sizeof(float);
}

static int64_t units(const es_launch *launch, int phase)
{
    (void)phase;
    return (int64_t)(launch->in[X]->shape[0] * launch->in[X]->shape[1]);
}

static const es_kernel kernel = {.name = ES_KERNEL_NAME("dwconv_f32_chw"), .op = ES_DWCONV,
                                 .variant = ES_THIS_VARIANT, .accepts = accepts, .measure = measure, .phases = 1,
                                 .units = units, .run = run};

ES_FAMILY(dwconv_chw) = {&kernel, NULL};
