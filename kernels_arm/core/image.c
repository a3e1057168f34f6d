/* From a picture to the first input of a model: Pillow's bilinear filter in fixed point, crop, normalisation. */
#include <math.h>
#include <string.h>

#include "kernel.h"
#include "model.h"

/* Larger pictures are refused, before and after resizing. */
#define MOST_PIXELS UINT64_C(100000000)
enum { FRACTION = 22 }; /* bits of a weight behind the point */
enum { ALIGNMENT = 64 }; /* of the arrays in the scratch */

/* One axis: the length of the picture, of the whole resized picture, and the part of it that is wanted. */
typedef struct es_axis {
    uint32_t from, to, first, count;
    uint32_t taps; /* most source pixels for one target pixel */
} es_axis;

typedef struct es_picture {
    const es_image *image;
    const es_image_record *record;
    bool nhwc;
    uint64_t row_bytes;
    es_axis x, y;
    uint32_t channels; /* while resizing: 1 unless colours go in and out */
    uint32_t step;     /* bytes per pixel of what is resized: an alpha channel is passed over */
    bool mix;          /* colours become grey first */
    bool columns_first;
    /* Scratch. */
    int32_t *weights_x, *weights_y, *sums;
    uint32_t *first_x, *count_x;
    uint8_t *grey, *line; /* a row in grey, a row of the input */
    uint8_t *rows;        /* of the picture, resized: the last that one row of the input needs, in a ring */
    uint8_t *middle;      /* columns_first: a row as wide as the picture */
    size_t bytes;
} es_picture;

static es_axis make_axis(uint32_t from, uint64_t to, uint32_t wanted)
{
    uint64_t over = to - wanted, half = over / 2;
    uint64_t first = half + (over & half & 1); /* halves to even */
    double scale = (double)from / (double)to;
    double taps = ceil(scale > 1.0 ? scale : 1.0) * 2.0 + 1.0;
    return (es_axis){from, (uint32_t)to, (uint32_t)first, wanted, (uint32_t)taps};
}

/* Weights of the source pixels that a target pixel covers: a triangle, as wide as the picture shrinks. */
static uint32_t weigh(const es_axis *axis, uint32_t target, int32_t *weights, uint32_t *first)
{
    double scale = (double)axis->from / (double)axis->to, width = scale > 1.0 ? scale : 1.0, slope = 1.0 / width;
    double centre = ((double)target + 0.5) * scale, sum = 0.0;
    double low = centre - width + 0.5, high = centre + width + 0.5;
    uint32_t begin = low > 0.0 ? (uint32_t)low : 0;
    uint32_t end = high < (double)axis->from ? (uint32_t)high : axis->from;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t place = begin; place < end; place++) {
            double distance = fabs(((double)place - centre + 0.5) * slope);
            double weight = distance < 1.0 ? 1.0 - distance : 0.0;
            if (pass == 0) sum += weight;
            else weights[place - begin] = (int32_t)(weight / sum * (1 << FRACTION) + 0.5);
        }
    }
    *first = begin;
    return end - begin;
}

static uint8_t rounded(int32_t sum)
{
    int32_t value = sum >> FRACTION;
    return (uint8_t)(value > 255 ? 255 : value);
}

static bool reserve(size_t *end, uint64_t count, size_t size, size_t *place)
{
    *place = *end;
    if (count > SIZE_MAX / 4 / size || *end > SIZE_MAX / 4) return false;
    *end = es_round_up(*end + (size_t)count * size, ALIGNMENT);
    return true;
}

/* Lay out the scratch; base NULL: only bytes are wanted. */
static bool lay_out(es_picture *picture, uint8_t *base)
{
    size_t end = 0, places[9];
    uint64_t row = (uint64_t)picture->x.count * picture->channels;
    uint64_t wide = picture->columns_first ? (uint64_t)picture->image->width * picture->step : 0;
    bool fits = reserve(&end, (uint64_t)picture->x.count * picture->x.taps, 4, &places[0]) &&
                reserve(&end, picture->y.taps, 4, &places[1]) && reserve(&end, row > wide ? row : wide, 4, &places[2]) &&
                reserve(&end, picture->x.count, 4, &places[3]) && reserve(&end, picture->x.count, 4, &places[4]) &&
                reserve(&end, picture->mix ? picture->image->width : 0, 1, &places[5]) &&
                reserve(&end, picture->columns_first ? 0 : row * picture->y.taps, 1, &places[6]) &&
                reserve(&end, row, 1, &places[7]) && reserve(&end, wide, 1, &places[8]);
    picture->bytes = end;
    if (!fits || !base) return fits;
    picture->weights_x = (int32_t *)(void *)(base + places[0]);
    picture->weights_y = (int32_t *)(void *)(base + places[1]);
    picture->sums = (int32_t *)(void *)(base + places[2]);
    picture->first_x = (uint32_t *)(void *)(base + places[3]);
    picture->count_x = (uint32_t *)(void *)(base + places[4]);
    picture->grey = base + places[5];
    picture->rows = base + places[6];
    picture->line = base + places[7];
    picture->middle = base + places[8];
    return true;
}

static es_status describe(const es_model *model, const es_image *image, es_picture *picture)
{
    if (!model || !image || !image->pixels) return ES_ARGUMENT_NULL;
    const es_image_record *record = model->image;
    if (!record) return ES_IMAGE_RECORD_MISSING;
    bool known = image->channels == 1 || image->channels == 3 || image->channels == 4;
    if (!known || !image->width || !image->height) return ES_IMAGE_TYPE;
    if ((uint64_t)image->width * image->height > MOST_PIXELS) return ES_IMAGE_TOO_LARGE;
    uint64_t row_bytes = (uint64_t)image->width * image->channels;
    if (image->row_bytes && image->row_bytes < row_bytes) return ES_ARGUMENT_RANGE;
    uint64_t width = record->width, height = record->height;
    if (record->resize) {
        uint32_t shorter = image->width < image->height ? image->width : image->height;
        width = (uint64_t)record->resize * image->width / shorter;
        height = (uint64_t)record->resize * image->height / shorter;
        if (width > MOST_PIXELS || height > MOST_PIXELS || width * height > MOST_PIXELS) return ES_IMAGE_TOO_LARGE;
    }
    const es_tensor *input = &model->tensors[model->plans[0].inputs[0]];
    memset(picture, 0, sizeof *picture);
    picture->image = image;
    picture->record = record;
    picture->nhwc = input->layout == ES_NHWC;
    picture->row_bytes = image->row_bytes ? image->row_bytes : row_bytes;
    picture->x = make_axis(image->width, width, record->width);
    picture->y = make_axis(image->height, height, record->height);
    picture->mix = image->channels > 1 && record->channels == 1;
    picture->channels = image->channels > 1 && record->channels == 3 ? 3 : 1;
    picture->step = picture->mix ? 1 : image->channels;
    /* Each pass rounds to 8 bits, so their order shows. Pillow 13 was seen to begin with the columns where they shrink by
     * more than twice as many pixels as the rows; release 12 and before always begin with the rows. */
    picture->columns_first = image->height > height &&
                             (int64_t)(image->height - height) > 2 * ((int64_t)image->width - (int64_t)width);
    return lay_out(picture, NULL) ? ES_OK : ES_IMAGE_TOO_LARGE;
}

/* A row of the picture; in grey by the luma of ITU-R BT.601 with 16 bits behind the point. */
static const uint8_t *source_row(const es_picture *picture, uint32_t number)
{
    const uint8_t *row = picture->image->pixels + (size_t)(number * picture->row_bytes);
    if (!picture->mix) return row;
    for (uint32_t x = 0; x < picture->image->width; x++) {
        const uint8_t *pixel = row + (size_t)x * picture->image->channels;
        uint32_t sum = pixel[0] * 19595u + pixel[1] * 38470u + pixel[2] * 7471u + 0x8000u;
        picture->grey[x] = (uint8_t)(sum >> 16);
    }
    return picture->grey;
}

static void resize_row(const es_picture *picture, const uint8_t *row, uint8_t *resized)
{
    uint32_t step = picture->step, channels = picture->channels;
    for (uint32_t x = 0; x < picture->x.count; x++) {
        const int32_t *weights = picture->weights_x + (size_t)x * picture->x.taps;
        const uint8_t *pixels = row + (size_t)picture->first_x[x] * step;
        for (uint32_t channel = 0; channel < channels; channel++) {
            int32_t sum = 1 << (FRACTION - 1);
            for (uint32_t tap = 0; tap < picture->count_x[x]; tap++)
                sum += pixels[(size_t)tap * step + channel] * weights[tap];
            resized[(size_t)x * channels + channel] = rounded(sum);
        }
    }
}

static void begin_sums(const es_picture *picture, size_t length)
{
    for (size_t at = 0; at < length; at++) picture->sums[at] = 1 << (FRACTION - 1);
}

static void add_row(const es_picture *picture, const uint8_t *row, size_t length, int32_t weight)
{
    for (size_t at = 0; at < length; at++) picture->sums[at] += row[at] * weight;
}

static void round_sums(const es_picture *picture, size_t length, uint8_t *row)
{
    for (size_t at = 0; at < length; at++) row[at] = rounded(picture->sums[at]);
}

/* Row y of the input, to picture->line. *next: the row of the picture that was not resized yet. */
static void make_line(const es_picture *picture, uint32_t y, uint32_t *next)
{
    uint32_t first, count = weigh(&picture->y, picture->y.first + y, picture->weights_y, &first);
    size_t length = (size_t)picture->x.count * picture->channels;
    if (picture->columns_first) {
        size_t wide = (size_t)picture->image->width * picture->step;
        begin_sums(picture, wide);
        for (uint32_t tap = 0; tap < count; tap++)
            add_row(picture, source_row(picture, first + tap), wide, picture->weights_y[tap]);
        round_sums(picture, wide, picture->middle);
        resize_row(picture, picture->middle, picture->line);
        return;
    }
    if (*next < first) *next = first;
    for (; *next < first + count; (*next)++)
        resize_row(picture, source_row(picture, *next), picture->rows + *next % picture->y.taps * length);
    begin_sums(picture, length);
    for (uint32_t tap = 0; tap < count; tap++)
        add_row(picture, picture->rows + (first + tap) % picture->y.taps * length, length, picture->weights_y[tap]);
    round_sums(picture, length, picture->line);
}

/* (pixel / 255 - mean) / std, in the order of the input. */
static void write_line(const es_picture *picture, uint32_t y, float *input)
{
    const es_image_record *record = picture->record;
    size_t width = record->width, plane = width * record->height;
    for (uint32_t channel = 0; channel < record->channels; channel++) {
        uint32_t colour = record->bgr && record->channels == 3 ? 2 - channel : channel;
        uint32_t source = picture->channels == 1 ? 0 : colour;
        float *target = picture->nhwc ? input + y * width * record->channels + channel : input + channel * plane + y * width;
        size_t step = picture->nhwc ? record->channels : 1;
        for (size_t x = 0; x < width; x++) {
            float pixel = (float)picture->line[x * picture->channels + source];
            target[x * step] = (pixel / 255.0f - record->mean[channel]) / record->std[channel];
        }
    }
}

size_t es_image_scratch_bytes(const es_model *model, const es_image *image)
{
    es_picture picture;
    return describe(model, image, &picture) ? 0 : picture.bytes + ALIGNMENT; /* scratch may begin anywhere */
}

es_status es_image_preprocess(const es_model *model, const es_image *image, void *scratch, size_t scratch_bytes,
                              float *input, size_t input_bytes)
{
    es_picture picture;
    es_status status = describe(model, image, &picture);
    if (status) return status;
    if (!scratch || !input) return ES_ARGUMENT_NULL;
    const es_image_record *record = picture.record;
    uint64_t elements = (uint64_t)record->channels * record->height * record->width;
    if (input_bytes != elements * sizeof *input) return ES_INPUT_SHAPE;
    if ((uintptr_t)input % sizeof *input) return ES_INPUT_ALIGNMENT;
    if (scratch_bytes < picture.bytes + ALIGNMENT) return ES_ARGUMENT_RANGE;
    lay_out(&picture, (uint8_t *)scratch + (ALIGNMENT - (uintptr_t)scratch % ALIGNMENT) % ALIGNMENT);
    for (uint32_t x = 0; x < picture.x.count; x++)
        picture.count_x[x] = weigh(&picture.x, picture.x.first + x, picture.weights_x + (size_t)x * picture.x.taps,
                                   &picture.first_x[x]);
    uint32_t next = 0;
    for (uint32_t y = 0; y < picture.y.count; y++) {
        make_line(&picture, y, &next);
        write_line(&picture, y, input);
    }
    return ES_OK;
}
