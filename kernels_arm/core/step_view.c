/* The questions that the rules of all operations ask; see step_view.h. */
#include "step_view.h"

#include <math.h>
#include <stdarg.h>

#include "ops.h"
#include "words.h"

bool es_refuse_step(const es_step_view *view, es_status status, const char *format, ...)
{
    char problem[192];
    va_list arguments;
    va_start(arguments, format);
    es_words_of(problem, sizeof problem, format, arguments);
    va_end(arguments);
    uint32_t number = (uint32_t)(view->step - view->reader->steps);
    return es_refuse_record(view->reader, status, "step", number, view->step->name, "%s: %s",
                            es_find_op(view->step->op)->name, problem);
}

bool es_need_word(const es_step_view *view, const char *name, int word, int64_t low, int64_t high)
{
    int64_t value = es_attribute(view, word);
    return ES_NEED(view, low <= value && value <= high, ES_STEP_ATTRIBUTE, "%s is %lld, not %lld to %lld", name,
                   (long long)value, (long long)low, (long long)high);
}

bool es_need_number(const es_step_view *view, const char *name, int word, bool finite, bool from_zero)
{
    float value = es_word_float(view->step->words[word]);
    bool fits = finite ? isfinite(value) : !isnan(value);
    return ES_NEED(view, fits && (!from_zero || value >= 0), ES_STEP_ATTRIBUTE, "%s is %g", name, (double)value);
}

bool es_need_activation(const es_step_view *view, int word)
{
    float low = es_word_float(view->step->words[word + 1]), high = es_word_float(view->step->words[word + 2]);
    return es_need_word(view, "activation", word, ES_ACT_NONE, ES_ACT_GELU) &&
           es_need_number(view, "clamp_low", word + 1, false, false) &&
           es_need_number(view, "clamp_high", word + 2, false, false) &&
           ES_NEED(view, es_attribute(view, word) != ES_ACT_CLAMP || low <= high, ES_STEP_ATTRIBUTE,
                   "clamp_low %g exceeds clamp_high %g", (double)low, (double)high);
}

bool es_need_window(const es_step_view *view, int word)
{
    static const char *const names[] = {"kernel_h",   "kernel_w",   "stride_h", "stride_w",
                                        "dilation_h", "dilation_w", "pad_top",  "pad_left"};
    for (int index = 0; index < 8; index++)
        if (!es_need_word(view, names[index], word + index, index < ES_W_PAD_TOP, ES_WINDOW_LIMIT)) return false;
    return true;
}

bool es_need_float(const es_step_view *view, const es_tensor *tensor, const char *name)
{
    bool fits = tensor->dtype == ES_F32 || (tensor->dtype == ES_F16 && tensor->storage == ES_CONSTANT);
    return ES_NEED(view, fits, ES_STEP_DTYPE, "%s holds elements of type %d", name, (int)tensor->dtype);
}

bool es_need_layout(const es_step_view *view, const es_tensor *tensor, const char *name, uint32_t layouts)
{
    return ES_NEED(view, layouts >> tensor->layout & 1, ES_STEP_LAYOUT, "%s has layout %d", name, (int)tensor->layout);
}

bool es_need_storage(const es_step_view *view, const es_tensor *tensor, const char *name, uint32_t storages)
{
    return ES_NEED(view, storages >> tensor->storage & 1, ES_STEP_STORAGE, "%s lies in storage %d", name,
                   (int)tensor->storage);
}

bool es_need_shape(const es_step_view *view, const es_tensor *tensor, const char *name, const uint64_t *shape,
                   uint32_t rank)
{
    bool same = tensor->rank == rank;
    for (uint32_t axis = 0; same && axis < rank; axis++) same = tensor->shape[axis] == shape[axis];
    return ES_NEED(view, same, ES_STEP_SHAPE, "%s has shape %s, not %s", name, ES_SHAPE_TEXT(tensor),
                   es_list(shape, rank).text);
}

bool es_same_shape(const es_tensor *a, const es_tensor *b)
{
    /* Axes beyond the rank are zero, and no others. */
    return !memcmp(a->shape, b->shape, sizeof a->shape);
}

bool es_need_shape_of(const es_step_view *view, const es_tensor *tensor, const char *name, const es_tensor *other)
{
    return es_need_shape(view, tensor, name, other->shape, other->rank);
}

bool es_need_same_symbol(const es_step_view *view, const es_tensor *tensor, const char *name)
{
    return ES_NEED(view, tensor->symbol_axis == view->y->symbol_axis, ES_STEP_SYMBOL,
                   "%s and the output do not both follow the symbol", name);
}

bool es_need_even_rows(const es_step_view *view, const es_tensor *tensor, const char *name)
{
    uint32_t rank = tensor->rank;
    if (!es_need_layout(view, tensor, name, ES_IS_ROW_MAJOR) ||
        !ES_NEED(view, rank > 0, ES_STEP_SHAPE, "%s is a single number", name) ||
        !ES_NEED(view, rank > 1 || tensor->symbol_axis < 0, ES_STEP_SYMBOL, "%s is a single row as long as the symbol",
                 name) ||
        !ES_NEED(view, tensor->strides[rank - 1] == 1, ES_STEP_STRIDES, "%s has gaps between the elements of a row",
                 name))
        return false;
    bool single = true;
    for (uint32_t axis = 0; axis + 2 < rank; axis++) {
        bool even = tensor->strides[axis] == tensor->shape[axis + 1] * tensor->strides[axis + 1];
        /* Axes of length 1 step nowhere if no longer one is around them. */
        single = single && tensor->shape[axis] == 1;
        if (!ES_NEED(view, even || single, ES_STEP_STRIDES, "the rows of %s lie at uneven distances", name))
            return false;
    }
    return true;
}

bool es_need_vector(const es_step_view *view, const es_tensor *tensor, const char *name, uint64_t length)
{
    uint64_t longest = 1;
    for (uint32_t axis = 0; axis < tensor->rank; axis++)
        if (tensor->shape[axis] > longest) longest = tensor->shape[axis];
    return es_need_storage(view, tensor, name, ES_IN_CONSTANT) && es_need_float(view, tensor, name) &&
           ES_NEED(view, es_tensor_size(tensor) == length && longest == length, ES_STEP_SHAPE,
                   "%s has shape %s, not %llu numbers", name, ES_SHAPE_TEXT(tensor), (unsigned long long)length);
}

bool es_need_position(const es_step_view *view, const es_tensor *tensor, uint64_t numbers, bool exact)
{
    uint64_t size = es_tensor_size(tensor);
    bool fits = (exact ? size == numbers : size <= numbers) && tensor->symbol_axis < 0;
    return ES_NEED(view, tensor->dtype == ES_S32, ES_STEP_DTYPE, "position holds elements of type %d",
                   (int)tensor->dtype) &&
           es_need_storage(view, tensor, "position", ES_IN_INPUT) &&
           ES_NEED(view, fits, ES_STEP_SHAPE, "position has shape %s", ES_SHAPE_TEXT(tensor));
}
