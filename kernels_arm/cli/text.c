/* Text for terminals and for JSON, durations and sizes for people. */
#include <math.h>
#include <string.h>

#include "command.h"

void es_cli_write_text(FILE *stream, const char *utf8, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)utf8[i];
        bool second = byte == 0xc2 && i + 1 < length && (unsigned char)utf8[i + 1] < 0xa0;
        if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f)
            fprintf(stream, "\\x%02x", byte);
        else if (second)
            fprintf(stream, "\\x%02x", (unsigned char)utf8[++i]);
        else
            fputc(byte, stream);
    }
}

void es_cli_write_json_text(FILE *stream, const char *utf8, size_t length)
{
    fputc('"', stream);
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)utf8[i];
        if (byte == '"' || byte == '\\')
            fprintf(stream, "\\%c", byte);
        else if (byte == '\n')
            fputs("\\n", stream);
        else if (byte < 0x20 || byte == 0x7f)
            fprintf(stream, "\\u%04x", byte);
        else
            fputc(byte, stream);
    }
    fputc('"', stream);
}

/* Three digits that mean something. */
static void write_scaled(FILE *stream, double number, const char *unit)
{
    int decimals = number >= 99.95 ? 0 : number >= 9.995 ? 1 : 2;
    fprintf(stream, "%.*f %s", decimals, number, unit);
}

void es_cli_write_duration(FILE *stream, double seconds)
{
    if (seconds < 1e-3)
        write_scaled(stream, seconds * 1e6, "us");
    else if (seconds < 1)
        write_scaled(stream, seconds * 1e3, "ms");
    else
        write_scaled(stream, seconds, "s");
}

void es_cli_write_bytes(FILE *stream, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    int unit = 0;
    while (bytes >= 1024 && unit < 3) bytes /= 1024, unit++;
    if (unit)
        write_scaled(stream, bytes, units[unit]);
    else
        fprintf(stream, "%.0f B", bytes);
}
