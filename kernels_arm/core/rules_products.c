/* Rules of SPMM and DWCONV, whose kernels read and write whole vectors across the edges of rows and planes. */
#include "step_view.h"

/* Bytes before and after the arena that a runtime keeps readable. */
enum { READ_MARGIN = 4096 };

/* First and last row or column that taps read, counted from the one of the output pixel. */
typedef struct tap_range { int64_t first, last; } tap_range;

static int64_t floor_divide(int64_t number, int64_t by)
{
    return number >= 0 ? number / by : -((-number + by - 1) / by);
}

/* Taps along axis 0 (rows) or 1 (columns); window is the first of the step's window words. */
static tap_range taps_along(const es_step_view *view, int window, int axis, bool phase_split)
{
    tap_range taps;
    int64_t stride = es_attribute(view, window + ES_W_STRIDE_H + axis);
    taps.first = -es_attribute(view, window + ES_W_PAD_TOP + axis);
    taps.last = taps.first + (es_attribute(view, window + ES_W_KERNEL_H + axis) - 1) *
                                 es_attribute(view, window + ES_W_DILATION_H + axis);
    if (phase_split) taps = (tap_range){floor_divide(taps.first, stride), floor_divide(taps.last, stride)};
    return taps;
}

/* All taps of real pixels fall on the image or its border. */
static bool need_border(const es_step_view *view, int window, bool phase_split, tap_range taps[2])
{
    const es_tensor *x = view->in[0], *y = view->y;
    const int64_t before[2] = {x->border.top, x->border.left}, after[2] = {x->border.bottom, x->border.right};
    for (int axis = 0; axis < 2; axis++) {
        taps[axis] = taps_along(view, window, axis, phase_split);
        int64_t stride = phase_split ? 1 : es_attribute(view, window + ES_W_STRIDE_H + axis);
        int64_t length = (int64_t)x->shape[2 + axis], outputs = (int64_t)y->shape[2 + axis];
        int64_t last = (outputs - 1) * stride + taps[axis].last;
        bool inside = -taps[axis].first <= before[axis] && last <= length - 1 + after[axis];
        if (!ES_NEED(view, inside, ES_STEP_WINDOW, "it reads %s %lld to %lld of %lld with a border of %lld and %lld",
                     axis ? "columns" : "rows", (long long)taps[axis].first, (long long)last, (long long)length,
                     (long long)before[axis], (long long)after[axis]))
            return false;
    }
    return true;
}

/* Pixels first to last of every plane of x lie in the arena or the margin around it. */
static bool need_readable(const es_step_view *view, int64_t first, int64_t last)
{
    const es_tensor *x = view->in[0];
    int64_t size = (int64_t)es_dtype_bytes(x->dtype), offset = (int64_t)x->offset;
    int64_t planes = (int64_t)((x->shape[0] - 1) * x->strides[0] + (x->shape[1] - 1) * x->strides[1]);
    int64_t low = offset + first * size, high = offset + (planes + last + 1) * size;
    bool inside = low >= -READ_MARGIN && high <= (int64_t)view->plan->arena_bytes + READ_MARGIN;
    return ES_NEED(view, inside, ES_STEP_READ, "vectors read bytes %lld to %lld of an arena of %lld", (long long)low,
                   (long long)high, (long long)view->plan->arena_bytes);
}

/* One flat pixel index addresses all tensors, and whole vectors of it stay readable. */
static bool need_flat(const es_step_view *view, bool phase_split, const tap_range taps[2])
{
    const es_tensor *x = view->in[0], *residual = view->in[2], *y = view->y;
    bool ones = es_attribute(view, ES_SPMM_WINDOW + ES_W_STRIDE_H) == 1 &&
                es_attribute(view, ES_SPMM_WINDOW + ES_W_STRIDE_W) == 1;
    bool even = y->shape[2] == 1 ||
                (x->strides[2] == y->strides[2] && (!residual || residual->strides[2] == y->strides[2]));
    int64_t pixels = (int64_t)es_frame_of(y).pixels, row = (int64_t)x->strides[2];
    int64_t vectors = (pixels + ES_VECTOR_SLACK - 1) / ES_VECTOR_SLACK * ES_VECTOR_SLACK;
    return ES_NEED(view, phase_split || ones, ES_STEP_ROW_STRIDE, "a strided product in CHW reads phases") &&
           ES_NEED(view, even, ES_STEP_ROW_STRIDE, "rows of operands and %s lie at different distances", y->name) &&
           need_readable(view, taps[0].first * row + taps[1].first, taps[0].last * row + taps[1].last + vectors - 1);
}

static bool rows_product(const es_step_view *view, const es_matrix *matrix)
{
    const es_tensor *x = view->in[0], *residual = view->in[2], *y = view->y;
    for (int word = ES_SPMM_WINDOW; word <= ES_SPMM_PHASE_SPLIT; word++) {
        int64_t wanted = word < ES_SPMM_WINDOW + ES_W_PAD_TOP;
        if (!es_need_word(view, "a word of the window", word, wanted, wanted)) return false;
    }
    if (!es_need_even_rows(view, x, "x") || !es_need_same_symbol(view, x, "x") || !es_need_even_rows(view, y, "y"))
        return false;
    if (residual && !(es_need_even_rows(view, residual, "residual") && es_need_same_symbol(view, residual, "residual")))
        return false;
    uint64_t shape[ES_MAX_RANK];
    memcpy(shape, x->shape, sizeof shape);
    shape[x->rank - 1] = matrix->rows;
    return ES_NEED(view, x->storage != ES_CONSTANT, ES_STEP_STORAGE, "x is a constant") &&
           ES_NEED(view, y->symbol_axis < 0 || y->rank == 2, ES_STEP_SYMBOL,
                   "x has several rows for each number of the symbol") &&
           ES_NEED(view, x->shape[x->rank - 1] == matrix->columns, ES_STEP_SHAPE,
                   "x has shape %s, the matrix has %u columns", ES_SHAPE_TEXT(x), (unsigned)matrix->columns) &&
           es_need_shape(view, y, "y", shape, x->rank);
}

static bool image_product(const es_step_view *view, const es_matrix *matrix)
{
    const es_tensor *x = view->in[0], *residual = view->in[2], *y = view->y;
    bool phase_split = es_attribute(view, ES_SPMM_PHASE_SPLIT) != 0;
    uint64_t taps = (uint64_t)es_attribute(view, ES_SPMM_WINDOW + ES_W_KERNEL_H) *
                    (uint64_t)es_attribute(view, ES_SPMM_WINDOW + ES_W_KERNEL_W);
    uint64_t phases = phase_split ? (uint64_t)es_attribute(view, ES_SPMM_WINDOW + ES_W_STRIDE_H) *
                                        (uint64_t)es_attribute(view, ES_SPMM_WINDOW + ES_W_STRIDE_W) : 1;
    bool fits = x->shape[1] % phases == 0 && taps * (x->shape[1] / phases) == matrix->columns;
    tap_range ranges[2];
    return ES_NEED(view, !phase_split || y->layout == ES_CHW, ES_STEP_LAYOUT, "phases are read in CHW only") &&
           ES_NEED(view, fits, ES_STEP_SHAPE, "%u columns do not fit %llu channels and %llu taps",
                   (unsigned)matrix->columns, (unsigned long long)x->shape[1], (unsigned long long)taps) &&
           ES_NEED(view, y->shape[0] == x->shape[0] && y->shape[1] == matrix->rows, ES_STEP_SHAPE, "y has shape %s",
                   ES_SHAPE_TEXT(y)) &&
           es_need_storage(view, x, x->name, ES_IN_ARENA) && es_need_storage(view, y, y->name, ES_IN_ARENA) &&
           (!residual || es_need_storage(view, residual, residual->name, ES_IN_ARENA)) &&
           need_border(view, ES_SPMM_WINDOW, phase_split, ranges) &&
           (y->layout != ES_CHW || need_flat(view, phase_split, ranges));
}

bool es_rule_product(const es_step_view *view)
{
    const es_tensor *x = view->in[0], *bias = view->in[1], *residual = view->in[2], *y = view->y;
    if (!es_need_window(view, ES_SPMM_WINDOW) || !es_need_activation(view, ES_SPMM_ACTIVATION) ||
        !es_need_word(view, "phase_split", ES_SPMM_PHASE_SPLIT, 0, 1) ||
        !es_need_word(view, "strips_outermost", ES_SPMM_STRIPS_OUTERMOST, 0, 1) ||
        !es_need_word(view, "quantise_x", ES_SPMM_QUANTISE_X, 0, 1))
        return false;
    int64_t number = es_attribute(view, ES_SPMM_MATRIX);
    if (number < 0 || number >= view->reader->model->matrix_count)
        return es_refuse_step(view, ES_STEP_MATRIX, "matrix %lld", (long long)number);
    const es_matrix *matrix = &view->reader->model->matrices[number];
    bool integers = matrix->dtype != ES_F32 && matrix->dtype != ES_F16;
    bool fits = !es_attribute(view, ES_SPMM_QUANTISE_X) || (integers && y->layout == ES_ROW_MAJOR);
    uint32_t layouts = y->layout == ES_NHWC ? ES_IS_IMAGE : 1u << y->layout;
    if (!ES_NEED(view, fits, ES_STEP_ATTRIBUTE, "quantise_x is for rows and matrices of integers") ||
        (bias && !es_need_vector(view, bias, "bias", matrix->rows)) || !es_need_float(view, x, "x") ||
        !es_need_float(view, y, "y") || (residual && !es_need_float(view, residual, "residual")) ||
        !es_need_layout(view, x, "x", layouts) ||
        (residual && (!es_need_layout(view, residual, "residual", 1u << y->layout) ||
                      !es_need_shape_of(view, residual, "residual", y))))
        return false;
    return y->layout == ES_ROW_MAJOR ? rows_product(view, matrix) : image_product(view, matrix);
}

static bool need_depthwise_weight(const es_step_view *view)
{
    const es_tensor *weight = view->in[1];
    uint64_t height = (uint64_t)es_attribute(view, ES_W_KERNEL_H), width = (uint64_t)es_attribute(view, ES_W_KERNEL_W);
    const uint64_t shape[3] = {view->in[0]->shape[1], height, width};
    const uint64_t planar[3] = {height * width, width, 1}, channels_last[3] = {1, width * shape[0], shape[0]};
    const uint64_t *wanted = view->y->layout == ES_CHW ? planar : channels_last;
    if (!es_need_storage(view, weight, "weight", ES_IN_CONSTANT) || !es_need_float(view, weight, "weight") ||
        !es_need_shape(view, weight, "weight", shape, 3))
        return false;
    bool even = true;
    for (uint32_t axis = 0; axis < 3; axis++) even &= weight->shape[axis] == 1 || weight->strides[axis] == wanted[axis];
    return ES_NEED(view, even, ES_STEP_STRIDES, "weight has strides %s, not %s", es_list(weight->strides, 3).text,
                   es_list(wanted, 3).text);
}

/* In CHW a row shorter than a vector is computed as a whole vector. */
static bool need_readable_rows(const es_step_view *view, const tap_range taps[2])
{
    const es_tensor *x = view->in[0], *y = view->y;
    int64_t width = (int64_t)y->shape[3], pixels = width > ES_VECTOR_SLACK ? width : ES_VECTOR_SLACK;
    int64_t row = (int64_t)x->strides[2];
    int64_t last_row = ((int64_t)y->shape[2] - 1) * es_attribute(view, ES_W_STRIDE_H) + taps[0].last;
    int64_t last = last_row * row + (pixels - 1) * es_attribute(view, ES_W_STRIDE_W) + taps[1].last;
    return need_readable(view, taps[0].first * row + taps[1].first, last);
}

bool es_rule_depthwise(const es_step_view *view)
{
    const es_tensor *x = view->in[0], *bias = view->in[2], *y = view->y;
    tap_range taps[2];
    return es_need_window(view, 0) && es_need_activation(view, ES_DWCONV_ACTIVATION) && es_need_float(view, x, "x") &&
           es_need_layout(view, x, "x", ES_IS_IMAGE) && es_need_float(view, y, "y") &&
           es_need_layout(view, y, "y", ES_IS_IMAGE) && es_need_layout(view, x, "x", 1u << y->layout) &&
           ES_NEED(view, y->shape[0] == x->shape[0] && y->shape[1] == x->shape[1], ES_STEP_SHAPE,
                   "x has shape %s, y %s", ES_SHAPE_TEXT(x), ES_SHAPE_TEXT(y)) &&
           need_depthwise_weight(view) && (!bias || es_need_vector(view, bias, "bias", x->shape[1])) &&
           es_need_storage(view, x, x->name, ES_IN_ARENA) && es_need_storage(view, y, y->name, ES_IN_ARENA) &&
           need_border(view, 0, false, taps) && (y->layout != ES_CHW || need_readable_rows(view, taps));
}
