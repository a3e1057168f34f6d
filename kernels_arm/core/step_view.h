/* A step with its tensors at hand, and the questions that the rules of all operations ask. What is called es_need_*
 * refuses the file, and is false, when the step breaks a rule. */
#ifndef ES_STEP_VIEW_H
#define ES_STEP_VIEW_H

#include "footprint.h"
#include "reader.h"

typedef struct es_step_view {
    es_reader *reader;
    const es_plan *plan;
    const es_step *step;
    const es_tensor *in[ES_MAX_INPUTS]; /* NULL where absent */
    const es_tensor *y;
} es_step_view;

/* Largest kernel, stride, dilation and padding of a window. */
enum { ES_WINDOW_LIMIT = 1 << 16 };
/* Sets of layouts and storages. */
enum { ES_IS_ROW_MAJOR = 1 << ES_ROW_MAJOR, ES_IS_IMAGE = 1 << ES_CHW | 1 << ES_NHWC };
enum { ES_IN_ARENA = 1 << ES_ARENA, ES_IN_CONSTANT = 1 << ES_CONSTANT, ES_IN_INPUT = 1 << ES_INPUT,
       ES_IN_OUTPUT = 1 << ES_OUTPUT, ES_IN_STATE = 1 << ES_STATE };

bool es_refuse_step(const es_step_view *view, es_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Texts are made only when a rule is broken. */
#define ES_NEED(view, condition, status, ...) ((condition) || es_refuse_step(view, status, __VA_ARGS__))

/* An attribute as a signed number. */
static inline int64_t es_attribute(const es_step_view *view, int word) { return (int32_t)view->step->words[word]; }
/* Elements of a tensor. */
#define ES_SHAPE_TEXT(tensor) es_list((tensor)->shape, (tensor)->rank).text

bool es_need_word(const es_step_view *view, const char *name, int word, int64_t low, int64_t high);
/* A float attribute that is a number; finite ones are below infinity too. */
bool es_need_number(const es_step_view *view, const char *name, int word, bool finite, bool from_zero);
/* The three words of an activation, from word on. */
bool es_need_activation(const es_step_view *view, int word);
/* The eight words of a window, from word on. */
bool es_need_window(const es_step_view *view, int word);
/* float32; constants may hold float16. */
bool es_need_float(const es_step_view *view, const es_tensor *tensor, const char *name);
bool es_need_layout(const es_step_view *view, const es_tensor *tensor, const char *name, uint32_t layouts);
bool es_need_storage(const es_step_view *view, const es_tensor *tensor, const char *name, uint32_t storages);
bool es_need_shape(const es_step_view *view, const es_tensor *tensor, const char *name, const uint64_t *shape,
                   uint32_t rank);
bool es_need_shape_of(const es_step_view *view, const es_tensor *tensor, const char *name, const es_tensor *other);
/* The operand and the result are both as long as the symbol, or both are not. */
bool es_need_same_symbol(const es_step_view *view, const es_tensor *tensor, const char *name);
/* Row-major: elements of the last axis side by side, rows at one distance. */
bool es_need_even_rows(const es_step_view *view, const es_tensor *tensor, const char *name);
/* A constant of so many numbers, whatever its axes. */
bool es_need_vector(const es_step_view *view, const es_tensor *tensor, const char *name, uint64_t length);
/* A scalar input of at most, or with exact of exactly, so many numbers. */
bool es_need_position(const es_step_view *view, const es_tensor *tensor, uint64_t numbers, bool exact);

bool es_same_shape(const es_tensor *a, const es_tensor *b);

/* The rules of one step, by op. rules_*.c */
typedef bool es_step_rule(const es_step_view *view);
es_step_rule es_rule_product, es_rule_depthwise;
es_step_rule es_rule_binary, es_rule_activation, es_rule_pool, es_rule_adaptive_avg_pool, es_rule_mean, es_rule_softmax;
es_step_rule es_rule_copy, es_rule_phase_split, es_rule_pad;
es_step_rule es_rule_embedding, es_rule_rms_norm, es_rule_rope, es_rule_attention, es_rule_take_last;
es_step_rule es_rule_delta_attention;

#endif
