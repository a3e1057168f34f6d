/* Opening and closing models, and what callers may ask of them. */
#include "reader.h"

static es_status open_reader(es_reader *reader, const es_model_options *options, es_model **model, es_error *error)
{
    reader->error = error;
    reader->crc32 = es_choose_crc32();
    return es_read_model(reader, options, model);
}

static es_status begin(es_model **model, es_error *error)
{
    if (error) error->message[0] = 0;
    if (!model) return ES_ARGUMENT_NULL;
    *model = NULL;
    return ES_OK;
}

/* The part of a path after its last separator. */
static const char *base_name(const char *path)
{
    const char *name = path;
    for (; *path; path++)
        if (*path == '/' || *path == '\\') name = path + 1;
    return name;
}

static es_status open_map(es_map *map, const char *name, const es_model_options *options, es_model **model,
                          es_error *error)
{
    es_reader reader = {.data = map->data, .length = map->length, .name = name};
    es_status status = open_reader(&reader, options, model, error);
    if (status) es_unmap(map);
    else (*model)->map = *map;
    return status;
}

static es_status refuse_path(es_status status, const char *path, es_error *error)
{
    es_reader reader = {.error = error};
    es_refuse(&reader, status, "%s %s", status == ES_FILE_NOT_FOUND ? "there is no file" : "cannot read", path);
    return status;
}

es_status es_model_open(const char *path, const es_model_options *options, es_model **model, es_error *error)
{
    es_status status = begin(model, error);
    if (status) return status;
    if (!path) return ES_ARGUMENT_NULL;
    es_map map;
    status = es_map_path(path, &map);
    return status ? refuse_path(status, path, error) : open_map(&map, base_name(path), options, model, error);
}

es_status es_model_open_fd(int fd, uint64_t offset, uint64_t length, const es_model_options *options, es_model **model,
                           es_error *error)
{
    es_status status = begin(model, error);
    if (status) return status;
    es_map map;
    status = es_map_fd(fd, offset, length, &map);
    return status ? refuse_path(status, "the file descriptor", error) : open_map(&map, NULL, options, model, error);
}

es_status es_model_open_memory(const void *data, size_t length, const es_model_options *options, es_model **model,
                               es_error *error)
{
    es_status status = begin(model, error);
    if (status) return status;
    if (!data) return ES_ARGUMENT_NULL;
    es_reader reader = {.data = data, .length = length};
    return open_reader(&reader, options, model, error);
}

es_status es_model_open_detached(const void *head, size_t head_length, const void *const *blobs, size_t blob_count,
                                 const es_model_options *options, es_model **model, es_error *error)
{
    static const void *const none[1];
    es_status status = begin(model, error);
    if (status) return status;
    if (!head || (!blobs && blob_count)) return ES_ARGUMENT_NULL;
    es_reader reader = {.data = head, .length = head_length, .detached = blobs ? blobs : none};
    reader.detached_count = blob_count;
    return open_reader(&reader, options, model, error);
}

void es_model_close(es_model *model)
{
    if (!model) return;
    es_map map = model->map;
    /* The model lies in its own block. */
    es_allocator allocator = model->allocator;
    allocator.release(allocator.context, model->memory, model->memory_bytes);
    es_unmap(&map);
}

const char *es_model_plan_name(const es_model *model, uint32_t plan)
{
    return model && plan < model->plan_count ? model->plans[plan].name : NULL;
}

const char *es_model_label(const es_model *model, uint32_t label)
{
    return model && label < model->label_count ? model->labels[label] : NULL;
}

const es_plan *es_model_find_plan(const es_model *model, const char *name)
{
    if (!name || !*name) return model->plans;
    for (uint32_t plan = 0; plan < model->plan_count; plan++)
        if (!strcmp(model->plans[plan].name, name)) return &model->plans[plan];
    return NULL;
}
