/* ADD, MUL and ACTIVATION: rows of neighbours, the second operand a row of its own or one number per row. */
#include "activation.h"
#include "axes.h"
#include "border.h"
#include "constants.h"

/* Elements of a row that one unit takes, so that threads share long rows and halves fit into little scratch. */
enum { PIECE = 4096, UNROLL = 4 };
enum { A, B, Y };

typedef struct row_table {
    es_axes outer;
    int64_t length, pieces, units;
    int64_t stride[ES_WALKED]; /* inside a row */
} row_table;

static bool same_shape(const es_tensor *a, const es_tensor *b)
{
    if (a->rank != b->rank) return false;
    for (uint32_t axis = 0; axis < a->rank; axis++)
        if (a->shape[axis] != b->shape[axis]) return false;
    return true;
}

/* Strides of b along the axes of a: 0 where it is repeated. */
static void strides_of_b(const es_launch *launch, int64_t stride[ES_MAX_RANK])
{
    const es_tensor *a = launch->in[A], *b = launch->in[B];
    memset(stride, 0, ES_MAX_RANK * sizeof *stride);
    if (!b) return;
    bool same = same_shape(a, b);
    if (!same && es_tensor_size(b) == 1) return;
    for (uint32_t axis = 0; axis < (same ? a->rank : 2); axis++)
        if (b->shape[axis] > 1) stride[axis] = (int64_t)b->strides[axis];
}

/* Rows and columns as one axis, gaps between rows included, where all tensors have the same: gaps of y are its own. */
static void add_plane(const es_launch *launch, es_axes *axes, const int64_t b[ES_MAX_RANK])
{
    const es_tensor *a = launch->in[A], *y = launch->out;
    int64_t height = (int64_t)y->shape[2], width = (int64_t)y->shape[3];
    int64_t row = (int64_t)y->strides[2], pixel = (int64_t)y->strides[3];
    bool whole = height > 1 && width > 1 && a->strides[2] == y->strides[2] && a->strides[3] == y->strides[3];
    whole = whole && ((b[2] == 0 && b[3] == 0) || (b[2] == row && b[3] == pixel));
    whole = whole && (y->layout == ES_CHW || pixel == (int64_t)y->shape[1]);
    if (whole) {
        es_add_axis(axes, (height - 1) * (row / pixel) + width, pixel, b[3], pixel);
        return;
    }
    es_add_axis(axes, height, (int64_t)a->strides[2], b[2], row);
    es_add_axis(axes, width, (int64_t)a->strides[3], b[3], pixel);
}

static row_table make_rows(const es_launch *launch)
{
    const es_tensor *a = launch->in[A], *y = launch->out;
    row_table rows = {.outer.count = 0};
    int64_t b[ES_MAX_RANK];
    strides_of_b(launch, b);
    for (uint32_t axis = 0; axis < y->rank; axis++) {
        if (y->layout != ES_ROW_MAJOR && axis == (y->layout == ES_NHWC ? 1u : 2u)) {
            add_plane(launch, &rows.outer, b);
            if (y->layout == ES_CHW) break;
        }
        if (y->layout == ES_NHWC && axis > 1) break;
        int64_t length = axis ? (int64_t)y->shape[axis] : es_rows(launch, y);
        es_add_axis(&rows.outer, length, (int64_t)a->strides[axis], b[axis], (int64_t)y->strides[axis]);
    }
    es_merge_axes(&rows.outer);
    rows.length = es_pop_axis(&rows.outer, rows.stride);
    rows.pieces = (rows.length + PIECE - 1) / PIECE;
    rows.units = es_axes_size(&rows.outer) * rows.pieces;
    return rows;
}

/* Operator and shape of b are constants where this is called. */
ES_INLINE es_f32 combine(es_op op, es_f32 a, es_f32 b)
{
    return op == ES_ADD ? es_add(a, b) : op == ES_MUL ? es_mul(a, b) : a;
}

ES_INLINE void compute(es_op op, bool repeated, const float *a, const float *b, float *y, int64_t count,
                       es_epilogue epilogue)
{
    es_f32 low = es_splat(epilogue.low), high = es_splat(epilogue.high);
    es_f32 other = op == ES_ACTIVATION ? low : es_splat(b[0]);
    int64_t at = 0;
    for (; at + UNROLL * ES_LANES <= count; at += UNROLL * ES_LANES) {
        es_f32 values[UNROLL];
        ES_UNROLL
        for (int v = 0; v < UNROLL; v++) {
            if (!repeated) other = es_load(b + at + v * ES_LANES);
            values[v] = es_bound(combine(op, es_load(a + at + v * ES_LANES), other), low, high);
        }
        ES_UNROLL
        for (int v = 0; v < UNROLL; v++) es_store(y + at + v * ES_LANES, values[v]);
    }
    for (; at + ES_LANES <= count; at += ES_LANES) {
        if (!repeated) other = es_load(b + at);
        es_store(y + at, es_bound(combine(op, es_load(a + at), other), low, high));
    }
    if (at == count) return;
    int rest = (int)(count - at);
    if (!repeated) other = es_load_first(b + at, rest);
    es_store_first(y + at, es_bound(combine(op, es_load_first(a + at, rest), other), low, high), rest);
}

static void compute_row(es_op op, bool repeated, const float *a, const float *b, float *y, int64_t count,
                        es_epilogue epilogue)
{
    if (op == ES_ACTIVATION)
        compute(ES_ACTIVATION, true, a, b, y, count, epilogue);
    else if (op == ES_ADD)
        repeated ? compute(ES_ADD, true, a, b, y, count, epilogue) : compute(ES_ADD, false, a, b, y, count, epilogue);
    else
        repeated ? compute(ES_MUL, true, a, b, y, count, epilogue) : compute(ES_MUL, false, a, b, y, count, epilogue);
    es_activate_row(epilogue, y, count);
}

/* A piece of a row whose elements are not neighbours in every tensor. */
static void compute_apart(const es_launch *launch, const row_table *rows, const int64_t offset[ES_WALKED],
                          int64_t count, es_epilogue epilogue)
{
    float *y = (float *)(void *)launch->out_data + offset[Y];
    for (int64_t at = 0; at < count; at++) {
        float value = es_float_at(launch->in[A], launch->in_data[A], offset[A] + at * rows->stride[A]), other = 0;
        if (launch->in[B]) other = es_float_at(launch->in[B], launch->in_data[B], offset[B] + at * rows->stride[B]);
        float *to = y + at * rows->stride[Y];
        compute_row(launch->step->op, true, &value, &other, to, 1, epilogue);
    }
}

static void run(const es_launch *launch, int phase, int64_t begin, int64_t end, uint8_t *thread_scratch)
{
    if (phase == 1) {
        es_border_run(launch, begin, end);
        return;
    }
    row_table rows = make_rows(launch);
    es_epilogue epilogue = es_read_epilogue(launch->step, 0);
    const es_tensor *a = launch->in[A], *b = launch->in[B];
    float *room = (float *)(void *)thread_scratch;
    bool repeated = rows.stride[B] == 0;
    bool neighbours = rows.length == 1 || (rows.stride[A] == 1 && rows.stride[Y] == 1 && rows.stride[B] <= 1);
    es_walk walk = es_walk_to(&rows.outer, begin / rows.pieces);
    int64_t piece = begin % rows.pieces;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t first = piece * PIECE, count = rows.length - first < PIECE ? rows.length - first : PIECE;
        int64_t offset[ES_WALKED];
        for (int t = 0; t < ES_WALKED; t++) offset[t] = walk.offset[t] + first * rows.stride[t];
        if (neighbours) {
            const float *x = es_floats_at(a, launch->in_data[A], offset[A], count, room);
            const float *other = NULL;
            if (b) other = es_floats_at(b, launch->in_data[B], offset[B], repeated ? 1 : count, room + PIECE);
            compute_row(launch->step->op, repeated, x, other, (float *)(void *)launch->out_data + offset[Y], count,
                        epilogue);
        } else {
            compute_apart(launch, &rows, offset, count, epilogue);
        }
        if (++piece < rows.pieces) continue;
        piece = 0;
        es_walk_on(&walk);
    }
}

static bool accepts(const es_launch *launch)
{
    (void)launch;
    return true;
}

static void measure(const es_launch *launch, es_needs *needs)
{
    if (es_is_half(launch->in[A]) || es_is_half(launch->in[B]))
        needs->thread_scratch_bytes = 2 * PIECE * sizeof(float);
}

static int64_t units(const es_launch *launch, int phase)
{
    if (phase == 1) return es_border_units(launch);
    row_table rows = make_rows(launch);
    return rows.units;
}

#define ELEMENTWISE(op_, name_)                                                                                  \
    {.name = ES_KERNEL_NAME(name_), .op = op_, .variant = ES_THIS_VARIANT, .accepts = accepts, .measure = measure, \
     .phases = 2, .units = units, .run = run}
static const es_kernel add = ELEMENTWISE(ES_ADD, "add_f32");
static const es_kernel multiply = ELEMENTWISE(ES_MUL, "mul_f32");
static const es_kernel activate = ELEMENTWISE(ES_ACTIVATION, "activation_f32");

ES_FAMILY(elementwise) = {&add, &multiply, &activate, NULL};
