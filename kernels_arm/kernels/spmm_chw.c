/* SPMM in CHW: one flat pixel index addresses x, residual and y, gaps between rows included. */
#include "spmm_chw_gaps.h"
#include "spmm_chw_pack.h"
#include "spmm_chw_tiles.h"

/* Weights of a chunk of strips: half of a second-level cache of 1 MiB, so that they pass once for all pixels. */
enum { CHUNK_BYTES = 512 << 10 };
/* Units that a step is cut into at least, so that threads share it evenly. */
enum { LEAST_UNITS = 32 };

/* The head of the prepared memory. */
typedef struct chw_product {
    es_operands operands;
    es_epilogue epilogue;
    bool bounded;
    int64_t tiles;        /* of one image */
    int64_t vectors;      /* of one image */
    int64_t images;
    es_packing packing;
} chw_product;

static int64_t vectors_of_image(const es_launch *launch)
{
    const es_tensor *y = launch->out;
    int64_t pixels = ((int64_t)y->shape[2] - 1) * row_pixels(y) + (int64_t)y->shape[3];
    return (pixels + ES_LANES - 1) / ES_LANES;
}

/* Tiles of an image: as few as all groups of the matrix allow. */
static int64_t tiles_of_image(const es_launch *launch)
{
    const es_matrix *matrix = es_matrix_of(launch);
    int limit = ES_CHW_VECTORS;
    for (uint32_t band = 0; band < matrix->band_count; band++) {
        int vectors = most_vectors[tile_kind(matrix->bands[band].group)];
        if (vectors < limit) limit = vectors;
    }
    return (vectors_of_image(launch) + limit - 1) / limit;
}

static uint32_t wanted_chunks(const es_launch *launch)
{
    const es_matrix *matrix = es_matrix_of(launch);
    uint64_t tiles_in_all = (uint64_t)tiles_of_image(launch) * launch->out->shape[0];
    uint64_t by_bytes = (matrix->kept_weights * 4 + CHUNK_BYTES - 1) / CHUNK_BYTES;
    uint64_t by_units = (LEAST_UNITS + tiles_in_all - 1) / tiles_in_all;
    uint64_t wanted = by_bytes > by_units ? by_bytes : by_units;
    return (uint32_t)(wanted < matrix->strips ? wanted : matrix->strips);
}

static void measure(const es_launch *launch, es_needs *needs)
{
    es_measure_operands(launch, sizeof(chw_product), wanted_chunks(launch), needs);
    needs->thread_scratch_bytes = es_packed_bytes(es_packing_of(launch));
}

static void prepare(es_launch *launch)
{
    chw_product *product = launch->prepared;
    es_prepare_operands(launch, sizeof *product, wanted_chunks(launch), &product->operands);
    product->epilogue = es_read_epilogue(launch->step, ES_SPMM_ACTIVATION);
    product->bounded = product->epilogue.kind == ES_ACT_RELU || product->epilogue.kind == ES_ACT_CLAMP;
    product->vectors = vectors_of_image(launch);
    product->tiles = tiles_of_image(launch);
    product->images = (int64_t)launch->out->shape[0];
    product->packing = es_packing_of(launch);
    if (product->packing.planes) es_pack_offsets(launch, &product->operands, product->packing);
}

static int64_t units(const es_launch *launch, int phase)
{
    (void)phase;
    const chw_product *product = launch->prepared;
    return product->operands.chunk_count * product->tiles * product->images;
}

/* All strips of a chunk over one tile. */
static void run_tile(const es_launch *launch, int64_t image, int64_t tile, const es_strip *strip, const es_strip *end,
                     float *scratch)
{
    const chw_product *product = launch->prepared;
    const es_tensor *x = launch->in[0], *y = launch->out, *residual = launch->in[2];
    int64_t first = product->vectors * tile / product->tiles, stop = product->vectors * (tile + 1) / product->tiles;
    int64_t vectors = stop - first, pixel = first * ES_LANES;
    float *image_y = (float *)(void *)launch->out_data + (image ? image * (int64_t)y->strides[0] : 0);
    gaps zeros;
    find_gaps(y, pixel, stop * ES_LANES, stop == product->vectors, &zeros);
    es_chw_place at = {
        .x = (const float *)(const void *)launch->in_data[0] + (image ? image * (int64_t)x->strides[0] : 0) + pixel,
        .y = image_y + pixel,
        .y_row = (int64_t)y->strides[1],
        .bias = product->operands.bias,
        .bounded = product->bounded,
        .epilogue = product->epilogue,
    };
    if (residual) {
        at.residual = (const float *)(const void *)launch->in_data[2] + pixel;
        if (image) at.residual += image * (int64_t)residual->strides[0];
        at.residual_row = (int64_t)residual->strides[1];
    }
    if (product->packing.planes) {
        es_pack_pixels(at.x, product->packing, (int)vectors, scratch);
        at.x = scratch;
    }
    const bool any_zeros = zeros.pixel_count || zeros.stretch_count;
    uint32_t group = 0, rows = 0;
    tile_function compute = NULL;
    for (; strip < end; strip++) {
        if (strip->group != group) {
            int kind = tile_kind(strip->group);
            group = strip->group;
            rows = kind > LARGEST_TILE ? 1u << LARGEST_TILE : group;
            compute = tiles[kind][vectors - 1];
        }
        for (uint32_t inside = 0; inside < group; inside += rows) compute(&at, strip, inside);
        if (!es_epilogue_is_bounds(product->epilogue))
            es_activate_rows(product->epilogue, at.y + strip->row * at.y_row, at.y_row, group, vectors * ES_LANES);
        if (any_zeros) zero_gaps(image_y + strip->row * at.y_row, at.y_row, group, &zeros);
    }
}

/* Chunks of strips outermost: the weights of one stay in the cache while all pixels pass, a tile of pixels while the
 * strips of the chunk pass. */
static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase;
    const chw_product *product = launch->prepared;
    const es_operands *operands = &product->operands;
    int64_t per_chunk = product->tiles * product->images;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t chunk = unit / per_chunk, tile = unit % per_chunk;
        run_tile(launch, tile / product->tiles, tile % product->tiles, operands->strips + operands->chunks[chunk],
                 operands->strips + operands->chunks[chunk + 1], (float *)(void *)thread_scratch);
    }
}

static bool accepts(const es_launch *launch, uint32_t group)
{
    return launch->out->layout == ES_CHW && es_matrix_of(launch)->bands[0].group == group;
}

#define KERNEL(group)                                                                                            \
    static bool accepts_##group(const es_launch *launch) { return accepts(launch, group); }                      \
    static const es_kernel kernel_##group = {                                                                    \
        ES_KERNEL_NAME("spmm_f32_gs" #group "x1_chw"), ES_SPMM, ES_THIS_VARIANT, accepts_##group, measure, prepare, \
        1, units, run};
KERNEL(1)
KERNEL(2)
KERNEL(4)
KERNEL(8)
KERNEL(16)
KERNEL(32)

ES_FAMILY(spmm_chw) = {&kernel_1, &kernel_2, &kernel_4, &kernel_8, &kernel_16, &kernel_32, NULL};
