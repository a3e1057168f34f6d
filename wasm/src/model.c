/* Files and models: what is expected, opening, what a model says of itself, pictures. */
#include "exports.h"

es_status ES_EXPORT(model_expect)(const void *head, size_t length, web_reply *reply)
{
    es_expectation expectation;
    es_status status = es_model_expect(head, length, &expectation, &reply->error);
    reply->numbers[0] = (double)expectation.file_bytes;
    reply->numbers[1] = (double)expectation.head_bytes;
    reply->numbers[2] = (double)expectation.session_bytes;
    return status;
}

es_status ES_EXPORT(model_open)(web_memory *memory, const void *data, size_t length, web_reply *reply)
{
    es_model *model;
    es_status status = es_model_open_memory(data, length, web_options_of(memory), &model, &reply->error);
    reply->numbers[0] = web_address(model);
    return status;
}

const char *ES_EXPORT(model_plan_name)(const es_model *model, uint32_t plan) { return es_model_plan_name(model, plan); }
const char *ES_EXPORT(model_label)(const es_model *model, uint32_t label) { return es_model_label(model, label); }

static es_image rgba(const uint8_t *pixels, uint32_t width, uint32_t height)
{
    return (es_image){pixels, width, height, 4, 0};
}

size_t ES_EXPORT(image_scratch_bytes)(const es_model *model, const uint8_t *pixels, uint32_t width, uint32_t height)
{
    es_image image = rgba(pixels, width, height);
    return es_image_scratch_bytes(model, &image);
}

es_status ES_EXPORT(image_preprocess)(const es_model *model, const uint8_t *pixels, uint32_t width, uint32_t height,
                                      void *scratch, size_t scratch_bytes, float *input, size_t input_bytes)
{
    es_image image = rgba(pixels, width, height);
    return es_image_preprocess(model, &image, scratch, scratch_bytes, input, input_bytes);
}
