/* Exports: memory, loading a file, what a model is. */
#include "page.h"

void *ES_EXPORT(allocate)(size_t size) { return malloc(size ? size : 1); }
void ES_EXPORT(release)(void *memory) { free(memory); }

es_page *ES_EXPORT(page_create)(void) { return calloc(1, sizeof(es_page)); }

es_status es_page_status(es_page *page, es_status status)
{
    if (!status || page->error.message[0]) return status;
    const char *words = page->text ? es_text_error(page->text) : page->session ? es_session_error(page->session) : "";
    strncpy(page->error.message, words, sizeof page->error.message - 1);
    return status;
}

/* Words of the last failure, until they are cleared. */
const char *ES_EXPORT(page_error)(const es_page *page) { return page->error.message; }
void ES_EXPORT(clear_error)(es_page *page) { page->error.message[0] = 0; }

const char *ES_EXPORT(status_name)(es_status status) { return es_status_name(status); }
const char *ES_EXPORT(status_hint)(es_status status) { return es_status_hint(status); }
const char *ES_EXPORT(version)(void) { return es_version(); }

/* What a file needs, from its first bytes: then ask for the three numbers. */
es_status ES_EXPORT(page_expect)(es_page *page, const void *head, size_t length)
{
    return es_model_expect(head, length, &page->expectation, &page->error);
}
double ES_EXPORT(expected_file_bytes)(const es_page *page) { return (double)page->expectation.file_bytes; }
double ES_EXPORT(expected_head_bytes)(const es_page *page) { return (double)page->expectation.head_bytes; }
double ES_EXPORT(expected_session_bytes)(const es_page *page) { return (double)page->expectation.session_bytes; }

/* The bytes stay where they are and must not change. */
es_status ES_EXPORT(page_open)(es_page *page, const void *data, size_t length)
{
    es_status status = es_model_open_memory(data, length, NULL, &page->model, &page->error);
    return es_page_status(page, status);
}

static void stop(es_page *page)
{
    if (page->text) es_text_close(page->text);
    else es_session_close(page->session);
    page->text = NULL;
    page->session = NULL;
}

/* plan NULL: the first. */
es_status ES_EXPORT(page_start)(es_page *page, const char *plan)
{
    stop(page);
    return es_page_status(page, es_session_create(page->model, plan, NULL, &page->session, &page->error));
}

/* cache 0 and context 0: the defaults. */
es_status ES_EXPORT(page_start_text)(es_page *page, uint32_t attention, uint32_t cache, float theta, float window,
                                     uint32_t sinks, uint32_t context)
{
    stop(page);
    es_text_options options = es_text_options_default();
    options.attention = (es_attention)attention;
    options.cache = (es_dtype)cache;
    options.theta = theta;
    options.window = window;
    options.sinks = sinks;
    options.context = context;
    es_status status = es_text_create(page->model, &options, &page->text, &page->error);
    if (!status) page->session = es_text_session(page->text);
    return es_page_status(page, status);
}

double ES_EXPORT(page_session_bytes)(const es_page *page, const char *plan)
{
    return (double)es_model_session_bytes(page->model, plan, NULL);
}

const char *ES_EXPORT(plan_name)(const es_page *page, uint32_t plan) { return es_model_plan_name(page->model, plan); }
const char *ES_EXPORT(label)(const es_page *page, uint32_t label) { return es_model_label(page->model, label); }

/* Whether the file says how a picture becomes an input: then even the smallest picture needs scratch memory. */
int ES_EXPORT(has_image)(const es_page *page)
{
    static const uint8_t pixel[4];
    es_image image = {.pixels = pixel, .width = 1, .height = 1, .channels = 4};
    return es_image_scratch_bytes(page->model, &image) != 0;
}
