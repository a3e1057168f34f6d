/* Results of earlier steps, and whether they cover what a step reads; see edge_sparse/format/written.py. */
#include "written.h"

/* Results that are looked at before the parts are put in order for the first time; then four times as many. */
enum { FIRST_LOOK = 32 };

typedef struct written_result {
    const es_tensor *tensor;
    es_footprint footprint;
} written_result;

/* What a result holds of the tensor that is read: channels of an image, bytes of other tensors. */
typedef struct written_part {
    int64_t first, end;
} written_part;

struct es_written {
    uint32_t count, part_count;
    written_result *results;
    written_part *parts;
    uint32_t *order, *spare;
};

static uint64_t rounded(uint64_t bytes) { return (bytes + 15) / 16 * 16; }

uint64_t es_written_bytes(uint32_t steps)
{
    return rounded(sizeof(es_written)) + rounded((uint64_t)steps * sizeof(written_result)) +
           (uint64_t)steps * sizeof(written_part);
}

void es_written_clear(es_written *written, es_reader *reader)
{
    uint8_t *memory = (uint8_t *)written + rounded(sizeof(es_written));
    uint64_t steps = reader->sections[ES_SECTION_STEPS].count;
    written->count = 0;
    written->results = (written_result *)(void *)memory;
    written->parts = (written_part *)(void *)(memory + rounded(steps * sizeof(written_result)));
    written->order = reader->order;
    written->spare = reader->spare;
}

void es_written_add(es_written *written, const es_tensor *tensor)
{
    written_result *result = &written->results[written->count++];
    result->tensor = tensor;
    result->footprint = es_footprint_of(tensor);
}

static uint64_t distance(const es_tensor *a, const es_tensor *b)
{
    return a->offset > b->offset ? a->offset - b->offset : b->offset - a->offset;
}

/* Whether overlapping tensors can be slices of one: of one kind, and their channels aligned. */
static bool together(const es_tensor *result, const es_tensor *tensor)
{
    if (result->layout != tensor->layout || result->dtype != tensor->dtype) return false;
    if (tensor->layout == ES_ROW_MAJOR) return true;
    if (memcmp(result->strides, tensor->strides, sizeof tensor->strides) ||
        memcmp(&result->border, &tensor->border, sizeof tensor->border) || result->shape[0] != tensor->shape[0] ||
        result->shape[2] != tensor->shape[2] || result->shape[3] != tensor->shape[3])
        return false;
    uint64_t size = es_dtype_bytes(tensor->dtype), apart = distance(result, tensor);
    return tensor->layout == ES_NHWC ? apart < tensor->strides[3] * size : apart % (tensor->strides[1] * size) == 0;
}

static written_part part_of(const es_tensor *result, const es_tensor *tensor)
{
    int64_t size = (int64_t)es_dtype_bytes(tensor->dtype), first = (int64_t)result->offset, length;
    if (tensor->layout != ES_ROW_MAJOR) {
        first = (first - (int64_t)tensor->offset) / ((int64_t)tensor->strides[1] * size);
        length = (int64_t)result->shape[1];
    } else {
        length = 1;
        for (uint32_t axis = 0; axis < result->rank; axis++)
            length += (int64_t)((result->shape[axis] - 1) * result->strides[axis]);
        length *= size;
    }
    return (written_part){first, first + length};
}

static int compare_firsts(const void *context, uint32_t a, uint32_t b)
{
    const written_part *parts = context;
    return parts[a].first < parts[b].first ? -1 : parts[a].first > parts[b].first;
}

/* Whether the parts, joined where they touch, hold all of another. */
static bool cover(const es_written *written, const written_part *whole)
{
    int64_t reached = whole->first;
    es_sort(written->order, written->spare, written->part_count, compare_firsts, written->parts);
    for (uint32_t place = 0; place < written->part_count && reached < whole->end; place++) {
        const written_part *part = &written->parts[written->order[place]];
        if (part->first > reached) break;
        if (part->end > reached) reached = part->end;
    }
    return reached >= whole->end;
}

es_status es_written_problem(es_written *written, const es_tensor *tensor)
{
    es_footprint touched = es_footprint_of(tensor);
    written_part whole = part_of(tensor, tensor);
    uint32_t look = FIRST_LOOK;
    written->part_count = 0;
    for (uint32_t left = written->count; left-- > 0;) {
        const written_result *result = &written->results[left];
        if (es_apart(&result->footprint, &touched)) continue;
        if (!together(result->tensor, tensor)) return cover(written, &whole) ? ES_OK : ES_STEP_OVERWRITTEN;
        written_part part = part_of(result->tensor, tensor);
        if (part.first <= whole.first && part.end >= whole.end) return ES_OK;
        written->parts[written->part_count++] = part;
        if (written->part_count == look) {
            if (cover(written, &whole)) return ES_OK;
            look *= 4;
        }
    }
    return cover(written, &whole) ? ES_OK : ES_STEP_UNWRITTEN;
}
