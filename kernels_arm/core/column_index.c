/* The kept columns of a matrix as bytes: a bitmap per strip, or gaps of one byte each. */
#include "column_index.h"

#include <inttypes.h>

/* A gap byte of this value means "255 columns further, and another byte follows". */
enum { ESCAPE = 255 };

static uint64_t bits(const uint8_t *bytes, uint64_t length)
{
    uint64_t count = 0, word;
    for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        count += (uint64_t)__builtin_popcountll(word);
    }
    for (; length; bytes++, length--) count += (uint64_t)__builtin_popcount(*bytes);
    return count;
}

bool es_read_bitmap(es_matrix_source *source)
{
    es_matrix *matrix = source->matrix;
    uint64_t width = ((uint64_t)matrix->columns + 7) / 8;
    if (source->index.length != matrix->strips * width)
        return ES_REFUSE_MATRIX(source, ES_INDEX_LENGTH, "its bitmap has %" PRIu64 " bytes for %u strips of %" PRIu64,
                                source->index.length, (unsigned)matrix->strips, width);
    const uint8_t *bitmap = es_keep(source->reader, source->index);
    matrix->bitmap = bitmap;
    if (matrix->columns % 8)
        for (uint64_t strip = 0; strip < matrix->strips; strip++)
            if (bitmap[strip * width + width - 1] >> matrix->columns % 8)
                return ES_REFUSE_MATRIX(source, ES_INDEX_RANGE, "its bitmap names columns beyond %u",
                                        (unsigned)matrix->columns);
    for (uint64_t strip = 0; strip < matrix->strips; strip++)
        if (bits(bitmap + strip * width, width) != es_kept(source, strip))
            return ES_REFUSE_MATRIX(source, ES_INDEX_COUNT, "its bitmap disagrees with its counts");
    return true;
}

bool es_read_gaps(es_matrix_source *source)
{
    es_matrix *matrix = source->matrix;
    const uint8_t *data = source->index.data;
    uint64_t total = 0, at = 0, length = source->index.length, place = 0;
    for (uint64_t strip = 0; strip < matrix->strips; strip++) total += es_kept(source, strip);
    uint32_t *list = total > length ? NULL : es_take_copy(source->reader, total, sizeof *list);
    matrix->list = list;
    bool complete = total <= length, inside = true;
    for (uint64_t strip = 0; complete && strip < matrix->strips; strip++) {
        uint64_t next = 0;
        for (uint32_t left = es_kept(source, strip); complete && left; left--) {
            uint8_t gap = ESCAPE;
            while (gap == ESCAPE && at < length) next += gap = data[at++];
            complete = gap != ESCAPE;
            inside &= next < matrix->columns;
            if (list && complete) list[place++] = (uint32_t)next;
            next++;
        }
    }
    if (!complete || at != length)
        return ES_REFUSE_MATRIX(source, ES_INDEX_COUNT, "it keeps %" PRIu64 " columns, its index lists others", total);
    if (!inside)
        return ES_REFUSE_MATRIX(source, ES_INDEX_RANGE, "it names columns beyond %u", (unsigned)matrix->columns);
    return !source->reader->status;
}
