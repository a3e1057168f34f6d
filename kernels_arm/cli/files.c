/* Whole files, and the clock. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"

static int unreadable(const char *path, const char *reason)
{
    return es_cli_fail(ES_EXIT_INPUT, "INPUT_UNREADABLE", "check the path", "cannot read %s: %s", path, reason);
}

static int read_stream(FILE *file, const char *path, uint8_t **data, size_t *length)
{
    size_t room = 1 << 16, used = 0;
    uint8_t *memory = malloc(room);
    while (memory) {
        used += fread(memory + used, 1, room - used, file);
        if (used < room) break;
        uint8_t *larger = room <= SIZE_MAX / 2 ? realloc(memory, room *= 2) : NULL;
        if (!larger) free(memory);
        memory = larger;
    }
    if (!memory) return unreadable(path, "the memory does not suffice");
    if (ferror(file)) {
        free(memory);
        return unreadable(path, "reading failed");
    }
    *data = memory;
    *length = used;
    return 0;
}

int es_cli_read_file(const char *path, uint8_t **data, size_t *length)
{
    if (!strcmp(path, "-")) return read_stream(stdin, path, data, length);
    errno = 0;
    FILE *file = fopen(path, "rb");
    if (!file) return unreadable(path, strerror(errno));
    int code = read_stream(file, path, data, length);
    fclose(file);
    return code;
}

double es_cli_seconds(void)
{
    struct timespec now;
#if defined(_WIN32)
    timespec_get(&now, TIME_UTC);
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
