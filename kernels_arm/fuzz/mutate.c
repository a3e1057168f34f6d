/* How a file is damaged: numbers in its records and blobs get values at the edges of what is allowed. */
#include <string.h>

#include "records.h"
#include "seal.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static uint32_t next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static uint64_t value(uint32_t *state, uint64_t old)
{
    static const uint64_t edges[] = {0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 63, 64, 65, 127, 128, 255, 256, 4095,
                                     4096, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000,
                                     0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0x7F800000, 0x7FC00000, 0x3F800000};
    switch (next(state) % 8) {
    case 0: return old + 1;
    case 1: return old - 1;
    case 2: return old * 2;
    case 3: return old / 2;
    case 4: return old ^ (uint64_t)1 << next(state) % 32;
    case 5: return next(state) % 40;
    default: return edges[next(state) % (sizeof edges / sizeof *edges)];
    }
}

/* One number of a part gets another value, or that of its neighbour in another record. */
static void change_number(uint8_t *data, part place, uint32_t *state)
{
    static const size_t sizes[] = {4, 4, 4, 8, 1, 2}, records[] = {168, 128, 48, 64, 16, 4};
    size_t size = sizes[next(state) % 6];
    if (place.length < size) size = 1;
    size_t at = place.offset + next(state) % (place.length / size) * size;
    size_t distance = records[next(state) % 6];
    if (next(state) % 4 == 0 && at + distance + size <= place.offset + place.length) {
        memmove(data + at, data + at + distance, size);
        return;
    }
    uint64_t number = 0;
    memcpy(&number, data + at, size);
    number = value(state, number);
    memcpy(data + at, &number, size);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    part parts[MOST_PARTS];
    uint32_t state = seed * 2654435761u + 1;
    size_t count = find_parts(data, size, parts);
    if (!count || next(&state) % 32 == 0) return LLVMFuzzerMutate(data, size, max_size);
    for (uint32_t changes = 1 + next(&state) % 3; changes; changes--)
        change_number(data, parts[next(&state) % count], &state);
    return size;
}
