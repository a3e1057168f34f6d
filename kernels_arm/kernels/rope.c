/* ROPE: every head's pairs of elements are turned by angles that grow with the token's position.
 *
 * Angles are (position + token) * inverse frequency in double precision: at position 100000 a float angle would be off by
 * 0.004. Their sines and cosines are computed once per token and serve all of its heads. */
#include "kernel.h"
#include "vec.h"

/* Own series rather than libm's: they vectorise, give the same bits on every machine, and WebAssembly has no libm. */
static const double quarter_turns_per_radian = 0.63661977236758134308;
/* pi / 2 in three parts; the first two have 22 bits, so that a quadrant number of 31 bits times them is exact. */
static const double half_pi[3] = {0x1.921fb8p+0, -0x1.5dde98p-23, 0x1.8469898cc517p-48};
/* Adding it to a double rounds it to a whole number, which is then in the low bits. */
static const double whole = 6755399441055744.0;

static bool accepts(const es_launch *launch) { return launch->in[0]->dtype == ES_F32; }

static int64_t head_dim_of(const es_launch *launch) { return es_word(launch, 0); }

/* The inverse frequencies as doubles, and per thread the cosines, then the sines of one token. */
static void measure(const es_launch *launch, es_needs *needs)
{
    needs->prepared_bytes = (size_t)(head_dim_of(launch) / 2) * sizeof(double);
    needs->thread_scratch_bytes = (size_t)head_dim_of(launch) * sizeof(float);
}

static void prepare(es_launch *launch)
{
    double *frequencies = launch->prepared;
    for (int64_t pair = 0; pair < head_dim_of(launch) / 2; pair++) {
        if (launch->in[2]->dtype == ES_F16) {
            uint16_t half;
            memcpy(&half, launch->in_data[2] + pair * (int64_t)sizeof half, sizeof half);
            frequencies[pair] = es_half_to_float(half);
        } else {
            float number;
            memcpy(&number, launch->in_data[2] + pair * (int64_t)sizeof number, sizeof number);
            frequencies[pair] = number;
        }
    }
}

static int64_t units(const es_launch *launch, int phase)
{
    (void)phase;
    return es_rows(launch, launch->out);
}

/* Taylor series on |r| <= pi / 4; the relative errors are below 1e-12. */
static inline double sine_series(double r, double square)
{
    double series = -1.0 / 1307674368000.0;
    series = series * square + 1.0 / 6227020800.0;
    series = series * square - 1.0 / 39916800.0;
    series = series * square + 1.0 / 362880.0;
    series = series * square - 1.0 / 5040.0;
    series = series * square + 1.0 / 120.0;
    series = series * square - 1.0 / 6.0;
    return series * square * r + r;
}

static inline double cosine_series(double square)
{
    double series = -1.0 / 87178291200.0;
    series = series * square + 1.0 / 479001600.0;
    series = series * square - 1.0 / 3628800.0;
    series = series * square + 1.0 / 40320.0;
    series = series * square - 1.0 / 720.0;
    series = series * square + 1.0 / 24.0;
    series = series * square - 1.0 / 2.0;
    return series * square + 1.0;
}

static void turn_angles(const double *frequencies, int64_t pairs, double position, float *cosines, float *sines)
{
    for (int64_t pair = 0; pair < pairs; pair++) {
        double angle = position * frequencies[pair];
        union { double number; uint64_t bits; } shifted = {angle * quarter_turns_per_radian + whole};
        double quadrant = shifted.number - whole;
        double r = angle - quadrant * half_pi[0];
        r = r - quadrant * half_pi[1];
        r = r - quadrant * half_pi[2];
        double square = r * r;
        float sine = (float)sine_series(r, square), cosine = (float)cosine_series(square);
        uint64_t odd = shifted.bits & 1;
        float turned_sine = odd ? cosine : sine, turned_cosine = odd ? sine : cosine;
        sines[pair] = shifted.bits & 2 ? -turned_sine : turned_sine;
        cosines[pair] = (shifted.bits + 1) & 2 ? -turned_cosine : turned_cosine;
    }
}

static void rotate_halves(const float *x, float *y, int64_t half, const float *cosines, const float *sines)
{
    int64_t pair = 0;
    for (; pair + ES_LANES <= half; pair += ES_LANES) {
        es_f32 a = es_load(x + pair), b = es_load(x + half + pair);
        es_f32 cosine = es_load(cosines + pair), sine = es_load(sines + pair);
        es_store(y + pair, es_sub(es_mul(a, cosine), es_mul(b, sine)));
        es_store(y + half + pair, es_add(es_mul(a, sine), es_mul(b, cosine)));
    }
    for (; pair < half; pair++) {
        float a = x[pair], b = x[half + pair];
        y[pair] = a * cosines[pair] - b * sines[pair];
        y[half + pair] = a * sines[pair] + b * cosines[pair];
    }
}

/* Compilers find the loads that take pairs apart (LD2) by themselves. */
static void rotate_neighbours(const float *restrict x, float *restrict y, int64_t half, const float *restrict cosines,
                              const float *restrict sines)
{
    for (int64_t pair = 0; pair < half; pair++) {
        float a = x[2 * pair], b = x[2 * pair + 1];
        y[2 * pair] = a * cosines[pair] - b * sines[pair];
        y[2 * pair + 1] = a * sines[pair] + b * cosines[pair];
    }
}

static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    (void)phase;
    int64_t head_dim = head_dim_of(launch), half = head_dim / 2, width = (int64_t)launch->out->shape[1];
    float *cosines = (float *)(void *)thread_scratch, *sines = cosines + half;
    int32_t position;
    memcpy(&position, launch->in_data[1], sizeof position);
    for (int64_t token = begin; token < end; token++) {
        turn_angles(launch->prepared, half, (double)position + (double)token, cosines, sines);
        const float *x = (const float *)(const void *)launch->in_data[0] + token * (int64_t)launch->in[0]->strides[0];
        float *y = (float *)(void *)launch->out_data + token * (int64_t)launch->out->strides[0];
        for (int64_t column = 0; column < width; column += head_dim)
            if (es_word(launch, 1))
                rotate_neighbours(x + column, y + column, half, cosines, sines);
            else
                rotate_halves(x + column, y + column, half, cosines, sines);
    }
}

static const es_kernel rope = {
    .name = ES_KERNEL_NAME("rope_f32"), .op = ES_ROPE, .variant = ES_THIS_VARIANT, .accepts = accepts,
    .measure = measure, .prepare = prepare, .phases = 1, .units = units, .run = run,
};

ES_FAMILY(rope) = {&rope, NULL};
