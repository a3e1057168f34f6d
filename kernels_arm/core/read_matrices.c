/* Matrix records: bands, kept columns, values and scales, every length checked before anything is decoded. */
#include <inttypes.h>

#include "column_index.h"

static const uint64_t MATRIX_LIMIT = (uint64_t)1 << 32;
/* Matrices may name at most so many times the file's length, plus so many bytes, of blobs. */
enum { SHARED_TIMES = 4, SHARED_BYTES = 1 << 18 };
enum { INDEX_DENSE, INDEX_BITMAP, INDEX_DELTA };

typedef struct value_form {
    uint32_t granule;   /* kept columns that are stored together: two tiles for S4, which share bytes; 0 for floats */
    uint32_t row_bytes; /* of one row of a granule, or of one float */
    uint32_t quarters;  /* bytes that a kept weight takes at least, times four */
} value_form;

static value_form form_of(es_dtype dtype)
{
    switch (dtype) {
    case ES_F32: return (value_form){0, 4, 16};
    case ES_F16: return (value_form){0, 2, 8};
    case ES_S8: return (value_form){4, 4, 4};
    case ES_S4: return (value_form){8, 4, 2};
    case ES_TERNARY: return (value_form){4, 1, 1};
    default: return (value_form){0, 0, 0};
    }
}

static bool read_bands(es_matrix_source *source)
{
    es_reader *reader = source->reader;
    es_matrix *matrix = source->matrix;
    es_band *bands = reader->bands + reader->first_band[source->number];
    uint64_t row = 0, strips = 0;
    matrix->bands = bands;
    matrix->band_count = reader->first_band[source->number + 1] - reader->first_band[source->number];
    for (uint32_t number = 0; number < matrix->band_count; number++) {
        uint8_t record[ES_LARGEST_RECORD];
        es_load_record(reader, ES_SECTION_BANDS, reader->first_band[source->number] + number, record);
        uint32_t first = es_load_u32(record + ES_AT_BAND_FIRST_ROW), rows = es_load_u32(record + ES_AT_BAND_ROWS);
        uint32_t group = es_load_u32(record + ES_AT_BAND_GROUP);
        bool known = group && group <= 32 && !(group & (group - 1));
        if (first != row || !known || !rows || rows % group)
            return ES_REFUSE_MATRIX(source, ES_MATRIX_BANDS, "a band of %u rows from %u in groups of %u",
                                    (unsigned)rows, (unsigned)first, (unsigned)group);
        bands[number] = (es_band){first, rows, group, (uint32_t)strips};
        row += rows;
        strips += rows / group;
    }
    if (row != matrix->rows)
        return ES_REFUSE_MATRIX(source, ES_MATRIX_BANDS, "its bands cover %" PRIu64 " of %u rows", row,
                                (unsigned)matrix->rows);
    matrix->strips = (uint32_t)strips;
    return true;
}

/* The values' bytes, exactly for floats, before anything as large as the index is decoded. */
static bool check_values_bound(es_matrix_source *source)
{
    es_matrix *matrix = source->matrix;
    value_form form = form_of(matrix->dtype);
    uint64_t needed = matrix->kept_weights * form.quarters / 4;
    if (source->values.length < needed || (!form.granule && source->values.length != needed))
        return ES_REFUSE_MATRIX(source, ES_MATRIX_VALUES, "its values have %" PRIu64 " bytes, %" PRIu64
                                " kept weights need %" PRIu64, source->values.length, matrix->kept_weights, needed);
    return true;
}

static bool read_counts(es_matrix_source *source)
{
    es_matrix *matrix = source->matrix;
    matrix->kept_weights = (uint64_t)matrix->rows * matrix->columns;
    if (source->dense) {
        uint32_t *counts = es_take_copy(source->reader, matrix->strips, sizeof *counts);
        matrix->counts = counts;
        for (uint64_t strip = 0; counts && strip < matrix->strips; strip++) counts[strip] = matrix->columns;
        return !source->reader->status;
    }
    if (source->counts.length != (uint64_t)4 * matrix->strips)
        return ES_REFUSE_MATRIX(source, ES_MATRIX_COUNTS, "its counts have %" PRIu64 " bytes for %u strips",
                                source->counts.length, (unsigned)matrix->strips);
    source->counts.data = es_keep(source->reader, source->counts);
    matrix->counts = (const uint32_t *)(const void *)source->counts.data;
    matrix->kept_weights = 0;
    for (uint32_t number = 0; number < matrix->band_count; number++) {
        const es_band *band = &matrix->bands[number];
        for (uint64_t strip = 0; strip < band->rows / band->group; strip++) {
            uint32_t kept = es_kept(source, band->first_strip + strip);
            if (kept > matrix->columns)
                return ES_REFUSE_MATRIX(source, ES_MATRIX_COUNTS, "a strip keeps %u of %u columns", (unsigned)kept,
                                        (unsigned)matrix->columns);
            matrix->kept_weights += (uint64_t)kept * band->group;
        }
    }
    return !source->reader->status;
}

static bool read_index(es_matrix_source *source, uint32_t index)
{
    if (index == INDEX_BITMAP) return es_read_bitmap(source);
    if (index == INDEX_DELTA) return es_read_gaps(source);
    if (source->index.length)
        return ES_REFUSE_MATRIX(source, ES_INDEX_DENSE, "it keeps every column and has an index");
    return true;
}

/* Where strips begin; returns the bytes of all values, and the number of all scales. */
static uint64_t lay_out(es_matrix_source *source, uint64_t *scales)
{
    es_matrix *matrix = source->matrix;
    uint32_t granule = form_of(matrix->dtype).granule, row_bytes = form_of(matrix->dtype).row_bytes;
    uint64_t *starts = es_take_copy(source->reader, (uint64_t)matrix->strips + 1, sizeof *starts);
    uint64_t *value_starts = es_take_copy(source->reader, (uint64_t)matrix->strips + 1, sizeof *value_starts);
    uint64_t *scale_starts = NULL;
    if (granule) scale_starts = es_take_copy(source->reader, (uint64_t)matrix->strips + 1, sizeof *scale_starts);
    uint64_t kept = 0, bytes = 0, factors = 0;
    bool filled = starts && value_starts && (scale_starts || !granule);
    for (uint32_t number = 0; number < matrix->band_count; number++) {
        const es_band *band = &matrix->bands[number];
        uint64_t end = (uint64_t)band->first_strip + band->rows / band->group;
        for (uint64_t strip = band->first_strip; strip < end; strip++) {
            uint64_t own = es_kept(source, strip);
            if (filled) starts[strip] = kept, value_starts[strip] = bytes;
            if (filled && granule) scale_starts[strip] = factors;
            kept += own;
            bytes += (granule ? (own + granule - 1) / granule : own) * band->group * row_bytes;
            factors += (matrix->segment ? (own + matrix->segment - 1) / matrix->segment : 1) * band->group;
        }
    }
    if (filled) starts[matrix->strips] = kept, value_starts[matrix->strips] = bytes;
    if (filled && granule) scale_starts[matrix->strips] = factors;
    matrix->starts = starts;
    matrix->value_starts = value_starts;
    matrix->scale_starts = scale_starts;
    *scales = factors;
    return bytes;
}

static bool read_scales(es_matrix_source *source, uint64_t count)
{
    if (source->scales.length != 2 * count)
        return ES_REFUSE_MATRIX(source, ES_MATRIX_SCALES, "its scales have %" PRIu64 " bytes instead of %" PRIu64,
                                source->scales.length, 2 * count);
    const uint8_t *scales = es_keep(source->reader, source->scales);
    uint32_t infinite = 0;
    /* The exponent bits are all ones in infinities and what is no number. */
    for (uint64_t number = 0; number < count; number++)
        infinite |= (es_load_u16(scales + 2 * number) & 0x7C00) == 0x7C00;
    if (infinite) return ES_REFUSE_MATRIX(source, ES_MATRIX_SCALES, "a scale is not a finite number");
    source->matrix->scales = (const uint16_t *)(const void *)scales;
    return true;
}

static bool check_kind(es_matrix_source *source, uint32_t index)
{
    const es_matrix *matrix = source->matrix;
    uint32_t granule = form_of(matrix->dtype).granule, segment = matrix->segment;
    if (!form_of(matrix->dtype).quarters)
        return ES_REFUSE_MATRIX(source, ES_MATRIX_DTYPE, "value type %d is unknown", (int)matrix->dtype);
    if (segment && (!granule || segment % granule || segment >= (uint64_t)matrix->columns + granule))
        return ES_REFUSE_MATRIX(source, ES_MATRIX_SEGMENT, "segments of %u columns for values of type %d",
                                (unsigned)segment, (int)matrix->dtype);
    if (index > INDEX_DELTA)
        return ES_REFUSE_MATRIX(source, ES_MATRIX_INDEX, "index encoding %u is unknown", (unsigned)index);
    return true;
}

static bool read_matrix(es_matrix_source *source, const uint8_t *record)
{
    es_matrix *matrix = source->matrix;
    uint32_t index = record[ES_AT_MATRIX_INDEX];
    if (!es_find_string(source->reader, record + ES_AT_MATRIX_NAME, &matrix->name)) return false;
    matrix->rows = es_load_u32(record + ES_AT_MATRIX_ROWS);
    matrix->columns = es_load_u32(record + ES_AT_MATRIX_COLUMNS);
    matrix->dtype = (es_dtype)record[ES_AT_MATRIX_DTYPE];
    matrix->segment = es_load_u32(record + ES_AT_MATRIX_SEGMENT);
    if (!matrix->rows || !matrix->columns || (uint64_t)matrix->rows * matrix->columns > MATRIX_LIMIT)
        return ES_REFUSE_MATRIX(source, ES_MATRIX_SIZE, "%u rows x %u columns are none or too many",
                                (unsigned)matrix->rows, (unsigned)matrix->columns);
    if (!read_bands(source) || !check_kind(source, index)) return false;
    source->dense = index == INDEX_DENSE;
    if (source->dense && es_load_u32(record + ES_AT_MATRIX_COUNTS_BLOB) != ES_NO_BLOB)
        return ES_REFUSE_MATRIX(source, ES_MATRIX_COUNTS, "a dense matrix has no counts");
    if (!read_counts(source) || !check_values_bound(source) || !read_index(source, index)) return false;
    bool integers = form_of(matrix->dtype).granule != 0;
    if (!integers && es_load_u32(record + ES_AT_MATRIX_SCALES_BLOB) != ES_NO_BLOB)
        return ES_REFUSE_MATRIX(source, ES_MATRIX_SCALES, "float values have no scales");
    uint64_t scales, bytes = lay_out(source, &scales);
    if (integers && !read_scales(source, scales)) return false;
    if (source->values.length != bytes)
        return ES_REFUSE_MATRIX(source, ES_MATRIX_VALUES, "its values have %" PRIu64 " bytes instead of %" PRIu64,
                                source->values.length, bytes);
    /* In memory or in an archive a file may lie at any address; kernels read whole elements, and integers by fours. */
    bool aligned = (uintptr_t)source->values.data % (matrix->dtype == ES_F16 ? 2 : 4) == 0;
    matrix->values = aligned ? source->values.data : es_keep(source->reader, source->values);
    matrix->value_bytes = bytes;
    return !source->reader->status;
}

/* A matrix that is the first of its content; *named counts the bytes of blobs. */
static bool read_first(es_reader *reader, uint32_t number, const uint8_t *record, uint64_t *named)
{
    es_matrix *matrix = (es_matrix *)&reader->model->matrices[number];
    es_matrix_source source = {.reader = reader, .number = number, .matrix = matrix};
    es_bytes *blobs[4] = {&source.counts, &source.index, &source.values, &source.scales};
    memset(matrix, 0, sizeof *matrix);
    for (int which = 0; which < 4; which++) {
        uint32_t blob = es_load_u32(record + ES_AT_MATRIX_COUNTS_BLOB + 4 * which);
        if (!es_find_blob(reader, blob, "matrix", number, blobs[which])) return false;
        *named += blobs[which]->length;
    }
    /* Blobs that many records share could make a small file name any number of bytes. */
    if (*named > SHARED_TIMES * reader->file_length + SHARED_BYTES)
        return es_refuse(reader, ES_MATRIX_SHARED, "matrix %u: matrices name %" PRIu64 " bytes of blobs",
                         (unsigned)number, *named);
    return read_matrix(&source, record);
}

bool es_read_matrices(es_reader *reader)
{
    es_matrix *matrices = (es_matrix *)reader->model->matrices;
    uint64_t named = 0;
    if (!es_check_reserved(reader, ES_SECTION_BANDS, 12, 4) || !es_check_reserved(reader, ES_SECTION_MATRICES, 26, 2) ||
        !es_chain_bands(reader))
        return false;
    es_find_same_matrices(reader);
    for (uint32_t number = 0; number < reader->model->matrix_count; number++) {
        uint8_t record[ES_LARGEST_RECORD];
        es_load_record(reader, ES_SECTION_MATRICES, number, record);
        if (reader->same[number] >= number) {
            if (!read_first(reader, number, record, &named)) return false;
            continue;
        }
        matrices[number] = matrices[reader->same[number]];
        if (!es_find_string(reader, record + ES_AT_MATRIX_NAME, &matrices[number].name)) return false;
    }
    return true;
}
