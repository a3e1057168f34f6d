/* SPMM that rounds rows of x to integers: s8, s4 and ternary weights, exact inside every segment. */
#include "activation.h"
#include "bands.h"
#include "integer_tile.h"
#include "rows.h"
#include "spmm_operands.h"

/* What a launch keeps. Places are bytes in the scratch memory. */
typedef struct integer_product {
    const es_matrix *matrix;
    const float *bias; /* NULL: none */
    es_epilogue epilogue;
    size_t row_bytes; /* from one quantised row to the next */
    size_t pieces;    /* the most of a strip */
    size_t units_place, corrections_place;
    size_t own_corrections_place; /* in a thread's scratch memory, behind packed rows */
    bool shares;                  /* whether the step before has left the integers of x */
    uint64_t orders[];            /* of the columns of all strips, see column_orders.h; the bias is behind them */
} integer_product;

typedef struct scratch_places {
    uint64_t row_bytes, pieces, units, corrections, end, own_corrections, own_end;
} scratch_places;

static scratch_places place_scratch(const es_launch *launch)
{
    const es_matrix *matrix = es_matrix_of(launch);
    /* Whole tiles of tokens are read, so there is room for them. */
    uint64_t rows = es_round_up((size_t)es_count_rows(launch, launch->out), ES_TOKENS_OF_MANY);
    scratch_places places;
    places.row_bytes = ((uint64_t)matrix->columns + ES_ROW_PADDING + 63) / 64 * 64;
    places.pieces = es_count_pieces(matrix->segment, matrix->columns);
    places.units = rows * places.row_bytes;
    places.corrections = places.units + rows * sizeof(float);
    bool corrected = matrix->dtype != ES_S8, sparse = !es_keeps_all(matrix);
    places.end = places.corrections + (corrected && !sparse ? rows * places.pieces * sizeof(int32_t) : 0);
    places.own_corrections = sparse ? ES_TOKENS_OF_MANY * places.row_bytes : 0;
    places.own_end = places.own_corrections +
                     (corrected && sparse ? ES_TOKENS_OF_MANY * places.pieces * sizeof(int32_t) : 0);
    return places;
}

/* As many bytes as nobody has, where they do not fit the address space. */
static size_t fitting(uint64_t bytes) { return bytes <= SIZE_MAX / 2 ? (size_t)bytes : SIZE_MAX / 2 + 1; }

static uint64_t bias_bytes(const es_launch *launch)
{
    return launch->in[1] && launch->in[1]->dtype == ES_F16 ? es_matrix_of(launch)->rows * (uint64_t)sizeof(float) : 0;
}

static uint64_t order_bytes(const es_launch *launch)
{
    return es_count_orders(es_matrix_of(launch)) * sizeof(uint64_t);
}

static void measure(const es_launch *launch, es_needs *needs)
{
    scratch_places places = place_scratch(launch);
    needs->prepared_bytes = fitting(sizeof(integer_product) + order_bytes(launch) + bias_bytes(launch));
    needs->scratch_bytes = fitting(places.end);
    needs->thread_scratch_bytes = fitting(places.own_end);
}

static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch);

/* Whether the step before has rounded the same x, and summed it up in the same pieces if those are needed. */
static bool finds_integers(const es_launch *launch)
{
    const es_launch *previous = launch->previous;
    if (!previous || previous->kernel->run != run || previous->in[0] != launch->in[0]) return false;
    const es_matrix *own = es_matrix_of(launch), *other = es_matrix_of(previous);
    if (own->dtype == ES_S8 || !es_keeps_all(own)) return true;
    return es_keeps_all(other) && own->dtype == other->dtype && own->segment == other->segment;
}

static void prepare(es_launch *launch)
{
    integer_product *product = launch->prepared;
    scratch_places places = place_scratch(launch);
    product->matrix = es_matrix_of(launch);
    product->epilogue = es_read_epilogue(launch->step, ES_SPMM_ACTIVATION);
    product->row_bytes = (size_t)places.row_bytes;
    product->pieces = (size_t)places.pieces;
    product->units_place = (size_t)places.units;
    product->corrections_place = (size_t)places.corrections;
    product->own_corrections_place = (size_t)places.own_corrections;
    product->shares = finds_integers(launch);
    product->bias = (const float *)(const void *)launch->in_data[1];
    es_write_orders(product->matrix, product->orders);
    if (bias_bytes(launch))
        product->bias = es_prepare_bias(launch, (float *)(void *)(product->orders + es_count_orders(product->matrix)));
}

static int64_t units(const es_launch *launch, int phase)
{
    const integer_product *product = launch->prepared;
    if (phase == 1) return product->matrix->strips;
    return product->shares ? 0 : es_count_rows(launch, launch->out);
}

static int32_t *corrections_of(const es_launch *launch, int64_t row)
{
    const integer_product *product = launch->prepared;
    return (int32_t *)(void *)(launch->scratch + product->corrections_place) + (size_t)row * product->pieces;
}

/* Phase 0 */
ES_APART void quantise_rows(const es_launch *launch, int64_t begin, int64_t end)
{
    const integer_product *product = launch->prepared;
    const es_matrix *matrix = product->matrix;
    float *worth = (float *)(void *)(launch->scratch + product->units_place);
    for (int64_t row = begin; row < end; row++) {
        const float *x = (const float *)(const void *)launch->in_data[0] + row * es_row_distance(launch->in[0]);
        int8_t *q = (int8_t *)launch->scratch + (size_t)row * product->row_bytes;
        worth[row] = es_quantise_row(x, matrix->columns, q);
        if (es_keeps_all(matrix) && matrix->dtype != ES_S8)
            es_sum_pieces(q, matrix->columns, es_cut_pieces(matrix->segment, matrix->columns),
                          es_stored_offset(matrix->dtype), corrections_of(launch, row));
    }
}

ES_APART void sum_strip_s8(const es_integer_strip *strip, bool many, float *totals)
{
    es_sum_strip(strip, many, totals, ES_S8);
}
ES_APART void sum_strip_s4(const es_integer_strip *strip, bool many, float *totals)
{
    es_sum_strip(strip, many, totals, ES_S4);
}
ES_APART void sum_strip_ternary(const es_integer_strip *strip, bool many, float *totals)
{
    es_sum_strip(strip, many, totals, ES_TERNARY);
}

/* Sums times what a unit of x is worth, and the bias, the residual and bounds of one vector. NULL: none. */
ES_INLINE es_f32 finish_vector(es_f32 sums, es_f32 worth, const float *bias, const float *residual,
                               const es_epilogue *epilogue)
{
    es_f32 value = es_mul(sums, worth);
    if (bias) value = es_add(value, es_load(bias));
    if (residual) value = es_add(value, es_load(residual));
    return es_bound(value, es_splat(epilogue->low), es_splat(epilogue->high));
}

/* One row of y in one strip. */
ES_APART void finish_row(const es_launch *launch, int64_t row, size_t first, size_t group, const float *totals)
{
    const integer_product *product = launch->prepared;
    const float *bias = product->bias ? product->bias + first : NULL, *residual = NULL;
    if (launch->in[2])
        residual = (const float *)(const void *)launch->in_data[2] + row * es_row_distance(launch->in[2]) + first;
    float *y = (float *)(void *)launch->out_data + row * es_row_distance(launch->out) + first;
    const es_f32 worth = es_splat(((const float *)(const void *)(launch->scratch + product->units_place))[row]);
    if (group < ES_LANES) {
        float own_bias[ES_LANES] = {0}, own_residual[ES_LANES] = {0};
        if (bias) memcpy(own_bias, bias, group * sizeof *bias);
        if (residual) memcpy(own_residual, residual, group * sizeof *residual);
        es_f32 value = finish_vector(es_load(totals), worth, own_bias, own_residual, &product->epilogue);
        es_store_first(y, value, (int)group);
    }
    for (size_t i = 0; i + ES_LANES <= group; i += ES_LANES) {
        const float *own_bias = bias ? bias + i : NULL, *own_residual = residual ? residual + i : NULL;
        es_store(y + i, finish_vector(es_load(totals + i), worth, own_bias, own_residual, &product->epilogue));
    }
    if (!es_epilogue_is_bounds(product->epilogue)) es_activate_row(product->epilogue, y, (int64_t)group);
}

/* Some rows of x for a strip: packed in the thread's memory if the matrix is sparse. */
static void place_rows(const es_launch *launch, es_integer_strip *strip, uint32_t number, int64_t row, int rows,
                       uint8_t *thread_scratch)
{
    const integer_product *product = launch->prepared;
    const es_matrix *matrix = product->matrix;
    strip->x = (es_byte_rows){(const int8_t *)launch->scratch + (size_t)row * product->row_bytes, product->row_bytes};
    strip->corrections = matrix->dtype == ES_S8 || !es_keeps_all(matrix) ? NULL : corrections_of(launch, row);
    strip->correction_distance = product->pieces;
    if (es_keeps_all(matrix)) return;
    es_gather_strip(matrix, number, product->orders, strip->x, rows, (int8_t *)thread_scratch, product->row_bytes,
                    ES_ROW_PADDING);
    strip->x.bytes = (const int8_t *)thread_scratch;
    if (matrix->dtype == ES_S8) return;
    int32_t *corrections = (int32_t *)(void *)(thread_scratch + product->own_corrections_place);
    strip->corrections = corrections;
    for (int i = 0; i < rows; i++)
        es_sum_pieces(strip->x.bytes + (size_t)i * product->row_bytes, strip->columns, strip->pieces,
                      es_stored_offset(matrix->dtype), corrections + (size_t)i * product->pieces);
}

/* Phase 1: all rows of x for one strip. */
static void multiply_strip(const es_launch *launch, const es_band *band, uint32_t number, uint8_t *thread_scratch)
{
    const integer_product *product = launch->prepared;
    const es_matrix *matrix = product->matrix;
    es_integer_strip strip = {
        .values = matrix->values + matrix->value_starts[number],
        .scales = matrix->scales + matrix->scale_starts[number],
        .group = band->group,
        .columns = matrix->counts[number],
        .pieces = es_cut_pieces(matrix->segment, matrix->columns),
    };
    size_t first = band->first_row + (size_t)(number - band->first_strip) * band->group;
    int64_t rows = es_count_rows(launch, launch->out);
    bool narrow = band->group < ES_LANES;
    for (int64_t row = 0, some; row < rows; row += some) {
        float totals[ES_TOKENS_OF_MANY * ES_LARGEST_GROUP];
        some = narrow ? 1 : rows - row < ES_TOKENS_OF_MANY ? rows - row : ES_TOKENS_OF_MANY;
        place_rows(launch, &strip, number, row, (int)some, thread_scratch);
        if (matrix->dtype == ES_S8) sum_strip_s8(&strip, some > 1, totals);
        else if (matrix->dtype == ES_S4) sum_strip_s4(&strip, some > 1, totals);
        else sum_strip_ternary(&strip, some > 1, totals);
        for (int64_t i = 0; i < some; i++)
            finish_row(launch, row + i, first, band->group, totals + i * ES_LARGEST_GROUP);
    }
}

static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    if (phase == 0) {
        quantise_rows(launch, begin, end);
        return;
    }
    const es_matrix *matrix = es_matrix_of(launch);
    const es_band *band = es_band_of_strip(matrix, (uint32_t)begin), *last = matrix->bands + matrix->band_count - 1;
    for (int64_t strip = begin; strip < end; strip++) {
        while (band < last && band[1].first_strip <= (uint32_t)strip) band++;
        multiply_strip(launch, band, (uint32_t)strip, thread_scratch);
    }
}

static bool accepts(const es_launch *launch, es_dtype dtype, uint32_t group)
{
    const es_matrix *matrix = es_matrix_of(launch);
    return launch->out->layout == ES_ROW_MAJOR && es_word(launch, ES_SPMM_QUANTISE_X) && matrix->dtype == dtype &&
           matrix->bands[0].group == group;
}

#define KERNEL(type, dtype, group)                                                                                  \
    static bool accepts_##type##_##group(const es_launch *launch) { return accepts(launch, dtype, group); }          \
    static const es_kernel kernel_##type##_##group = {                                                               \
        ES_KERNEL_NAME("spmm_" #type "_gs" #group "x1_rows"), ES_SPMM, ES_THIS_VARIANT, accepts_##type##_##group,    \
        measure, prepare, 2, units, run};
#define KERNELS(type, dtype)                                                                     \
    KERNEL(type, dtype, 1) KERNEL(type, dtype, 2) KERNEL(type, dtype, 4) KERNEL(type, dtype, 8) \
    KERNEL(type, dtype, 16) KERNEL(type, dtype, 32)
#define NAMES(type) \
    &kernel_##type##_1, &kernel_##type##_2, &kernel_##type##_4, &kernel_##type##_8, &kernel_##type##_16, \
        &kernel_##type##_32
KERNELS(s8, ES_S8)
KERNELS(s4, ES_S4)
KERNELS(ternary, ES_TERNARY)

ES_FAMILY(spmm_integer) = {NAMES(s8), NAMES(s4), NAMES(ternary), NULL};
