/* Names and hints of statuses, and the release. */
#include "edge_sparse.h"

const char *es_status_name(es_status status)
{
    static const char *const names[ES_STATUS_COUNT] = {
#define ES_STATUS_NAME(name, hint) #name,
        ES_STATUSES(ES_STATUS_NAME)
#undef ES_STATUS_NAME
    };
    return (unsigned)status < ES_STATUS_COUNT ? names[status] : "UNKNOWN";
}

const char *es_status_hint(es_status status)
{
    static const char *const hints[ES_STATUS_COUNT] = {
#define ES_STATUS_HINT(name, hint) hint,
        ES_STATUSES(ES_STATUS_HINT)
#undef ES_STATUS_HINT
    };
    return (unsigned)status < ES_STATUS_COUNT ? hints[status] : ES_UPDATE;
}

const char *es_version(void) { return ES_VERSION; }
