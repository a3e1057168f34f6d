/* Why a file is refused, in words: whole UTF-8 characters, and names that are not too long. */
#include <stdarg.h>

#include "reader.h"
#include "words.h"

enum { LARGEST_NAME = 80 };

/* Cut a message that was too long before a character that is not whole. */
static void trim(char *message, size_t size)
{
    size_t length = strlen(message);
    if (length + 1 < size) return;
    while (length && ((uint8_t)message[length - 1] & 0xC0) == 0x80) length--;
    if (length && (uint8_t)message[length - 1] >= 0xC0) length--;
    message[length] = 0;
}

static void describe(es_reader *reader, const char *prefix, const char *format, va_list arguments)
{
    if (!reader->error) return;
    char *message = reader->error->message;
    size_t size = sizeof reader->error->message;
    size_t length = reader->name ? es_words(message, size, "%.*s: ", LARGEST_NAME, reader->name) : 0;
    if (length < size) length += es_words(message + length, size - length, "%s", prefix);
    if (length < size) es_words_of(message + length, size - length, format, arguments);
    trim(message, size);
}

bool es_refuse(es_reader *reader, es_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    reader->status = status;
    describe(reader, "", format, arguments);
    va_end(arguments);
    return false;
}

bool es_refuse_record(es_reader *reader, es_status status, const char *kind, uint32_t number, const char *name,
                      const char *format, ...)
{
    char prefix[LARGEST_NAME + 48];
    size_t length = 0;
    while (length < LARGEST_NAME && name[length]) length++;
    while (name[length] && length && ((uint8_t)name[length] & 0xC0) == 0x80) length--;
    es_words(prefix, sizeof prefix, "%s %u (%.*s): ", kind, (unsigned)number, (int)length, name);
    va_list arguments;
    va_start(arguments, format);
    reader->status = status;
    describe(reader, prefix, format, arguments);
    va_end(arguments);
    return false;
}

es_list_text es_list(const uint64_t *numbers, uint32_t count)
{
    es_list_text list = {"("};
    size_t length = 1;
    for (uint32_t index = 0; index < count && length < sizeof list.text - 24; index++) {
        const char *separator = index ? ", " : "";
        length += es_words(list.text + length, sizeof list.text - length, "%s%llu", separator,
                           (unsigned long long)numbers[index]);
    }
    es_words(list.text + length, sizeof list.text - length, ")");
    return list;
}
