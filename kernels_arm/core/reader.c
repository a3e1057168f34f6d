/* Reading a model: two passes over the same rules, and the memory of both. */
#include "reader.h"

#include <stdatomic.h>

#include "words.h"
#include "written.h"

enum { TAKE_ALIGNMENT = 16 };

void *es_region_take(es_region *region, uint64_t count, size_t size)
{
    uint64_t bytes = count > UINT64_MAX / 4 / size ? UINT64_MAX / 4 : count * size;
    bytes = (bytes + TAKE_ALIGNMENT - 1) / TAKE_ALIGNMENT * TAKE_ALIGNMENT;
    uint64_t place = region->used;
    region->used = bytes > UINT64_MAX / 4 - region->used ? UINT64_MAX / 4 : region->used + bytes;
    return region->base && region->used <= region->size ? region->base + place : NULL;
}

void *es_take_copy(es_reader *reader, uint64_t count, size_t size)
{
    void *memory = es_region_take(&reader->copies, count, size);
    if (!memory && reader->copies.base) es_refuse(reader, ES_FILE_UNREADABLE, "the file changed while it was read");
    return memory;
}

const uint8_t *es_keep(es_reader *reader, es_bytes bytes)
{
    uint8_t *copy = es_take_copy(reader, bytes.length, 1);
    if (!copy) return bytes.data;
    memcpy(copy, bytes.data, (size_t)bytes.length);
    atomic_signal_fence(memory_order_seq_cst);
    return copy;
}

static uint32_t count_of(const es_reader *reader, es_section_type type) { return reader->sections[type].count; }

static uint64_t string_limit(const es_reader *reader)
{
    uint64_t places = (uint64_t)count_of(reader, ES_SECTION_TENSORS) + count_of(reader, ES_SECTION_MATRICES) +
                      count_of(reader, ES_SECTION_STEPS) + 2u * count_of(reader, ES_SECTION_PLANS) +
                      count_of(reader, ES_SECTION_LABELS);
    uint64_t bytes = reader->sections[ES_SECTION_STRINGS].length;
    return places < bytes ? places : bytes;
}

static uint32_t largest(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* Lay out what both passes need; without memory in the region it is measured. */
static void take_scratch(es_reader *reader)
{
    es_region *region = &reader->scratch;
    uint32_t matrices = count_of(reader, ES_SECTION_MATRICES), tensors = count_of(reader, ES_SECTION_TENSORS);
    uint32_t steps = count_of(reader, ES_SECTION_STEPS);
    uint32_t sorted = largest(matrices, largest(steps, count_of(reader, ES_SECTION_PORTS)));
    region->used = 0;
    reader->blobs = es_region_take(region, reader->blob_count, sizeof(es_blob));
    reader->strings.nodes = es_region_take(region, string_limit(reader), es_string_node_bytes());
    reader->order = es_region_take(region, sorted, sizeof(uint32_t));
    reader->spare = es_region_take(region, sorted, sizeof(uint32_t));
    reader->first_band = es_region_take(region, (uint64_t)matrices + 1, sizeof(uint32_t));
    reader->same = es_region_take(region, matrices, sizeof(uint32_t));
    reader->port_plan = es_region_take(region, tensors, sizeof(uint32_t));
    reader->written_plan = es_region_take(region, tensors, sizeof(uint32_t));
    reader->written = es_region_take(region, es_written_bytes(steps), 1);
}

/* Lay out the model's records. Fields of *model are set only when there is memory. */
static void take_records(es_reader *reader)
{
    es_region *region = &reader->records;
    es_model *model = es_region_take(region, 1, sizeof(es_model));
    es_tensor *tensors = es_region_take(region, count_of(reader, ES_SECTION_TENSORS), sizeof(es_tensor));
    es_matrix *matrices = es_region_take(region, count_of(reader, ES_SECTION_MATRICES), sizeof(es_matrix));
    reader->bands = es_region_take(region, count_of(reader, ES_SECTION_BANDS), sizeof(es_band));
    es_plan *plans = es_region_take(region, count_of(reader, ES_SECTION_PLANS), sizeof(es_plan));
    reader->steps = es_region_take(region, count_of(reader, ES_SECTION_STEPS), sizeof(es_step));
    uint32_t *ports = es_region_take(region, count_of(reader, ES_SECTION_PORTS), sizeof(uint32_t));
    const char **labels = es_region_take(region, count_of(reader, ES_SECTION_LABELS), sizeof(char *));
    es_image_record *image = es_region_take(region, count_of(reader, ES_SECTION_IMAGE), sizeof(es_image_record));
    es_tokenizer *tokenizer = es_region_take(region, count_of(reader, ES_SECTION_TOKENIZER), sizeof(es_tokenizer));
    reader->strings.pool =
        es_region_take(region, reader->sections[ES_SECTION_STRINGS].length + string_limit(reader) + 1, 1);
    reader->model = model;
    if (!model) return;
    model->tensors = tensors;
    model->tensor_count = count_of(reader, ES_SECTION_TENSORS);
    model->matrices = matrices;
    model->matrix_count = count_of(reader, ES_SECTION_MATRICES);
    model->plans = plans;
    model->plan_count = count_of(reader, ES_SECTION_PLANS);
    model->labels = labels;
    model->label_count = count_of(reader, ES_SECTION_LABELS);
    model->image = image && count_of(reader, ES_SECTION_IMAGE) ? image : NULL;
    model->tokenizer = tokenizer && count_of(reader, ES_SECTION_TOKENIZER) ? tokenizer : NULL;
    reader->ports = ports;
}

bool es_read_state_bytes(es_reader *reader, uint64_t *bytes)
{
    uint8_t record[ES_LARGEST_RECORD];
    if (!es_check_reserved(reader, ES_SECTION_MODEL, 8, 24)) return false;
    es_load_record(reader, ES_SECTION_MODEL, 0, record);
    *bytes = es_load_u64(record);
    if (*bytes > ES_ARENA_LIMIT || *bytes % ES_PART_ALIGNMENT)
        return es_refuse(reader, ES_MODEL_STATE, "a state of %llu bytes", (unsigned long long)*bytes);
    return true;
}

/* All rules behind the shell, in the order of docs/format.md. */
static bool read_pass(es_reader *reader)
{
    reader->records.used = reader->copies.used = 0;
    take_records(reader);
    reader->strings.count = 0;
    reader->strings.named = 0;
    reader->strings.pool_used = 1;
    return es_read_state_bytes(reader, &reader->model->state_bytes) && es_read_tensors(reader) && es_read_matrices(reader) &&
           es_read_plans(reader) && es_check_plans(reader) && es_read_labels(reader) && es_read_image(reader) &&
           es_read_tokenizer(reader) && es_check_metadata(reader) && es_check_blobs_used(reader);
}

static uint8_t *allocate(es_reader *reader, const es_allocator *allocator, uint64_t bytes)
{
    uint8_t *memory = bytes > SIZE_MAX / 2 ? NULL : allocator->allocate(allocator->context, (size_t)bytes);
    if (!memory) es_refuse(reader, ES_MEMORY_EXHAUSTED, "the model needs %llu bytes besides its weights",
                           (unsigned long long)bytes);
    return memory;
}

static void release(const es_allocator *allocator, es_region *region)
{
    if (region->base) allocator->release(allocator->context, region->base, (size_t)region->size);
    region->base = NULL;
}

/* The first pass, then the block for good and the second; the block lies in reader->records when that succeeds. */
static bool read_passes(es_reader *reader, const es_allocator *allocator)
{
    es_region *records = &reader->records;
    take_records(reader);
    records->size = records->used;
    records->base = allocate(reader, allocator, records->size);
    if (!records->base || !read_pass(reader)) return false;
    uint64_t copies = reader->copies.used;
    release(allocator, records);
    records->base = allocate(reader, allocator, records->size + copies);
    if (!records->base) return false;
    reader->copies = (es_region){records->base + records->size, copies, 0};
    records->size += copies;
    return read_pass(reader);
}

static bool read_everything(es_reader *reader, const es_allocator *allocator)
{
    if (!es_read_sections(reader)) return false;
    reader->blob_count = count_of(reader, ES_SECTION_BLOBS);
    take_scratch(reader);
    reader->scratch.size = reader->scratch.used;
    reader->scratch.base = allocate(reader, allocator, reader->scratch.size);
    if (!reader->scratch.base) return false;
    take_scratch(reader);
    return es_read_blobs(reader) && read_passes(reader, allocator);
}

es_status es_read_model(es_reader *reader, const es_model_options *options, es_model **model)
{
    const es_allocator *allocator = options && options->allocator ? options->allocator : &es_default_allocator;
    if (!allocator->allocate && !allocator->release) allocator = &es_default_allocator;
    if (!allocator->allocate || !allocator->release) return ES_ARGUMENT_NULL;
    reader->status = ES_OK;
    bool fits = read_everything(reader, allocator);
    release(allocator, &reader->scratch);
    if (!fits) {
        release(allocator, &reader->records);
    } else {
        *model = reader->model;
        (*model)->allocator = *allocator;
        (*model)->memory = reader->records.base;
        (*model)->memory_bytes = (size_t)reader->records.size;
    }
    if (options && options->log) {
        char line[96];
        if (fits) es_words(line, sizeof line, "model of %u tensors and %u matrices: %llu bytes besides its weights",
                           (unsigned)(*model)->tensor_count, (unsigned)(*model)->matrix_count,
                           (unsigned long long)reader->records.size);
        else es_words(line, sizeof line, "model refused: %s", es_status_name(reader->status));
        options->log(options->log_context, line);
    }
    return fits ? ES_OK : reader->status;
}

es_status es_check_rewritten(es_model *model, es_error *error)
{
    es_reader reader = {.model = model, .error = error};
    reader.sections[ES_SECTION_TENSORS].count = model->tensor_count;
    for (uint32_t number = 0; number < model->plan_count; number++) {
        reader.sections[ES_SECTION_STEPS].count += model->plans[number].step_count;
        reader.sections[ES_SECTION_PORTS].count += model->plans[number].input_count + model->plans[number].output_count;
    }
    take_scratch(&reader);
    reader.scratch.size = reader.scratch.used;
    reader.scratch.base = allocate(&reader, &model->allocator, reader.scratch.size);
    if (!reader.scratch.base) return reader.status;
    take_scratch(&reader);
    bool fits = es_check_plans(&reader);
    release(&model->allocator, &reader.scratch);
    return fits ? ES_OK : reader.status;
}
