/* The rules of whole plans: ports, operands, values in memory. No step can touch what is not its own. */
#include "step_view.h"
#include "written.h"

static bool need_length(es_reader *reader, const es_plan *plan, const es_tensor *tensor)
{
    if (tensor->symbol_axis < 0 || (plan->symbol_max && tensor->shape[0] == plan->symbol_max)) return true;
    return es_refuse(reader, ES_PLAN_SYMBOL, "plan %s: %s of shape %s does not follow the symbol, at most %u",
                     plan->name, tensor->name, ES_SHAPE_TEXT(tensor), (unsigned)plan->symbol_max);
}

typedef struct port_names {
    const es_tensor *tensors;
    const uint32_t *ports;
} port_names;

static int compare_names(const void *context, uint32_t a, uint32_t b)
{
    const port_names *names = context;
    const char *one = names->tensors[names->ports[a]].name, *other = names->tensors[names->ports[b]].name;
    return one == other ? 0 : strcmp(one, other);
}

static bool check_ports(es_reader *reader, uint32_t number, const es_plan *plan)
{
    const es_model *model = reader->model;
    uint32_t count = plan->input_count + plan->output_count;
    for (uint32_t port = 0; port < count; port++) {
        es_storage storage = port < plan->input_count ? ES_INPUT : ES_OUTPUT;
        uint32_t tensor = plan->inputs[port];
        if (tensor >= model->tensor_count || model->tensors[tensor].storage != storage)
            return es_refuse_record(reader, ES_PLAN_PORTS, "plan", number, plan->name,
                                    "port %u is no tensor of storage %s", (unsigned)port,
                                    storage == ES_INPUT ? "INPUT" : "OUTPUT");
        reader->port_plan[tensor] = number + 1;
    }
    port_names names = {model->tensors, plan->inputs};
    es_sort(reader->order, reader->spare, count, compare_names, &names);
    for (uint32_t place = 0; place < count; place++) {
        bool repeated = place && !compare_names(&names, reader->order[place - 1], reader->order[place]);
        if (repeated || !*model->tensors[plan->inputs[reader->order[place]]].name)
            return es_refuse_record(reader, ES_PLAN_PORTS, "plan", number, plan->name,
                                    "inputs and outputs are not all named differently");
    }
    for (uint32_t port = 0; port < count; port++)
        if (!need_length(reader, plan, &model->tensors[plan->inputs[port]])) return false;
    return true;
}

/* A tensor of a step belongs to this plan. */
static bool check_operand(const es_step_view *view, uint32_t plan_number, int32_t number)
{
    const es_tensor *tensor = &view->reader->model->tensors[number];
    bool port = tensor->storage == ES_INPUT || tensor->storage == ES_OUTPUT;
    return need_length(view->reader, view->plan, tensor) &&
           ES_NEED(view, tensor->storage != ES_ARENA || tensor->extent[1] <= view->plan->arena_bytes, ES_PLAN_ARENA,
                   "%s ends at byte %llu of %llu", tensor->name, (unsigned long long)tensor->extent[1],
                   (unsigned long long)view->plan->arena_bytes) &&
           ES_NEED(view, !port || view->reader->port_plan[number] == plan_number + 1, ES_STEP_STORAGE,
                   "%s is no input or output of this plan", tensor->name);
}

static bool check_operands(const es_step_view *view, uint32_t plan_number)
{
    const es_step *step = view->step;
    for (uint32_t index = 0; index < step->input_count; index++)
        if (view->in[index] && !check_operand(view, plan_number, step->inputs[index])) return false;
    if (!check_operand(view, plan_number, step->output)) return false;
    for (uint32_t index = 0; index < step->input_count; index++)
        if (!ES_NEED(view, !view->in[index] || view->in[index]->storage != ES_OUTPUT, ES_STEP_STORAGE,
                     "an output of the plan is read"))
            return false;
    return es_need_storage(view, view->y, "y", ES_IN_ARENA | ES_IN_OUTPUT | ES_IN_STATE);
}

static bool check_rule(const es_step_view *view)
{
    switch (view->step->op) {
    case ES_SPMM: return es_rule_product(view);
    case ES_DWCONV: return es_rule_depthwise(view);
    case ES_ADD:
    case ES_MUL: return es_rule_binary(view);
    case ES_ACTIVATION: return es_rule_activation(view);
    case ES_MAX_POOL:
    case ES_AVG_POOL: return es_rule_pool(view);
    case ES_ADAPTIVE_AVG_POOL: return es_rule_adaptive_avg_pool(view);
    case ES_MEAN: return es_rule_mean(view);
    case ES_SOFTMAX: return es_rule_softmax(view);
    case ES_COPY: return es_rule_copy(view);
    case ES_PHASE_SPLIT: return es_rule_phase_split(view);
    case ES_PAD: return es_rule_pad(view);
    case ES_EMBEDDING: return es_rule_embedding(view);
    case ES_RMS_NORM: return es_rule_rms_norm(view);
    case ES_ROPE: return es_rule_rope(view);
    case ES_ATTENTION_OP: return es_rule_attention(view);
    case ES_TAKE_LAST: return es_rule_take_last(view);
    case ES_DELTA_ATTENTION: return es_rule_delta_attention(view);
    }
    return es_refuse_step(view, ES_STEP_OP, "no rules for this op");
}

static bool check_written(const es_step_view *view)
{
    for (uint32_t index = 0; index < view->step->input_count; index++) {
        const es_tensor *tensor = view->in[index];
        if (!tensor || tensor->storage != ES_ARENA) continue;
        es_status problem = es_written_problem(view->reader->written, tensor);
        if (!ES_NEED(view, !problem, problem, "%s was %s by earlier steps", tensor->name,
                     problem == ES_STEP_UNWRITTEN ? "not written" : "overwritten"))
            return false;
    }
    return true;
}

/* Operations that may write over an input that lies exactly where the output does. */
static bool in_place(const es_step_view *view, const es_tensor *a, const es_tensor *b)
{
    es_op op = view->step->op;
    return (op == ES_ADD || op == ES_MUL || op == ES_ACTIVATION) && a->offset == b->offset && es_same_shape(a, b) &&
           !memcmp(a->strides, b->strides, sizeof a->strides) && !memcmp(&a->border, &b->border, sizeof a->border) &&
           a->layout == b->layout;
}

/* What a step writes (target, its input number own or none) shares no memory with its other operands. */
static bool check_target(const es_step_view *view, const es_tensor *target, int own)
{
    if (target->storage != ES_ARENA && target->storage != ES_STATE) return true;
    es_footprint written = es_footprint_of(target);
    for (int index = 0; index < (int)view->step->input_count; index++) {
        const es_tensor *other = view->in[index];
        if (!other || index == own || other->storage != target->storage || in_place(view, other, target)) continue;
        es_footprint read = es_footprint_of(other);
        if (!ES_NEED(view, es_apart(&written, &read), ES_STEP_OVERLAP, "%s and %s share memory", target->name,
                     other->name))
            return false;
    }
    return true;
}

static bool check_apart(const es_step_view *view)
{
    static const int changed[] = {3, 4, 6, 7}; /* of both kinds of attention */
    if (!check_target(view, view->y, -1)) return false;
    if (view->step->op != ES_ATTENTION_OP && view->step->op != ES_DELTA_ATTENTION) return true;
    for (int index = 0; index < 4; index++)
        if (view->in[changed[index]] && !check_target(view, view->in[changed[index]], changed[index])) return false;
    return true;
}

static bool check_step(es_reader *reader, uint32_t plan_number, const es_plan *plan, const es_step *step)
{
    const es_tensor *tensors = reader->model->tensors;
    es_step_view view = {.reader = reader, .plan = plan, .step = step, .y = &tensors[step->output]};
    for (uint32_t index = 0; index < step->input_count; index++)
        if (step->inputs[index] != ES_NO_TENSOR) view.in[index] = &tensors[step->inputs[index]];
    if (!check_operands(&view, plan_number) || !check_rule(&view) || !check_written(&view) || !check_apart(&view))
        return false;
    reader->written_plan[step->output] = plan_number + 1;
    if (view.y->storage == ES_ARENA) es_written_add(reader->written, view.y);
    return true;
}

static bool check_plan(es_reader *reader, uint32_t number, const es_plan *plan)
{
    if (!check_ports(reader, number, plan)) return false;
    es_written_clear(reader->written, reader);
    for (uint32_t step = 0; step < plan->step_count; step++)
        if (!check_step(reader, number, plan, &plan->steps[step])) return false;
    for (uint32_t output = 0; output < plan->output_count; output++)
        if (reader->written_plan[plan->outputs[output]] != number + 1)
            return es_refuse_record(reader, ES_PLAN_OUTPUT, "plan", number, plan->name, "no step writes output %s",
                                    reader->model->tensors[plan->outputs[output]].name);
    return true;
}

bool es_check_plans(es_reader *reader)
{
    const es_model *model = reader->model;
    memset(reader->port_plan, 0, model->tensor_count * sizeof *reader->port_plan);
    memset(reader->written_plan, 0, model->tensor_count * sizeof *reader->written_plan);
    for (uint32_t number = 0; number < model->plan_count; number++)
        if (!check_plan(reader, number, &model->plans[number])) return false;
    return true;
}
