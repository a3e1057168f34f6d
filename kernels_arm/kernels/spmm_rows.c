/* SPMM over rows of tokens or samples: output rows in the lanes, float and half weights where they lie in the file. */
#include "rows.h"
#include "spmm_rows_strip.h"

ES_ROW_STRIP(half_row_strip, f16)

/* Rows of x that one unit passes over lie in half of a second-level cache. */
enum { BLOCK_BYTES = 512 << 10, MOST_TILES = 64 };
/* Chunks of strips, so that threads share a single row evenly. */
enum { MOST_CHUNKS = 64 };

/* The head of the prepared memory. */
typedef struct row_product {
    es_operands operands;
    es_row_place place;
    bool half;
    int64_t block_rows;
} row_product;

static uint32_t wanted_chunks(const es_launch *launch)
{
    uint32_t strips = es_matrix_of(launch)->strips;
    return strips < MOST_CHUNKS ? strips : MOST_CHUNKS;
}

static void measure(const es_launch *launch, es_needs *needs)
{
    es_measure_operands(launch, sizeof(row_product), wanted_chunks(launch), needs);
}

static void prepare(es_launch *launch)
{
    row_product *product = launch->prepared;
    es_prepare_operands(launch, sizeof *product, wanted_chunks(launch), &product->operands);
    product->place = es_row_place_of(launch, product->operands.bias, es_row_distance(launch->in[0]),
                                     es_row_distance(launch->out),
                                     launch->in[2] ? es_row_distance(launch->in[2]) : 0);
    product->half = es_reads_halves(launch);
    int64_t rows = BLOCK_BYTES / ((int64_t)es_matrix_of(launch)->columns * (int64_t)sizeof(float));
    if (rows > MOST_TILES * ES_ROW_PIXELS) rows = MOST_TILES * ES_ROW_PIXELS;
    product->block_rows = rows < ES_ROW_PIXELS ? ES_ROW_PIXELS : rows / ES_ROW_PIXELS * ES_ROW_PIXELS;
}

static int64_t blocks_of(const es_launch *launch)
{
    const row_product *product = launch->prepared;
    return (es_count_rows(launch, launch->out) + product->block_rows - 1) / product->block_rows;
}

static int64_t units(const es_launch *launch, int phase)
{
    (void)phase;
    const row_product *product = launch->prepared;
    return blocks_of(launch) * product->operands.chunk_count;
}

static es_pixels rows_from(const es_launch *launch, int64_t first, int64_t end)
{
    const es_row_place *place = &((const row_product *)launch->prepared)->place;
    es_pixels pixels = {.count = end - first};
    pixels.x = (const float *)(const void *)launch->in_data[0] + first * place->x_pixel;
    pixels.y = (float *)(void *)launch->out_data + first * place->y_pixel;
    const float *residual = (const float *)(const void *)launch->in_data[2];
    if (launch->in[2]) pixels.residual = residual + first * place->residual_pixel;
    return pixels;
}

/* Strips outermost inside a unit: the weights of one stay in the cache while a block of rows passes. */
static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase;
    (void)thread_scratch;
    const row_product *product = launch->prepared;
    const es_operands *operands = &product->operands;
    int64_t rows = es_count_rows(launch, launch->out);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t chunk = unit % operands->chunk_count, first = unit / operands->chunk_count * product->block_rows;
        int64_t in_block = rows - first < product->block_rows ? rows - first : product->block_rows;
        int64_t count = (in_block + ES_ROW_PIXELS - 1) / ES_ROW_PIXELS;
        for (uint32_t strip = operands->chunks[chunk]; strip < operands->chunks[chunk + 1]; strip++)
            for (int64_t tile = 0; tile < count; tile++) {
                int64_t begins = in_block * tile / count, ends = in_block * (tile + 1) / count;
                es_pixels pixels = rows_from(launch, first + begins, first + ends);
                if (product->half)
                    half_row_strip(&product->place, &pixels, &operands->strips[strip]);
                else
                    es_row_strip(&product->place, &pixels, &operands->strips[strip]);
            }
    }
}

static bool accepts(const es_launch *launch, bool half, uint32_t group)
{
    return launch->out->layout == ES_ROW_MAJOR && !es_word(launch, ES_SPMM_QUANTISE_X) &&
           es_reads_halves(launch) == half && es_matrix_of(launch)->bands[0].group == group;
}

#define KERNEL(type, half, group)                                                                                   \
    static bool accepts_##type##_##group(const es_launch *launch) { return accepts(launch, half, group); }           \
    static const es_kernel kernel_##type##_##group = {                                                               \
        ES_KERNEL_NAME("spmm_" #type "_gs" #group "x1_rows"), ES_SPMM, ES_THIS_VARIANT, accepts_##type##_##group,    \
        measure, prepare, 1, units, run};
#define KERNELS(type, half) \
    KERNEL(type, half, 1) KERNEL(type, half, 2) KERNEL(type, half, 4) KERNEL(type, half, 8) KERNEL(type, half, 16) \
    KERNEL(type, half, 32)
#define NAMES(type)                                                                                                  \
    &kernel_##type##_1, &kernel_##type##_2, &kernel_##type##_4, &kernel_##type##_8, &kernel_##type##_16,             \
        &kernel_##type##_32
KERNELS(f32, false)
KERNELS(f16, true)

ES_FAMILY(spmm_rows) = {NAMES(f32), NAMES(f16), NULL};
