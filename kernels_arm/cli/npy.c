/* .npy files: arrays of NumPy, in C order and in the type of the port. */
#include <stdlib.h>
#include <string.h>

#include "command.h"

static const char *descriptor(es_dtype dtype)
{
    switch (dtype) {
    case ES_F32: return "<f4";
    case ES_F16: return "<f2";
    case ES_S32: return "<i4";
    case ES_S8: return "|i1";
    default: return "|u1";
    }
}

/* Lengths of the axes in memory. */
static void memory_shape(const es_port *port, uint64_t shape[6])
{
    memcpy(shape, port->shape, 6 * sizeof *shape);
    if (port->nhwc && port->rank == 4) {
        shape[1] = port->shape[2];
        shape[2] = port->shape[3];
        shape[3] = port->shape[1];
    }
}

static int wrong(const char *path, const char *code, const char *what)
{
    return es_cli_fail(ES_EXIT_INPUT, code, "numpy.save writes such a file; edge-sparse inspect shows the shape",
                       "%s: %s", path, what);
}

/* Where the value of a key of the header begins; NULL if it is not there. */
static const char *find_key(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    return at ? at + strlen(key) : NULL;
}

/* Compare the header's shape with that of the port; the rows of symbolic inputs are taken over. */
static int check_shape(const char *path, const char *text, const es_port *port, uint64_t shape[6])
{
    unsigned long long lengths[6];
    uint32_t rank = 0;
    memory_shape(port, shape);
    while (*text == ' ' || *text == '(') text++;
    while (*text && *text != ')') {
        char *end;
        unsigned long long length = strtoull(text, &end, 10);
        if (end == text) return wrong(path, "INPUT_SHAPE", "the header's shape cannot be read");
        if (rank < 6) lengths[rank] = length;
        rank++;
        for (text = end; *text == ',' || *text == ' ';) text++;
    }
    if (rank != port->rank) {
        char what[64];
        snprintf(what, sizeof what, "it has %u axes, the input %u", (unsigned)rank, (unsigned)port->rank);
        return wrong(path, "INPUT_RANK", what);
    }
    for (uint32_t axis = 0; axis < rank; axis++) {
        if (axis == 0 && port->symbolic ? lengths[0] < 1 || lengths[0] > shape[0] : lengths[axis] != shape[axis]) {
            char what[96];
            snprintf(what, sizeof what, "axis %u has length %llu, not %llu", (unsigned)axis, lengths[axis],
                     (unsigned long long)shape[axis]);
            return wrong(path, "INPUT_SHAPE", what);
        }
        shape[axis] = lengths[axis];
    }
    return 0;
}

static int parse(const char *path, const uint8_t *file, size_t length, const es_port *port, uint64_t shape[6],
                 size_t *begin)
{
    if (length < 12 || memcmp(file, "\x93NUMPY", 6)) return wrong(path, "INPUT_TYPE", "it is not a .npy file");
    size_t size = file[8] | (size_t)file[9] << 8, start = 10;
    if (file[6] > 1) {
        size |= (size_t)file[10] << 16 | (size_t)file[11] << 24;
        start = 12;
    }
    char header[1024];
    if (size >= sizeof header || size > length - start) return wrong(path, "INPUT_TYPE", "its header is damaged");
    memcpy(header, file + start, size);
    header[size] = 0;
    const char *type = find_key(header, "'descr': '"), *fortran = find_key(header, "'fortran_order': ");
    const char *lengths = find_key(header, "'shape': ");
    if (!type || !fortran || !lengths) return wrong(path, "INPUT_TYPE", "its header is damaged");
    if (strncmp(type, descriptor(port->dtype), 3)) {
        char what[64];
        snprintf(what, sizeof what, "its elements are %.3s, not %s", type, descriptor(port->dtype));
        return wrong(path, "INPUT_DTYPE", what);
    }
    if (strncmp(fortran, "False", 5)) return wrong(path, "INPUT_NOT_CONTIGUOUS", "it is in Fortran order");
    *begin = start + size;
    return check_shape(path, lengths, port, shape);
}

int es_cli_read_npy(const char *path, const es_port *port, void **data, size_t *bytes)
{
    uint8_t *file;
    size_t length, begin;
    int code = es_cli_read_file(path, &file, &length);
    if (code) return code;
    uint64_t shape[6];
    code = parse(path, file, length, port, shape, &begin);
    if (!code) {
        *bytes = (size_t)(port->symbolic ? port->bytes / port->shape[0] * shape[0] : port->bytes);
        if (length - begin != *bytes) code = wrong(path, "INPUT_SHAPE", "its length is not that of its elements");
    }
    if (code) {
        free(file);
        return code;
    }
    /* At the front of the block malloc's alignment is that of every element. */
    memmove(file, file + begin, *bytes);
    *data = file;
    return 0;
}

int es_cli_write_npy(const char *path, const es_port *port, const void *data, size_t bytes)
{
    uint64_t shape[6];
    memory_shape(port, shape);
    if (port->symbolic) shape[0] = bytes / (port->bytes / port->shape[0]);
    char header[256];
    int used = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                        descriptor(port->dtype));
    for (uint32_t axis = 0; axis < port->rank; axis++)
        used += snprintf(header + used, sizeof header - (size_t)used, "%llu,", (unsigned long long)shape[axis]);
    used += snprintf(header + used, sizeof header - (size_t)used, "), }");
    /* Data begin at a multiple of 64. */
    while ((10 + used + 1) % 64) header[used++] = ' ';
    header[used++] = '\n';
    FILE *file = fopen(path, "wbx");
    if (!file)
        return es_cli_fail(ES_EXIT_OUTPUT, "OUTPUT_NOT_WRITABLE", "name a new file in a folder that can be written",
                           "%s exists or cannot be made", path);
    const uint8_t start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)used, (uint8_t)(used >> 8)};
    bool done = fwrite(start, sizeof start, 1, file) == 1 && fwrite(header, (size_t)used, 1, file) == 1 &&
                fwrite(data, 1, bytes, file) == bytes;
    if (fclose(file)) done = false;
    if (done) return 0;
    remove(path);
    return es_cli_fail(ES_EXIT_OUTPUT, "OUTPUT_NOT_WRITABLE", "free some space", "%s cannot be written", path);
}
