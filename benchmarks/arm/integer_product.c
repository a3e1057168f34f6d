/* One integer product by itself, for counting instructions: its kernel runs some times on a matrix of zeros, since the
 * number of instructions depends on which columns are kept only. Arguments: value type of the format, group, rows,
 * columns, segment, kept columns in a hundred, tokens, runs. Prints the kept weights. */
#include <stdio.h>
#include <stdlib.h>

#include "kernel.h"

#define KERNELS_OF(variant) ES_JOIN(es_kernels_spmm_integer, variant)
extern const es_kernel *const KERNELS_OF(ES_VARIANT_NAME)[];

static void *zeros(uint64_t bytes)
{
    void *memory = calloc(1, (size_t)bytes + 64);
    if (!memory) exit(1);
    return memory;
}

/* Fill in counts, places and bitmap; the columns that a strip keeps look random and are the same in every run. */
static void choose_columns(es_matrix *matrix, uint32_t percent)
{
    uint32_t group = matrix->bands[0].group, row_bytes = matrix->dtype == ES_TERNARY ? 1 : 4;
    uint32_t granule = matrix->dtype == ES_S4 ? 8 : 4, bytes = (matrix->columns + 7) / 8;
    uint32_t *counts = zeros(4 * (uint64_t)matrix->strips);
    uint64_t *starts = zeros(8 * (uint64_t)(matrix->strips + 1)), *values = zeros(8 * (uint64_t)(matrix->strips + 1));
    uint64_t *scales = zeros(8 * (uint64_t)(matrix->strips + 1));
    uint8_t *bitmap = zeros((uint64_t)matrix->strips * bytes);
    for (uint32_t strip = 0; strip < matrix->strips; strip++) {
        for (uint32_t column = 0; column < matrix->columns; column++) {
            if ((column * 2654435761u + strip * 40503u) / 65536 % 100 >= percent) continue;
            counts[strip]++;
            bitmap[strip * bytes + column / 8] |= (uint8_t)(1 << column % 8);
        }
        starts[strip + 1] = starts[strip] + counts[strip];
        values[strip + 1] = values[strip] + (uint64_t)(counts[strip] + granule - 1) / granule * group * row_bytes;
        scales[strip + 1] = scales[strip] + (uint64_t)(counts[strip] + matrix->segment - 1) / matrix->segment * group;
    }
    matrix->counts = counts;
    matrix->starts = starts;
    matrix->bitmap = percent < 100 ? bitmap : NULL;
    matrix->value_starts = values;
    matrix->scale_starts = scales;
    matrix->values = zeros(values[matrix->strips]);
    matrix->scales = zeros(2 * scales[matrix->strips]);
    matrix->kept_weights = starts[matrix->strips] * group;
}

int main(int count, char **texts)
{
    uint32_t numbers[8];
    if (count != 9) return 2;
    for (int i = 0; i < 8; i++) numbers[i] = (uint32_t)strtoul(texts[i + 1], NULL, 10);
    uint32_t group = numbers[1], rows = numbers[2], columns = numbers[3], tokens = numbers[6];
    es_band band = {0, rows, group, 0};
    es_matrix matrix = {.rows = rows, .columns = columns, .bands = &band, .band_count = 1, .strips = rows / group,
                        .dtype = (es_dtype)numbers[0], .segment = numbers[4]};
    choose_columns(&matrix, numbers[5]);
    es_model model = {.matrices = &matrix, .matrix_count = 1};
    es_step step = {.op = ES_SPMM};
    step.words[ES_SPMM_QUANTISE_X] = 1;
    es_tensor x = {.dtype = ES_F32, .symbol_axis = -1, .rank = 2, .shape = {tokens, columns}, .strides = {columns, 1}};
    es_tensor y = {.dtype = ES_F32, .symbol_axis = -1, .rank = 2, .shape = {tokens, rows}, .strides = {rows, 1}};
    es_launch launch = {.model = &model, .step = &step, .in = {&x}, .out = &y, .tokens = 1};
    launch.in_data[0] = zeros(4 * (uint64_t)tokens * columns);
    launch.out_data = zeros(4 * (uint64_t)tokens * rows);
    const es_kernel *const *kernels = KERNELS_OF(ES_VARIANT_NAME);
    while (*kernels && !(*kernels)->accepts(&launch)) kernels++;
    if (!*kernels) return 3;
    launch.kernel = *kernels;
    es_needs needs = {0, 0, 0};
    launch.kernel->measure(&launch, &needs);
    launch.prepared = zeros(needs.prepared_bytes);
    launch.scratch = zeros(needs.scratch_bytes);
    uint8_t *thread_scratch = zeros(needs.thread_scratch_bytes);
    launch.kernel->prepare(&launch);
    for (uint32_t run = 0; run < numbers[7]; run++)
        for (int phase = 0; phase < launch.kernel->phases; phase++)
            launch.kernel->run(&launch, phase, 0, launch.kernel->units(&launch, phase), thread_scratch);
    printf("%llu\n", (unsigned long long)matrix.kept_weights);
    return 0;
}
