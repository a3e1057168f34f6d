/* Tensor records: every rule that a tensor obeys by itself, and its value if it is a constant. */
#include <inttypes.h>
#include <math.h>

#include "footprint.h"
#include "reader.h"

#define REFUSE(status, ...) \
    es_refuse_record(reader, ES_TENSOR_##status, "tensor", number, tensor->name, __VA_ARGS__)

/* Bytes of all elements, ES_HUGE if they exceed it. */
static uint64_t bytes_of(const es_tensor *tensor)
{
    uint64_t bytes = es_dtype_bytes(tensor->dtype);
    for (uint32_t axis = 0; axis < tensor->rank; axis++) bytes = es_huge_product(bytes, tensor->shape[axis]);
    return bytes;
}

static bool check_numbers(es_reader *reader, uint32_t number, const es_tensor *tensor)
{
    bool empty = false;
    for (uint32_t axis = 0; axis < tensor->rank; axis++) empty |= tensor->shape[axis] == 0;
    if (empty || bytes_of(tensor) > ES_ARENA_LIMIT)
        return REFUSE(SHAPE, "shape %s is empty or exceeds %" PRIu64 " bytes",
                      es_list(tensor->shape, tensor->rank).text, ES_ARENA_LIMIT);
    if (!isfinite(tensor->scale) || tensor->scale <= 0)
        return REFUSE(SCALE, "scale %g is not a positive number", (double)tensor->scale);
    int32_t low = tensor->dtype == ES_S8 ? -128 : 0;
    int32_t high = tensor->dtype == ES_S8 ? 127 : tensor->dtype == ES_U8 ? 255 : 0;
    if (tensor->zero_point < low || tensor->zero_point > high)
        return REFUSE(ZERO_POINT, "zero point %d of type %d", (int)tensor->zero_point, (int)tensor->dtype);
    bool movable = tensor->layout == ES_ROW_MAJOR && tensor->storage != ES_CONSTANT && tensor->rank;
    if (tensor->symbol_axis != -1 && !(movable && tensor->symbol_axis == 0))
        return REFUSE(SYMBOL_AXIS, "axis %d cannot have the symbol's length", (int)tensor->symbol_axis);
    const es_border *border = &tensor->border;
    bool bordered = border->top || border->left || border->bottom || border->right;
    if (bordered && (tensor->layout == ES_ROW_MAJOR || tensor->storage != ES_ARENA))
        return REFUSE(BORDER, "only images in the arena have a border");
    return true;
}

static bool strides_in_range(const es_tensor *tensor)
{
    for (uint32_t axis = 0; axis < tensor->rank; axis++)
        if (!tensor->strides[axis] || tensor->strides[axis] > ES_ARENA_LIMIT) return false;
    return true;
}

/* Outer axes of a row-major tensor step over inner ones. */
static bool rows_fit(const es_tensor *tensor)
{
    uint64_t inner = 1;
    for (uint32_t axis = tensor->rank; axis-- > 0;) {
        if (tensor->shape[axis] == 1) continue;
        if (tensor->strides[axis] < inner) return false;
        inner = es_huge_product(tensor->shape[axis], tensor->strides[axis]);
    }
    return true;
}

/* Rows, pixels and planes of an image do not overlap. */
static bool image_fits(const es_tensor *tensor)
{
    uint64_t batch = tensor->shape[0], channels = tensor->shape[1], width = tensor->shape[3];
    uint64_t image = tensor->strides[0], plane = tensor->strides[1];
    uint64_t line = tensor->strides[2], pixel = tensor->strides[3];
    bool nhwc = tensor->layout == ES_NHWC;
    if ((nhwc ? plane : pixel) != 1 || (nhwc && pixel < channels) || line % pixel) return false;
    es_frame frame = es_frame_of(tensor);
    uint64_t side = tensor->border.left > tensor->border.right ? tensor->border.left : tensor->border.right;
    if (frame.row < width + side) return false;
    uint64_t owned = es_huge_sum(frame.before, frame.owned);
    if (!nhwc && channels > 1 && plane < owned) return false;
    uint64_t pixels = es_huge_sum(es_huge_sum(frame.before, frame.pixels), frame.after);
    uint64_t planes = channels > 1 ? es_huge_product(channels, plane) : owned;
    uint64_t inside = nhwc ? es_huge_product(pixels, pixel) : planes;
    return batch == 1 || image >= inside;
}

/* A tensor in the arena or the state: alignment, strides, extent. */
static bool check_placed(es_reader *reader, uint32_t number, const es_tensor *tensor, uint32_t blob)
{
    bool state = tensor->storage == ES_STATE;
    if (state && tensor->layout != ES_ROW_MAJOR) return REFUSE(LAYOUT, "state tensors are row-major");
    if (tensor->offset % es_dtype_bytes(tensor->dtype))
        return REFUSE(OFFSET, "offset %" PRIu64 " is not a multiple of the element size", tensor->offset);
    if (!strides_in_range(tensor) || !(tensor->layout == ES_ROW_MAJOR ? rows_fit(tensor) : image_fits(tensor)))
        return REFUSE(STRIDES, "strides %s of shape %s let elements or borders overlap",
                      es_list(tensor->strides, tensor->rank).text, es_list(tensor->shape, tensor->rank).text);
    es_footprint touched = es_footprint_of(tensor);
    uint64_t limit = state ? reader->model->state_bytes : ES_ARENA_LIMIT;
    uint64_t first = tensor->extent[0], end = tensor->extent[1];
    if (touched.first < 0 || first > (uint64_t)touched.first || (uint64_t)touched.end[0] > end || end > limit)
        return REFUSE(EXTENT, "it touches bytes %" PRId64 " to %" PRId64 ", its extent is %" PRIu64 " to %" PRIu64
                      " of %" PRIu64, touched.first, touched.end[0], first, end, limit);
    if (blob != ES_NO_BLOB) return REFUSE(BLOB, "only constants have a blob");
    return true;
}

/* Inputs and outputs lie in logical order or, for NHWC, in the order N, H, W, C. */
static bool boundary_strides(const es_tensor *tensor)
{
    static const uint32_t channels_last[4] = {0, 2, 3, 1};
    uint64_t step = 1;
    for (uint32_t place = tensor->rank; place-- > 0;) {
        uint32_t axis = tensor->layout == ES_NHWC ? channels_last[place] : place;
        if (tensor->strides[axis] != step) return false;
        step *= tensor->shape[axis];
    }
    return true;
}

/* The axes of a constant, in some order, lie one inside the other without gaps; axes of length 1 may say anything. */
static bool permuted(const es_tensor *tensor)
{
    uint32_t left = 0;
    for (uint32_t axis = 0; axis < tensor->rank; axis++) left |= (uint32_t)(tensor->shape[axis] > 1) << axis;
    for (uint64_t step = 1; left;) {
        uint32_t axis = 0;
        while (axis < tensor->rank && !(left >> axis & 1 && tensor->strides[axis] == step)) axis++;
        if (axis == tensor->rank) return false;
        step *= tensor->shape[axis];
        left &= ~(1u << axis);
    }
    return strides_in_range(tensor);
}

/* A constant, input or output, which has no gaps, and a constant's value. */
static bool check_dense(es_reader *reader, uint32_t number, es_tensor *tensor, uint32_t blob)
{
    uint64_t size = bytes_of(tensor);
    if (tensor->offset) return REFUSE(OFFSET, "constants, inputs and outputs begin at byte 0");
    if (tensor->extent[0] || tensor->extent[1] != size)
        return REFUSE(EXTENT, "extent %s is not the %" PRIu64 " bytes of its elements",
                      es_list(tensor->extent, 2).text, size);
    if (tensor->storage != ES_CONSTANT) {
        if (!boundary_strides(tensor))
            return REFUSE(STRIDES, "strides %s leave gaps or change the order",
                          es_list(tensor->strides, tensor->rank).text);
        if (blob != ES_NO_BLOB) return REFUSE(BLOB, "only constants have a blob");
        return true;
    }
    if (tensor->layout != ES_ROW_MAJOR) return REFUSE(LAYOUT, "constants are row-major");
    if (!permuted(tensor))
        return REFUSE(STRIDES, "strides %s leave gaps or let elements overlap",
                      es_list(tensor->strides, tensor->rank).text);
    es_bytes bytes;
    if (!es_find_blob(reader, blob, "tensor", number, &bytes)) return false;
    if (bytes.length != size)
        return REFUSE(BLOB, "its blob has %" PRIu64 " bytes instead of %" PRIu64, bytes.length, size);
    /* In memory or in an archive a file may lie at any address. */
    bool aligned = (uintptr_t)bytes.data % es_dtype_bytes(tensor->dtype) == 0;
    tensor->data = aligned ? bytes.data : es_keep(reader, bytes);
    return !reader->status;
}

static bool known_kind(es_reader *reader, uint32_t number, const es_tensor *tensor)
{
    if (tensor->dtype < ES_F32 || tensor->dtype > ES_S32)
        return REFUSE(DTYPE, "element type %d is unknown here", (int)tensor->dtype);
    if (tensor->layout > ES_NHWC || (tensor->layout != ES_ROW_MAJOR && tensor->rank != 4))
        return REFUSE(LAYOUT, "layout %d of a tensor of %u axes", (int)tensor->layout, (unsigned)tensor->rank);
    if (tensor->storage > ES_STATE) return REFUSE(STORAGE, "storage %d is unknown", (int)tensor->storage);
    if (tensor->rank > ES_MAX_RANK) return REFUSE(RANK, "%u axes are more than 6", (unsigned)tensor->rank);
    for (uint32_t axis = tensor->rank; axis < ES_MAX_RANK; axis++)
        if (tensor->shape[axis] || tensor->strides[axis]) return REFUSE(SHAPE, "axes beyond the rank are not zero");
    return true;
}

static bool read_tensor(es_reader *reader, uint32_t number, es_tensor *tensor)
{
    uint8_t record[ES_LARGEST_RECORD];
    es_load_record(reader, ES_SECTION_TENSORS, number, record);
    if (!es_find_string(reader, record + ES_AT_TENSOR_NAME, &tensor->name)) return false;
    tensor->dtype = (es_dtype)record[ES_AT_TENSOR_DTYPE];
    tensor->layout = (es_layout)record[ES_AT_TENSOR_LAYOUT];
    tensor->storage = (es_storage)record[ES_AT_TENSOR_STORAGE];
    tensor->rank = record[ES_AT_TENSOR_RANK];
    tensor->symbol_axis = es_load_i32(record + ES_AT_TENSOR_SYMBOL_AXIS);
    tensor->offset = es_load_u64(record + ES_AT_TENSOR_OFFSET);
    memcpy(tensor->shape, record + ES_AT_TENSOR_SHAPE, sizeof tensor->shape);
    memcpy(tensor->strides, record + ES_AT_TENSOR_STRIDES, sizeof tensor->strides);
    memcpy(&tensor->border, record + ES_AT_TENSOR_BORDER, sizeof tensor->border);
    memcpy(tensor->extent, record + ES_AT_TENSOR_EXTENT, sizeof tensor->extent);
    tensor->scale = es_load_f32(record + ES_AT_TENSOR_SCALE);
    tensor->zero_point = es_load_i32(record + ES_AT_TENSOR_ZERO_POINT);
    tensor->data = NULL;
    uint32_t blob = es_load_u32(record + ES_AT_TENSOR_BLOB);
    if (!known_kind(reader, number, tensor) || !check_numbers(reader, number, tensor)) return false;
    bool placed = tensor->storage == ES_ARENA || tensor->storage == ES_STATE;
    return placed ? check_placed(reader, number, tensor, blob) : check_dense(reader, number, tensor, blob);
}

bool es_read_tensors(es_reader *reader)
{
    es_tensor *tensors = (es_tensor *)reader->model->tensors;
    if (!es_check_reserved(reader, ES_SECTION_TENSORS, 164, 4)) return false;
    for (uint32_t number = 0; number < reader->model->tensor_count; number++)
        if (!read_tensor(reader, number, &tensors[number])) return false;
    return true;
}
