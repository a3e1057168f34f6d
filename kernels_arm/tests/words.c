/* Compares es_words with the C library's snprintf, for tests; says what differs and ends with the count of comparisons. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "words.h"

static unsigned long compared, different;

static void compare(const char *format, size_t found_length, int wanted_length, const char *found, const char *wanted)
{
    compared++;
    if (found_length == (size_t)wanted_length && !strcmp(found, wanted)) return;
    different++;
    printf("%s: [%s] of %zu, not [%s] of %d\n", format, found, found_length, wanted, wanted_length);
}

/* Into rooms of several sizes. */
#define COMPARE(format, ...)                                                           \
    for (size_t size = 1; size <= 64; size = size == 1 ? 7 : size + 57) {             \
        char found[64], wanted[64];                                                    \
        memset(found, 'x', sizeof found);                                              \
        size_t length = es_words(found, size, format, __VA_ARGS__);                    \
        compare(format, length, snprintf(wanted, size, format, __VA_ARGS__), found, wanted); \
    }

static void compare_integers(uint64_t number)
{
    COMPARE("%d", (int)number)
    COMPARE("%u of %u", (unsigned)number, (unsigned)~number)
    COMPARE("%ld", (long)number)
    COMPARE("%lu", (unsigned long)number)
    COMPARE("%lld", (long long)number)
    COMPARE("%llu", (unsigned long long)number)
    COMPARE("%zu%%", (size_t)number)
    COMPARE("%" PRIu64 " and %" PRId64, number, (int64_t)number)
    COMPARE("%#x", (unsigned)number)
    COMPARE("0x%02X, %08x", (unsigned)number & 255, (unsigned)number)
    COMPARE("%7d|%03u", (int)number, (unsigned)number)
}

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state ^ *state >> 29;
}

int main(void)
{
    static const double reals[] = {0.0, -0.0, 1.0, 0.1, 0.6, -2.5, 100000.0, 999999.0, 999999.5, 1e6, 1234567.0, 1e-4, 9.9999e-5,
                                   1e-5, 1e10, 3e-7, 1e100, 1e-100, 1e300, DBL_MIN, DBL_MAX, 5e-324, FLT_MAX, FLT_MIN,
                                   0.05f, 1.0 / 3, INFINITY, -INFINITY};
    static const uint64_t integers[] = {0, 1, 9, 10, 255, 256, INT32_MAX, UINT32_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    uint64_t state = 1;
    for (size_t at = 0; at < sizeof integers / sizeof *integers; at++) compare_integers(integers[at]);
    for (int time = 0; time < 2000; time++) compare_integers(next(&state) >> next(&state) % 64);
    for (size_t at = 0; at < sizeof reals / sizeof *reals; at++) COMPARE("theta is %g", reals[at])
    for (int time = 0; time < 20000; time++) {
        /* As floats, which is what options and files hold: none lies half way between two numbers of six digits. */
        uint32_t bits = (uint32_t)next(&state);
        float number;
        memcpy(&number, &bits, sizeof number);
        if (isnan(number)) continue;
        COMPARE("%g", (double)number)
        COMPARE("%g", (double)(int32_t)bits / 1024.0)
    }
    COMPARE("plain %s, %s", "text", "")
    COMPARE("%.3s|%.*s|%.*s", "abcdef", 2, "xyz", 9, "short")
    COMPARE("%.100s", "a long name that goes beyond what there is room for, and even further than that")
    printf("%lu compared, %lu different\n", compared, different);
    return different != 0;
}
