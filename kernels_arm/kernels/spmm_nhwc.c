/* SPMM whose result is in NHWC: output rows in the lanes, x in either layout. */
#include "border.h"
#include "spmm_rows_strip.h"

/* Pixels of a block lie in half of a small second-level cache; where the weights exceed it, half of a usual one. */
enum { BLOCK_BYTES = 128 << 10, STREAMED_BLOCK_BYTES = 512 << 10, MOST_TILES = 64 };
/* Units that a step is cut into at least, so that threads share it evenly. */
enum { LEAST_UNITS = 32 };

/* The head of the prepared memory. A run is a row of the image, or all of it where rows have no gaps between them. */
typedef struct nhwc_product {
    es_operands operands;
    es_row_place place;
    bool flat;
    int64_t runs, run_pixels, tiles_of_run;
    int64_t block_tiles, blocks;
} nhwc_product;

static int64_t pixels_of_row(const es_tensor *image) { return (int64_t)(image->strides[2] / image->strides[3]); }

static bool same_rows(const es_tensor *a, const es_tensor *b) { return !b || pixels_of_row(a) == pixels_of_row(b); }

/* Whether one distance leads from every output pixel to the next, in all operands. */
static bool is_flat(const es_launch *launch)
{
    const es_tensor *y = launch->out;
    if (y->shape[2] == 1) return true;
    bool strided = (es_word(launch, ES_SPMM_WINDOW + 2) != 1 || es_word(launch, ES_SPMM_WINDOW + 3) != 1) &&
                   !es_word(launch, ES_SPMM_PHASE_SPLIT);
    return !strided && pixels_of_row(y) == (int64_t)y->shape[3] && same_rows(y, launch->in[0]) &&
           same_rows(y, launch->in[2]);
}

/* Elements of x between what neighbouring output pixels read. */
static int64_t x_step(const es_launch *launch, int axis)
{
    int64_t stride = es_word(launch, ES_SPMM_PHASE_SPLIT) ? 1 : es_word(launch, ES_SPMM_WINDOW + axis);
    return (int64_t)launch->in[0]->strides[axis] * stride;
}

static void shape_product(const es_launch *launch, nhwc_product *product)
{
    const es_tensor *y = launch->out;
    product->flat = is_flat(launch);
    product->runs = (int64_t)(product->flat ? y->shape[0] : y->shape[0] * y->shape[2]);
    product->run_pixels = (int64_t)(product->flat ? y->shape[2] * y->shape[3] : y->shape[3]);
    product->tiles_of_run = (product->run_pixels + ES_ROW_PIXELS - 1) / ES_ROW_PIXELS;
    int64_t pixel_bytes = (int64_t)(launch->in[0]->shape[1] * sizeof(float));
    int64_t block_bytes = es_word(launch, ES_SPMM_STRIPS_OUTERMOST) ? STREAMED_BLOCK_BYTES : BLOCK_BYTES;
    int64_t tiles = block_bytes / (pixel_bytes * ES_ROW_PIXELS);
    product->block_tiles = tiles < 1 ? 1 : tiles < MOST_TILES ? tiles : MOST_TILES;
    product->blocks = (product->runs * product->tiles_of_run + product->block_tiles - 1) / product->block_tiles;
}

static uint32_t wanted_chunks(const es_launch *launch, const nhwc_product *product)
{
    int64_t wanted = (LEAST_UNITS + product->blocks - 1) / product->blocks, strips = es_matrix_of(launch)->strips;
    return (uint32_t)(wanted < strips ? wanted : strips);
}

static void measure(const es_launch *launch, es_needs *needs)
{
    nhwc_product product;
    shape_product(launch, &product);
    es_measure_operands(launch, sizeof product, wanted_chunks(launch, &product), needs);
}

static void prepare(es_launch *launch)
{
    nhwc_product *product = launch->prepared;
    shape_product(launch, product);
    es_prepare_operands(launch, sizeof *product, wanted_chunks(launch, product), &product->operands);
    product->place = es_row_place_of(launch, product->operands.bias, x_step(launch, 3),
                                     (int64_t)launch->out->strides[3],
                                     launch->in[2] ? (int64_t)launch->in[2]->strides[3] : 0);
}

static int64_t units(const es_launch *launch, int phase)
{
    (void)phase;
    const nhwc_product *product = launch->prepared;
    return product->blocks * product->operands.chunk_count;
}

/* Elements from element zero to the first pixel of a run; axes of length 1 step nowhere. */
static int64_t run_offset(const es_tensor *image, int64_t number, int64_t line, int64_t line_step)
{
    return (number ? number * (int64_t)image->strides[0] : 0) + (line ? line * line_step : 0);
}

static es_pixels tile_of(const es_launch *launch, int64_t tile)
{
    const nhwc_product *product = launch->prepared;
    const es_tensor *x = launch->in[0], *y = launch->out, *residual = launch->in[2];
    int64_t run = tile / product->tiles_of_run, index = tile % product->tiles_of_run;
    int64_t height = product->flat ? 1 : (int64_t)y->shape[2], image = run / height, line = run % height;
    int64_t first = product->run_pixels * index / product->tiles_of_run;
    int64_t end = product->run_pixels * (index + 1) / product->tiles_of_run;
    es_pixels pixels = {.count = end - first};
    pixels.x = (const float *)(const void *)launch->in_data[0] + run_offset(x, image, line, x_step(launch, 2)) +
               first * product->place.x_pixel;
    pixels.y = (float *)(void *)launch->out_data + run_offset(y, image, line, (int64_t)y->strides[2]) +
               first * product->place.y_pixel;
    if (residual)
        pixels.residual = (const float *)(const void *)launch->in_data[2] +
                          run_offset(residual, image, line, (int64_t)residual->strides[2]) +
                          first * product->place.residual_pixel;
    return pixels;
}

/* The border that belongs to a run, written by the unit that has the run's first tile and the first strips. */
static void zero_border_of(const es_launch *launch, int64_t run)
{
    const nhwc_product *product = launch->prepared;
    const es_tensor *y = launch->out;
    int64_t height = (int64_t)y->shape[2], image = product->flat ? run : run / height;
    int64_t line = product->flat ? 0 : run % height;
    es_zero_border_rows(y, (float *)(void *)launch->out_data + run_offset(y, image, 0, 0), line,
                        product->flat ? height : line + 1);
}

/* Strips outermost inside a unit: the weights of one stay in the first-level cache while a block of pixels passes. */
static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase;
    (void)thread_scratch;
    const nhwc_product *product = launch->prepared;
    const es_operands *operands = &product->operands;
    es_pixels tiles[MOST_TILES];
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t chunk = unit % operands->chunk_count, first = unit / operands->chunk_count * product->block_tiles;
        int64_t count = product->runs * product->tiles_of_run - first;
        if (count > product->block_tiles) count = product->block_tiles;
        for (int64_t tile = 0; tile < count; tile++) {
            tiles[tile] = tile_of(launch, first + tile);
            if (chunk == 0 && (first + tile) % product->tiles_of_run == 0)
                zero_border_of(launch, (first + tile) / product->tiles_of_run);
        }
        for (uint32_t strip = operands->chunks[chunk]; strip < operands->chunks[chunk + 1]; strip++)
            for (int64_t tile = 0; tile < count; tile++)
                es_row_strip(&product->place, &tiles[tile], &operands->strips[strip]);
    }
}

static bool accepts(const es_launch *launch, uint32_t group)
{
    return launch->out->layout == ES_NHWC && es_matrix_of(launch)->bands[0].group == group;
}

#define KERNEL(group)                                                                                            \
    static bool accepts_##group(const es_launch *launch) { return accepts(launch, group); }                      \
    static const es_kernel kernel_##group = {                                                                    \
        ES_KERNEL_NAME("spmm_f32_gs" #group "x1_nhwc"), ES_SPMM, ES_THIS_VARIANT, accepts_##group, measure,       \
        prepare, 1, units, run};
KERNEL(1)
KERNEL(2)
KERNEL(4)
KERNEL(8)
KERNEL(16)
KERNEL(32)

ES_FAMILY(spmm_nhwc) = {&kernel_1, &kernel_2, &kernel_4, &kernel_8, &kernel_16, &kernel_32, NULL};
