/* Memory for JavaScript, with a limit, and what statuses mean. */
#include <stdlib.h>

#include "exports.h"

/* Where models and sessions get their memory: as much as the page allows, not as much as there is. */
struct web_memory {
    es_allocator allocator;
    es_model_options options;
    size_t used, limit;
};

static void *take(void *context, size_t size)
{
    web_memory *memory = context;
    if (size > memory->limit - memory->used) return NULL;
    void *block = calloc(1, size);
    if (block) memory->used += size;
    return block;
}

static void give_back(void *context, void *block, size_t size)
{
    web_memory *memory = context;
    if (block) memory->used -= size;
    free(block);
}

web_memory *ES_EXPORT(memory_create)(size_t limit)
{
    web_memory *memory = calloc(1, sizeof *memory);
    if (!memory) return NULL;
    memory->limit = limit;
    memory->allocator = (es_allocator){take, give_back, memory};
    memory->options.allocator = &memory->allocator;
    return memory;
}

const es_model_options *web_options_of(const web_memory *memory) { return &memory->options; }

/* As files, aligned to 64 bytes (heap.c); 0 when there is none. It counts, and stays. */
void *ES_EXPORT(memory_take)(web_memory *memory, size_t size) { return take(memory, size ? size : 1); }

double ES_EXPORT(memory_used)(const web_memory *memory) { return (double)memory->used; }

/* For arguments and results, beyond the limit. */
void *ES_EXPORT(allocate)(size_t size) { return malloc(size ? size : 1); }
void ES_EXPORT(release)(void *memory) { free(memory); }

size_t ES_EXPORT(reply_bytes)(void) { return sizeof(web_reply); }
const char *ES_EXPORT(status_name)(es_status status) { return es_status_name(status); }
const char *ES_EXPORT(status_hint)(es_status status) { return es_status_hint(status); }
