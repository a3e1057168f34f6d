/* Rules of elementwise steps, pools, copies and the other operations on images and rows. */
#include "step_view.h"

enum { PHASE_STRIDE_H = 0, PHASE_STRIDE_W = 1 };
enum { PAD_TOP = 0, PAD_LEFT = 1, PAD_VALUE = 2 };

static bool need_floats(const es_step_view *view)
{
    return es_need_float(view, view->in[0], "x") && es_need_float(view, view->y, "y");
}

/* Elements lie in logical order without gaps. */
static bool is_dense(const es_tensor *tensor)
{
    uint64_t step = 1;
    for (uint32_t axis = tensor->rank; axis-- > 0;) {
        if (tensor->shape[axis] > 1 && tensor->strides[axis] != step) return false;
        step *= tensor->shape[axis];
    }
    return true;
}

/* An operand that is read at the elements of y. */
static bool need_same(const es_step_view *view, const es_tensor *tensor, const char *name)
{
    bool ordered = view->y->layout != ES_ROW_MAJOR || tensor->storage != ES_CONSTANT || is_dense(tensor);
    return es_need_shape_of(view, tensor, name, view->y) && es_need_layout(view, tensor, name, 1u << view->y->layout) &&
           es_need_same_symbol(view, tensor, name) &&
           ES_NEED(view, ordered, ES_STEP_STRIDES, "%s is stored in another order", name);
}

bool es_rule_binary(const es_step_view *view)
{
    const es_tensor *a = view->in[0], *b = view->in[1];
    if (!es_need_activation(view, 0) || !need_floats(view) || !es_need_float(view, b, "b") || !need_same(view, a, "a"))
        return false;
    if (es_same_shape(a, b)) return need_same(view, b, "b");
    if (!ES_NEED(view, b->symbol_axis < 0, ES_STEP_SYMBOL, "b has another shape and follows the symbol")) return false;
    if (es_tensor_size(b) == 1) return true;
    bool fits = a->rank == 4 && b->rank == 4 && (b->shape[0] == 1 || b->shape[0] == a->shape[0]) &&
                b->shape[1] == a->shape[1] && b->shape[2] == 1 && b->shape[3] == 1;
    return ES_NEED(view, fits, ES_STEP_SHAPE, "b of shape %s does not fit a of shape %s", ES_SHAPE_TEXT(b),
                   ES_SHAPE_TEXT(a)) &&
           es_need_layout(view, b, "b", ES_IS_ROW_MAJOR) &&
           ES_NEED(view, b->strides[1] == 1, ES_STEP_STRIDES, "b has gaps between channels");
}

bool es_rule_activation(const es_step_view *view)
{
    return es_need_activation(view, 0) && need_floats(view) && need_same(view, view->in[0], "x");
}

/* x and y are images with the same number of images and channels. */
static bool need_images(const es_step_view *view, bool one_layout)
{
    const es_tensor *x = view->in[0], *y = view->y;
    return need_floats(view) && es_need_layout(view, x, "x", one_layout ? 1u << y->layout : ES_IS_IMAGE) &&
           es_need_layout(view, y, "y", ES_IS_IMAGE) &&
           ES_NEED(view, x->shape[0] == y->shape[0] && x->shape[1] == y->shape[1], ES_STEP_SHAPE,
                   "x has shape %s, y %s", ES_SHAPE_TEXT(x), ES_SHAPE_TEXT(y));
}

/* Every window along an axis holds at least one pixel of the image. */
static bool need_windows(const es_step_view *view, int axis)
{
    int64_t kernel = es_attribute(view, ES_W_KERNEL_H + axis), stride = es_attribute(view, ES_W_STRIDE_H + axis);
    int64_t dilation = es_attribute(view, ES_W_DILATION_H + axis), before = es_attribute(view, ES_W_PAD_TOP + axis);
    int64_t length = (int64_t)view->in[0]->shape[2 + axis], outputs = (int64_t)view->y->shape[2 + axis];
    bool fits = before <= (kernel - 1) * dilation && (outputs - 1) * stride - before < length &&
                (kernel == 1 || dilation <= length);
    return ES_NEED(view, fits, ES_STEP_WINDOW, "a window along %s lies outside the image", axis ? "w" : "h");
}

bool es_rule_pool(const es_step_view *view)
{
    if (!es_need_window(view, 0) || !need_images(view, true) || !need_windows(view, 0) || !need_windows(view, 1))
        return false;
    if (view->step->op != ES_AVG_POOL) return true;
    return es_need_word(view, "pad_bottom", ES_AVG_PAD_BOTTOM, 0, ES_WINDOW_LIMIT) &&
           es_need_word(view, "pad_right", ES_AVG_PAD_RIGHT, 0, ES_WINDOW_LIMIT) &&
           es_need_word(view, "count_include_pad", ES_AVG_COUNT_INCLUDE_PAD, 0, 1);
}

bool es_rule_adaptive_avg_pool(const es_step_view *view) { return need_images(view, false); }

bool es_rule_mean(const es_step_view *view)
{
    const es_tensor *x = view->in[0], *y = view->y;
    /* The last row of a plane is read in whole vectors. */
    if (!es_need_activation(view, 0) || !need_floats(view) || !es_need_layout(view, x, "x", ES_IS_IMAGE) ||
        !es_need_storage(view, x, "x", ES_IN_ARENA))
        return false;
    bool fits = y->rank >= 2 && y->shape[0] == x->shape[0] && y->shape[1] == x->shape[1] && y->symbol_axis < 0;
    for (uint32_t axis = 2; axis < y->rank; axis++) fits &= y->shape[axis] == 1;
    return ES_NEED(view, fits, ES_STEP_SHAPE, "y has shape %s, x %s", ES_SHAPE_TEXT(y), ES_SHAPE_TEXT(x)) &&
           ES_NEED(view, y->strides[1] == 1 || y->shape[1] == 1, ES_STEP_STRIDES, "y has gaps between channels");
}

bool es_rule_softmax(const es_step_view *view)
{
    const es_tensor *x = view->in[0], *y = view->y;
    return need_floats(view) && es_need_even_rows(view, x, "x") && es_need_even_rows(view, y, "y") &&
           es_need_shape_of(view, x, "x", y) && es_need_same_symbol(view, x, "x");
}

bool es_rule_copy(const es_step_view *view)
{
    const es_tensor *x = view->in[0], *y = view->y;
    return need_floats(view) &&
           ES_NEED(view, es_tensor_size(x) == es_tensor_size(y), ES_STEP_SHAPE, "x has shape %s, y %s",
                   ES_SHAPE_TEXT(x), ES_SHAPE_TEXT(y)) &&
           es_need_same_symbol(view, x, "x") &&
           ES_NEED(view, y->symbol_axis != 0 || x->shape[0] == y->shape[0], ES_STEP_SHAPE, "x has shape %s, y %s",
                   ES_SHAPE_TEXT(x), ES_SHAPE_TEXT(y));
}

bool es_rule_phase_split(const es_step_view *view)
{
    const es_tensor *x = view->in[0], *y = view->y;
    if (!need_floats(view) || !es_need_layout(view, x, "x", ES_IS_IMAGE) ||
        !es_need_layout(view, y, "y", ES_IS_IMAGE) ||
        !es_need_word(view, "stride_h", PHASE_STRIDE_H, 1, ES_WINDOW_LIMIT) ||
        !es_need_word(view, "stride_w", PHASE_STRIDE_W, 1, ES_WINDOW_LIMIT))
        return false;
    uint64_t height = (uint64_t)es_attribute(view, PHASE_STRIDE_H);
    uint64_t width = (uint64_t)es_attribute(view, PHASE_STRIDE_W);
    const uint64_t shape[4] = {x->shape[0], height * width * x->shape[1], (x->shape[2] + height - 1) / height,
                               (x->shape[3] + width - 1) / width};
    return es_need_shape(view, y, "y", shape, 4);
}

bool es_rule_pad(const es_step_view *view)
{
    static const char *const names[2] = {"pad_top", "pad_left"};
    const es_tensor *x = view->in[0], *y = view->y;
    if (!need_images(view, false) || !es_need_number(view, "value", PAD_VALUE, false, false)) return false;
    for (int axis = 0; axis < 2; axis++) {
        if (!es_need_word(view, names[axis], PAD_TOP + axis, 0, ES_WINDOW_LIMIT)) return false;
        uint64_t before = (uint64_t)es_attribute(view, PAD_TOP + axis);
        if (!ES_NEED(view, before + x->shape[2 + axis] <= y->shape[2 + axis], ES_STEP_SHAPE,
                     "%s with %s %llu does not fit %s", ES_SHAPE_TEXT(x), names[axis], (unsigned long long)before,
                     ES_SHAPE_TEXT(y)))
            return false;
    }
    return true;
}
