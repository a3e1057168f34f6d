/* What a file says about its model's meaning: labels and image preprocessing. */
#include <math.h>

#include "reader.h"

enum { SIDE_LIMIT = 1 << 16 };

bool es_read_labels(es_reader *reader)
{
    const char **labels = (const char **)reader->model->labels;
    for (uint32_t number = 0; number < reader->model->label_count; number++) {
        uint8_t record[ES_LARGEST_RECORD];
        es_load_record(reader, ES_SECTION_LABELS, number, record);
        if (!es_find_string(reader, record, &labels[number])) return false;
    }
    return true;
}

/* Finite numbers, and zeros beyond the channels. */
static bool channel_numbers(const uint8_t *record, uint32_t channels, bool positive, float numbers[3])
{
    for (uint32_t channel = 0; channel < 4; channel++) {
        float number = es_load_f32(record + 4 * channel);
        if (!isfinite(number)) return false;
        if (channel >= channels && number != 0) return false;
        if (channel < channels && positive && !(number > 0)) return false;
        if (channel < channels) numbers[channel] = number;
    }
    return true;
}

bool es_read_image(es_reader *reader)
{
    es_image_record *image = (es_image_record *)reader->model->image;
    uint8_t record[ES_LARGEST_RECORD];
    if (!image) return true;
    if (!es_check_reserved(reader, ES_SECTION_IMAGE, 52, 12)) return false;
    es_load_record(reader, ES_SECTION_IMAGE, 0, record);
    uint32_t height = es_load_u32(record + ES_AT_IMAGE_HEIGHT), width = es_load_u32(record + ES_AT_IMAGE_WIDTH);
    uint32_t channels = es_load_u32(record + ES_AT_IMAGE_CHANNELS), resize = es_load_u32(record + ES_AT_IMAGE_RESIZE);
    uint32_t bgr = es_load_u32(record + ES_AT_IMAGE_BGR), longer = height > width ? height : width;
    *image = (es_image_record){.height = height, .width = width, .channels = channels, .resize = resize};
    image->bgr = bgr != 0;
    bool fits = (channels == 1 || channels == 3) && height && width && longer <= SIDE_LIMIT &&
                (!resize || (resize >= longer && resize <= SIDE_LIMIT)) && bgr <= (channels == 3) &&
                channel_numbers(record + ES_AT_IMAGE_MEAN, channels, false, image->mean) &&
                channel_numbers(record + ES_AT_IMAGE_STD, channels, true, image->std);
    if (!fits)
        return es_refuse(reader, ES_IMAGE_VALUES, "image preprocessing %u x %u x %u is out of range",
                         (unsigned)channels, (unsigned)height, (unsigned)width);
    const es_plan *plan = &reader->model->plans[0];
    const es_tensor *input = plan->input_count ? &reader->model->tensors[plan->inputs[0]] : NULL;
    if (!input || input->rank != 4 || input->shape[1] != channels || input->shape[2] != height ||
        input->shape[3] != width)
        return es_refuse(reader, ES_IMAGE_SHAPE, "images of %u x %u x %u do not fit an input of shape %s",
                         (unsigned)channels, (unsigned)height, (unsigned)width,
                         input ? es_list(input->shape, input->rank).text : "()");
    return true;
}
