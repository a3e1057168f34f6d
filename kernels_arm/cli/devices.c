/* edge-sparse devices: what this machine offers. */
#if !defined(_WIN32)
#define _DEFAULT_SOURCE
#include <unistd.h>
#endif

#include "command.h"

static int devices(int count, char **arguments);

const es_cli_command es_cli_devices = {
    "devices", "show the processor's kernels and cores",
    "usage: edge-sparse devices [--json]\n\nShows which kernels this processor can run.\n", devices};

static int devices(int count, char **arguments)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } variants[] = {{ES_VARIANT_SCALAR, "scalar"},
                    {ES_VARIANT_VECTOR, "vector"},
                    {ES_VARIANT_AVX2, "avx2"},
                    {ES_VARIANT_DOTPROD, "dotprod"}};
    es_cli_option options[] = {{.name = "json"}, {.name = NULL}};
    int code = es_cli_parse(&es_cli_devices, count, arguments, options, NULL);
    if (code) return code < 0 ? 0 : code;
    long cores = 1;
#if !defined(_WIN32) && defined(_SC_NPROCESSORS_ONLN)
    cores = sysconf(_SC_NPROCESSORS_ONLN);
#endif
    bool json = es_cli_value(options, "json");
    printf(json ? "{\"version\": \"%s\", \"cpu\": \"%s\", \"cores\": %ld, \"variants\": ["
                : "edge-sparse %s\nprocessor: %s, %ld core(s)\nkernels:",
           es_version(), es_cpu_description(), cores);
    bool first = true;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (es_cpu_variants() & variants[i].bit) {
            printf(json ? "%s\"%s\"" : "%s%s", json ? (first ? "" : ", ") : " ", variants[i].name);
            first = false;
        }
    printf(json ? "]}\n" : "\n");
    return 0;
}
