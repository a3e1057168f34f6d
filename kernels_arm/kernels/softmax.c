/* SOFTMAX over the last axis; units are rows. */
#include "constants.h"
#include "vec_math.h"

/* Elements that are summed in floats; the sums of blocks are added in double, so that long rows lose nothing. */
enum { BLOCK = 1024 };

static float largest_of(const float *x, int64_t count)
{
    int64_t at = 0;
    float largest = x[0];
    if (count >= ES_LANES) {
        es_f32 most = es_load(x);
        for (at = ES_LANES; at + ES_LANES <= count; at += ES_LANES) most = es_max(most, es_load(x + at));
        largest = es_largest(most);
    }
    for (; at < count; at++) largest = x[at] > largest ? x[at] : largest;
    return largest;
}

/* y = exp(x - largest) for one block; returns the sum. */
static float exponentials(const float *x, float *y, float largest, int64_t count)
{
    es_f32 shift = es_splat(largest), sum = es_splat(0.0f);
    int64_t at = 0;
    for (; at + ES_LANES <= count; at += ES_LANES) {
        es_f32 power = es_exp(es_sub(es_load(x + at), shift));
        es_store(y + at, power);
        sum = es_add(sum, power);
    }
    float total = es_sum(sum), last[ES_LANES];
    int rest = (int)(count - at);
    if (!rest) return total;
    es_store(last, es_exp(es_sub(es_load_first(x + at, rest), shift)));
    for (int lane = 0; lane < rest; lane++) total += y[at + lane] = last[lane];
    return total;
}

static void softmax(const float *x, float *y, int64_t count)
{
    float largest = largest_of(x, count);
    double total = 0;
    for (int64_t at = 0; at < count; at += BLOCK)
        total += exponentials(x + at, y + at, largest, count - at < BLOCK ? count - at : BLOCK);
    es_f32 factor = es_splat((float)(1 / total));
    int64_t at = 0;
    for (; at + ES_LANES <= count; at += ES_LANES) es_store(y + at, es_mul(es_load(y + at), factor));
    for (; at < count; at++) y[at] *= (float)(1 / total);
}

/* Distance of rows, which lie evenly. */
static int64_t row_stride(const es_tensor *tensor)
{
    for (uint32_t axis = tensor->rank - 1; axis-- > 0;)
        if (tensor->shape[axis] > 1) return (int64_t)tensor->strides[axis];
    return 0;
}

static int64_t units(const es_launch *launch, int phase)
{
    (void)phase;
    const es_tensor *y = launch->out;
    int64_t rows = y->rank > 1 ? es_rows(launch, y) : 1;
    for (uint32_t axis = 1; axis + 1 < y->rank; axis++) rows *= (int64_t)y->shape[axis];
    return rows;
}

static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase, (void)thread_scratch;
    const es_tensor *x = launch->in[0], *y = launch->out;
    int64_t count = (int64_t)x->shape[x->rank - 1];
    for (int64_t row = begin; row < end; row++) {
        float *to = (float *)(void *)launch->out_data + row * row_stride(y);
        softmax(es_floats_at(x, launch->in_data[0], row * row_stride(x), count, to), to, count);
    }
}

static bool accepts(const es_launch *launch)
{
    (void)launch;
    return true;
}

static const es_kernel kernel = {.name = ES_KERNEL_NAME("softmax_f32"), .op = ES_SOFTMAX, .variant = ES_THIS_VARIANT,
                                 .accepts = accepts, .phases = 1, .units = units, .run = run};

ES_FAMILY(softmax) = {&kernel, NULL};
