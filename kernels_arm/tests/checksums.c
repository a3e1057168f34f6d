/* Writes the CRC-32 of ever longer parts of a file by every function that this processor has, one line a part, for tests.
 *
 *     checksums FILE
 */
#include <stdbool.h>
#include <stdio.h>

#include "crc32.h"
#include "os.h"

enum { LARGEST_FILE = 1 << 16 };

int main(int count, char **arguments)
{
    static uint8_t data[LARGEST_FILE];
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (!file) return 1;
    size_t length = fread(data, 1, sizeof data, file);
    fclose(file);
    for (size_t end = 0; end <= length; end += end < 300 ? 1 : 997) {
        /* From every alignment, and in two pieces. */
        size_t first = end < 64 ? 0 : end % 64, middle = first + (end - first) / 3;
        es_crc32_function *functions[] = {es_crc32_tables, es_crc32_made, es_choose_crc32()};
        printf("%zu %zu", first, end);
        for (int which = 0; which < 3; which++) {
            uint32_t whole = functions[which](0, data + first, end - first);
            uint32_t part = functions[which](0, data + first, middle - first);
            printf(" %08x %08x", (unsigned)whole, (unsigned)functions[which](part, data + middle, end - middle));
        }
        printf("\n");
    }
    printf("%s\n", es_choose_crc32() == es_crc32_tables ? "tables" : "instructions");
    return 0;
}
