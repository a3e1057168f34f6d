/* Step and plan records: signatures, ports, and which steps belong to which plan. */
#include <inttypes.h>

#include "ops.h"
#include "reader.h"

/* Kernels count tokens in signed 32 bits. */
static const uint32_t SYMBOL_LIMIT = INT32_MAX;

#define REFUSE_STEP(status, ...) es_refuse_record(reader, status, "step", number, step->name, __VA_ARGS__)
#define REFUSE_PLAN(status, ...) es_refuse_record(reader, status, "plan", number, plan->name, __VA_ARGS__)

/* All tensor numbers of a record; unused places are -1. */
static bool check_tensors(const es_reader *reader, const es_step *step, const int32_t outputs[2])
{
    int64_t count = reader->model->tensor_count;
    for (uint32_t index = 0; index < ES_MAX_INPUTS; index++) {
        int32_t tensor = step->inputs[index];
        bool used = index < step->input_count;
        if (used ? tensor < ES_NO_TENSOR || tensor >= count : tensor != ES_NO_TENSOR) return false;
    }
    return outputs[0] >= 0 && outputs[0] < count && outputs[1] == ES_NO_TENSOR;
}

static bool read_step(es_reader *reader, uint32_t number, es_step *step)
{
    uint8_t record[ES_LARGEST_RECORD];
    int32_t outputs[2];
    es_load_record(reader, ES_SECTION_STEPS, number, record);
    if (!es_find_string(reader, record + ES_AT_STEP_NAME, &step->name)) return false;
    uint32_t code = es_load_u16(record + ES_AT_STEP_OP);
    const es_op_spec *spec = es_find_op(code);
    if (!spec) return REFUSE_STEP(ES_STEP_OP, "op code %u is unknown", (unsigned)code);
    step->op = (es_op)code;
    step->input_count = record[ES_AT_STEP_INPUT_COUNT];
    memcpy(step->inputs, record + ES_AT_STEP_INPUTS, sizeof step->inputs);
    memcpy(outputs, record + ES_AT_STEP_OUTPUTS, sizeof outputs);
    memcpy(step->words, record + ES_AT_STEP_WORDS, sizeof step->words);
    step->output = outputs[0];
    if (step->input_count < spec->required_inputs || step->input_count > spec->inputs)
        return REFUSE_STEP(ES_STEP_INPUT_COUNT, "%u inputs for %s", (unsigned)step->input_count, spec->name);
    if (record[ES_AT_STEP_OUTPUT_COUNT] != 1)
        return REFUSE_STEP(ES_STEP_OUTPUT_COUNT, "%u outputs for %s", (unsigned)record[ES_AT_STEP_OUTPUT_COUNT],
                           spec->name);
    for (uint32_t index = 0; index < spec->required_inputs; index++)
        if (step->inputs[index] < 0)
            return REFUSE_STEP(ES_STEP_INPUT_COUNT, "a required input of %s is absent", spec->name);
    if (!check_tensors(reader, step, outputs))
        return REFUSE_STEP(ES_STEP_TENSOR, "a tensor number is not one of %u", (unsigned)reader->model->tensor_count);
    for (uint32_t word = spec->words; word < ES_MAX_WORDS; word++)
        if (step->words[word])
            return REFUSE_STEP(ES_STEP_WORDS, "words after the %u of %s are not zero", (unsigned)spec->words,
                               spec->name);
    return true;
}

/* Where the next plan's steps and ports begin. */
typedef struct plan_places { uint32_t step, port; } plan_places;

static bool read_plan(es_reader *reader, uint32_t number, es_plan *plan, plan_places *next)
{
    uint8_t record[ES_LARGEST_RECORD];
    uint32_t steps = reader->sections[ES_SECTION_STEPS].count, ports = reader->sections[ES_SECTION_PORTS].count;
    es_load_record(reader, ES_SECTION_PLANS, number, record);
    if (!es_find_string(reader, record + ES_AT_PLAN_NAME, &plan->name) ||
        !es_find_string(reader, record + ES_AT_PLAN_SYMBOL, &plan->symbol))
        return false;
    plan->step_count = es_load_u32(record + ES_AT_PLAN_STEP_COUNT);
    plan->input_count = es_load_u32(record + ES_AT_PLAN_INPUT_COUNT);
    plan->output_count = es_load_u32(record + ES_AT_PLAN_OUTPUT_COUNT);
    plan->symbol_max = es_load_u32(record + ES_AT_PLAN_SYMBOL_MAX);
    plan->arena_bytes = es_load_u64(record + ES_AT_PLAN_ARENA_BYTES);
    uint32_t first_step = es_load_u32(record + ES_AT_PLAN_FIRST_STEP);
    uint32_t first_port = es_load_u32(record + ES_AT_PLAN_FIRST_PORT);
    uint64_t total = (uint64_t)plan->input_count + plan->output_count;
    if (first_step != next->step || !plan->step_count || plan->step_count > steps - next->step)
        return REFUSE_PLAN(ES_PLAN_STEPS, "%u steps from %u are not the next of %u", (unsigned)plan->step_count,
                           (unsigned)first_step, (unsigned)steps);
    if (first_port != next->port || !plan->output_count || total > ports - next->port)
        return REFUSE_PLAN(ES_PLAN_PORTS, "%" PRIu64 " ports from %u are not the next of %u", total,
                           (unsigned)first_port, (unsigned)ports);
    if (plan->arena_bytes > ES_ARENA_LIMIT || plan->arena_bytes % ES_PART_ALIGNMENT)
        return REFUSE_PLAN(ES_PLAN_ARENA, "an arena of %" PRIu64 " bytes", plan->arena_bytes);
    if (!*plan->symbol != !plan->symbol_max || plan->symbol_max > SYMBOL_LIMIT)
        return REFUSE_PLAN(ES_PLAN_SYMBOL, "a symbol with a maximum of %u", (unsigned)plan->symbol_max);
    plan->steps = reader->steps + first_step;
    plan->inputs = reader->ports + first_port;
    plan->outputs = plan->inputs + plan->input_count;
    next->step += plan->step_count;
    next->port += (uint32_t)total;
    return true;
}

static bool check_names(es_reader *reader)
{
    const es_model *model = reader->model;
    for (uint32_t plan = 0; plan < model->plan_count; plan++)
        for (uint32_t other = 0; other < plan; other++)
            if (!strcmp(model->plans[plan].name, model->plans[other].name))
                return es_refuse(reader, ES_PLAN_NAME, "plans %u and %u have one name", (unsigned)other,
                                 (unsigned)plan);
    return true;
}

bool es_read_plans(es_reader *reader)
{
    const es_model *model = reader->model;
    uint32_t steps = reader->sections[ES_SECTION_STEPS].count, ports = reader->sections[ES_SECTION_PORTS].count;
    if (!es_check_reserved(reader, ES_SECTION_STEPS, 4, 4) || !es_check_reserved(reader, ES_SECTION_STEPS, 120, 8))
        return false;
    for (uint32_t number = 0; number < steps; number++)
        if (!read_step(reader, number, &reader->steps[number])) return false;
    memcpy(reader->ports, reader->sections[ES_SECTION_PORTS].data, (size_t)ports * sizeof *reader->ports);
    if (!es_check_reserved(reader, ES_SECTION_PLANS, 48, 16)) return false;
    plan_places next = {0, 0};
    for (uint32_t number = 0; number < model->plan_count; number++)
        if (!read_plan(reader, number, (es_plan *)&model->plans[number], &next)) return false;
    if (next.step != steps)
        return es_refuse(reader, ES_PLAN_STEPS, "%u steps belong to no plan", (unsigned)(steps - next.step));
    if (next.port != ports)
        return es_refuse(reader, ES_PLAN_PORTS, "%u ports belong to no plan", (unsigned)(ports - next.port));
    return check_names(reader);
}
