/* Which columns a matrix keeps, and where its strips' values and scales begin. */
#ifndef ES_COLUMN_INDEX_H
#define ES_COLUMN_INDEX_H

#include "reader.h"

/* A matrix while it is read. Without memory for a copy, counts are those of the file, at any address. */
typedef struct es_matrix_source {
    es_reader *reader;
    uint32_t number;
    es_matrix *matrix;
    es_bytes counts, index, values, scales;
    bool dense;
} es_matrix_source;

#define ES_REFUSE_MATRIX(source, status, ...) \
    es_refuse_record((source)->reader, status, "matrix", (source)->number, (source)->matrix->name, __VA_ARGS__)

static inline uint32_t es_kept(const es_matrix_source *source, uint64_t strip)
{
    return source->dense ? source->matrix->columns : es_load_u32(source->counts.data + 4 * strip);
}

/* Check the index against the counts and keep a copy of it. */
bool es_read_bitmap(es_matrix_source *source);
bool es_read_gaps(es_matrix_source *source);

#endif
