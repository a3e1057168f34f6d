/* Binary PPM and PGM pictures, which every image program writes. */
#include <stdlib.h>
#include <string.h>

#include "command.h"

static int wrong(const char *path)
{
    return es_cli_fail(ES_EXIT_INPUT, "IMAGE_TYPE", "convert it: magick cat.jpg -depth 8 cat.ppm",
                       "%s is not a binary PPM or PGM picture of 8 bits", path);
}

/* The next number of the header, past blanks and comments; 0 if there is none up to a million. */
static uint32_t next_number(const uint8_t *file, size_t length, size_t *at)
{
    while (*at < length && (file[*at] == '#' || file[*at] == ' ' || (file[*at] >= '\t' && file[*at] <= '\r'))) {
        if (file[*at] == '#')
            while (*at < length && file[*at] != '\n') ++*at;
        else
            ++*at;
    }
    uint32_t number = 0;
    for (; *at < length && file[*at] >= '0' && file[*at] <= '9' && number < 1000000; ++*at)
        number = number * 10 + (uint32_t)(file[*at] - '0');
    return number <= 1000000 ? number : 0;
}

int es_cli_read_picture(const char *path, es_image *image, uint8_t **memory)
{
    uint8_t *file;
    size_t length;
    int code = es_cli_read_file(path, &file, &length);
    if (code) return code;
    memset(image, 0, sizeof *image);
    if (length > 2 && file[0] == 'P' && (file[1] == '5' || file[1] == '6')) {
        size_t at = 2;
        image->channels = file[1] == '5' ? 1 : 3;
        image->width = next_number(file, length, &at);
        image->height = next_number(file, length, &at);
        uint32_t largest = next_number(file, length, &at);
        /* One blank ends the header. */
        uint64_t bytes = (uint64_t)image->width * image->height * image->channels;
        if (largest == 255 && bytes && at < length && bytes <= length - at - 1) {
            image->pixels = file + at + 1;
            *memory = file;
            return 0;
        }
    }
    free(file);
    return wrong(path);
}
