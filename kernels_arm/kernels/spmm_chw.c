/* SPMM in CHW: one flat pixel index addresses x, residual and y, gaps between rows included. */
#include "border.h"
#include "spmm_chw_tile.h"

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
} chw_product;

typedef void (*tile_function)(const es_chw_place *at, const es_strip *strip, uint32_t inside);

#define TILE(rows, vectors, distance)                                                                                  \
    static void tile_##rows##_##vectors##_##distance(const es_chw_place *at, const es_strip *strip, uint32_t inside)   \
    {                                                                                                                  \
        es_chw_tile(at, strip, inside, rows, vectors, distance);                                                       \
    }
#define TILES_2(rows, distance) TILE(rows, 1, distance) TILE(rows, 2, distance)
#define TILES_3(rows, distance) TILES_2(rows, distance) TILE(rows, 3, distance)
#define TILES_4(rows, distance) TILES_3(rows, distance) TILE(rows, 4, distance)
#define TILES_6(rows, distance) TILES_4(rows, distance) TILE(rows, 5, distance) TILE(rows, 6, distance)
#define TILES_8(rows, distance) TILES_6(rows, distance) TILE(rows, 7, distance) TILE(rows, 8, distance)
#define NAMES_2(rows, distance) tile_##rows##_1_##distance, tile_##rows##_2_##distance
#define NAMES_3(rows, distance) NAMES_2(rows, distance), tile_##rows##_3_##distance
#define NAMES_4(rows, distance) NAMES_3(rows, distance), tile_##rows##_4_##distance
#define NAMES_6(rows, distance) NAMES_4(rows, distance), tile_##rows##_5_##distance, tile_##rows##_6_##distance
#define NAMES_8(rows, distance) NAMES_6(rows, distance), tile_##rows##_7_##distance, tile_##rows##_8_##distance

/* By the logarithm of the rows of a tile, then by its vectors; the last row reads a part of larger groups. */
#if defined(ES_VEC_NEON_H)
TILES_8(1, 1) TILES_8(2, 2) TILES_6(4, 4) TILES_3(8, 8) TILES_3(8, 0)
static const tile_function tiles[5][8] = {{NAMES_8(1, 1)}, {NAMES_8(2, 2)}, {NAMES_6(4, 4)}, {NAMES_3(8, 8)},
                                          {NAMES_3(8, 0)}};
static const int most_vectors[5] = {8, 8, 6, 3, 3};
enum { LARGEST_TILE = 3 };
#elif defined(ES_VEC_AVX2_H)
TILES_6(1, 1) TILES_4(2, 2) TILES_3(4, 4) TILES_3(4, 0)
static const tile_function tiles[4][8] = {{NAMES_6(1, 1)}, {NAMES_4(2, 2)}, {NAMES_3(4, 4)}, {NAMES_3(4, 0)}};
static const int most_vectors[4] = {6, 4, 3, 3};
enum { LARGEST_TILE = 2 };
#else
TILES_6(1, 1) TILES_4(2, 2) TILES_2(4, 4) TILES_2(4, 0)
static const tile_function tiles[4][8] = {{NAMES_6(1, 1)}, {NAMES_4(2, 2)}, {NAMES_2(4, 4)}, {NAMES_2(4, 0)}};
static const int most_vectors[4] = {6, 4, 2, 2};
enum { LARGEST_TILE = 2 };
#endif

static int tile_kind(uint32_t group)
{
    int kind = 0;
    while (kind <= LARGEST_TILE && group > 1u << kind) kind++;
    return kind;
}

static int64_t row_pixels(const es_tensor *image) { return (int64_t)(image->strides[2] / image->strides[3]); }

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
    int limit = 8;
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
}

static int64_t units(const es_launch *launch, int phase)
{
    (void)phase;
    const chw_product *product = launch->prepared;
    return product->operands.chunk_count * product->tiles * product->images;
}

/* What a tile sets to zero behind its stores, in elements from its image's pixel 0: single pixels between the rows of the
 * image, and stretches. */
typedef struct gaps {
    int pixel_count, stretch_count;
    int64_t pixels[ES_CHW_VECTORS * ES_LANES];
    struct stretch {
        int64_t first, length;
    } stretches[ES_CHW_VECTORS * ES_LANES / 2 + 4];
} gaps;

static void add_gap(gaps *all, int64_t first, int64_t end)
{
    if (end - first > 4)
        all->stretches[all->stretch_count++] = (struct stretch){first, end - first};
    else
        for (; first < end; first++) all->pixels[all->pixel_count++] = first;
}

/* Gaps between rows among the pixels first … end - 1, and the border above and below at the ends of the image. */
static void find_gaps(const es_tensor *y, int64_t first, int64_t end, bool ends_image, gaps *all)
{
    all->pixel_count = all->stretch_count = 0;
    if (!es_has_border(y)) return;
    int64_t row = row_pixels(y), width = (int64_t)y->shape[3], height = (int64_t)y->shape[2];
    int64_t before = y->border.top * row + y->border.left, after = y->border.bottom * row + y->border.right;
    if (first == 0 && before) all->stretches[all->stretch_count++] = (struct stretch){-before, before};
    for (int64_t line = first / row; line < height - 1 && line * row + width < end; line++) {
        int64_t begin = line * row + width, stop = (line + 1) * row;
        add_gap(all, begin > first ? begin : first, stop < end ? stop : end);
    }
    if (ends_image && after)
        all->stretches[all->stretch_count++] = (struct stretch){(height - 1) * row + width, after};
}

/* Not inline, so that the loop over strips keeps its registers. */
static __attribute__((noinline)) void zero_gaps(float *plane, int64_t distance, uint32_t rows, const gaps *all)
{
    /* Four rows at a time: one address serves four stores. */
    uint32_t row = 0;
    for (; row + 4 <= rows; row += 4) {
        float *first = plane + row * distance, *second = first + distance, *third = second + distance;
        float *fourth = third + distance;
        for (int number = 0; number < all->pixel_count; number++) {
            int64_t pixel = all->pixels[number];
            first[pixel] = second[pixel] = third[pixel] = fourth[pixel] = 0;
        }
    }
    for (; row < rows; row++)
        for (int number = 0; number < all->pixel_count; number++) plane[row * distance + all->pixels[number]] = 0;
    for (int number = 0; number < all->stretch_count; number++)
        for (row = 0; row < rows; row++)
            memset(plane + row * distance + all->stretches[number].first, 0,
                   (size_t)all->stretches[number].length * sizeof *plane);
}

/* All strips of a chunk over one tile. */
static void run_tile(const es_launch *launch, int64_t image, int64_t tile, const es_strip *strip, const es_strip *end)
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
    (void)thread_scratch;
    const chw_product *product = launch->prepared;
    const es_operands *operands = &product->operands;
    int64_t per_chunk = product->tiles * product->images;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t chunk = unit / per_chunk, tile = unit % per_chunk;
        run_tile(launch, tile / product->tiles, tile % product->tiles, operands->strips + operands->chunks[chunk],
                 operands->strips + operands->chunks[chunk + 1]);
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
