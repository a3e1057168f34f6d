/* Memory for JavaScript, and what statuses mean. */
#include <stdlib.h>

#include "exports.h"

/* Aligned to 64 bytes as files are; 0 when there is none. */
void *ES_EXPORT(allocate)(size_t size) { return aligned_alloc(64, (size + 63) / 64 * 64); }
void ES_EXPORT(release)(void *memory) { free(memory); }

size_t ES_EXPORT(reply_bytes)(void) { return sizeof(web_reply); }
const char *ES_EXPORT(status_name)(es_status status) { return es_status_name(status); }
const char *ES_EXPORT(status_hint)(es_status status) { return es_status_hint(status); }
