/* Numbers and names in words: what of printf the core needs; that has 20 KB of WebAssembly. */
#include "words.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LONGEST_NUMBER = 32, DIGITS = 6, MOST = 1000000 /* 10^DIGITS */, NO_PRECISION = -1 };

typedef struct es_sink {
    char *text;
    size_t size, length;
} es_sink;

/* How one number or string is to be written. */
typedef struct es_directive {
    bool zeros, prefix;
    int width, precision;
    size_t bytes; /* of an integer */
    char kind;
} es_directive;

static void put(es_sink *sink, char character)
{
    if (sink->length + 1 < sink->size) sink->text[sink->length] = character;
    sink->length++;
}

static void put_all(es_sink *sink, const char *text, size_t length)
{
    for (size_t at = 0; at < length; at++) put(sink, text[at]);
}

/* A sign or prefix, then zeros or before it blanks, then digits. */
static void put_number(es_sink *sink, const es_directive *how, const char *sign, const char *digits, size_t length)
{
    size_t whole = strlen(sign) + length, fill = how->width > 0 && (size_t)how->width > whole ? (size_t)how->width - whole : 0;
    for (size_t at = 0; !how->zeros && at < fill; at++) put(sink, ' ');
    put_all(sink, sign, strlen(sign));
    for (size_t at = 0; how->zeros && at < fill; at++) put(sink, '0');
    put_all(sink, digits, length);
}

static void put_integer(es_sink *sink, const es_directive *how, uint64_t number, bool negative)
{
    const char *names = how->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    bool hexadecimal = how->kind == 'x' || how->kind == 'X';
    unsigned base = hexadecimal ? 16 : 10;
    char digits[LONGEST_NUMBER];
    size_t at = sizeof digits;
    const char *sign = negative ? "-" : how->prefix && hexadecimal && number ? how->kind == 'X' ? "0X" : "0x" : "";
    do digits[--at] = names[number % base];
    while (number /= base);
    put_number(sink, how, sign, digits + at, sizeof digits - at);
}

/* 10^exponent; exact up to 22. */
static double power_of_ten(int exponent)
{
    double power = 1.0;
    while (exponent-- > 0) power *= 10.0;
    return power;
}

/* The decimal exponent of a positive number, and its first digits as an integer, rounded. */
static uint32_t first_digits(double number, int *exponent)
{
    enum { LIFT = 290 }; /* of numbers whose power of ten would be infinite */
    int lift = number < 1e-290 ? LIFT : 0, place = 0;
    number *= power_of_ten(lift);
    while (number / power_of_ten(place) >= 10.0) place++;
    while (number * power_of_ten(-place) < 1.0) place--;
    int shift = DIGITS - 1 - place;
    double digits = rint(shift < 0 ? number / power_of_ten(-shift) : number * power_of_ten(shift));
    bool longer = digits >= MOST;
    *exponent = place + longer - lift;
    return (uint32_t)(longer ? digits / 10.0 : digits);
}

static void put_exponent(char *text, size_t *length, int exponent)
{
    unsigned size = (unsigned)(exponent < 0 ? -exponent : exponent);
    text[(*length)++] = 'e';
    text[(*length)++] = exponent < 0 ? '-' : '+';
    if (size >= 100) text[(*length)++] = (char)('0' + size / 100);
    text[(*length)++] = (char)('0' + size / 10 % 10);
    text[(*length)++] = (char)('0' + size % 10);
}

/* %g: the shortest of a plain number and one with an exponent, without zeros at the end. */
static void put_real(es_sink *sink, const es_directive *how, double number)
{
    const char *sign = signbit(number) ? "-" : "";
    if (!isfinite(number)) {
        put_number(sink, how, sign, isnan(number) ? "nan" : "inf", 3);
        return;
    }
    char digits[DIGITS], text[LONGEST_NUMBER];
    int exponent = 0, count = DIGITS;
    uint32_t first = number != 0.0 ? first_digits(fabs(number), &exponent) : 0;
    for (int at = DIGITS; at-- > 0; first /= 10) digits[at] = (char)('0' + first % 10);
    while (count > 1 && digits[count - 1] == '0') count--;
    size_t length = 0;
    bool plain = exponent >= -4 && exponent < DIGITS;
    int point = plain ? exponent : 0; /* place of the last digit before the point */
    if (point < 0) text[length++] = '0';
    if (point < 0) text[length++] = '.';
    for (int zero = point + 1; zero < 0; zero++) text[length++] = '0';
    for (int at = 0; at < count || at <= point; at++) {
        if (at && at == point + 1) text[length++] = '.';
        text[length++] = at < count ? digits[at] : '0';
    }
    if (!plain) put_exponent(text, &length, exponent);
    put_number(sink, how, sign, text, length);
}

static void put_string(es_sink *sink, const es_directive *how, const char *string)
{
    size_t length = 0;
    while ((how->precision == NO_PRECISION || length < (size_t)how->precision) && string[length]) length++;
    put_all(sink, string, length);
}

static int read_count(const char **format)
{
    int count = 0;
    for (; **format >= '0' && **format <= '9' && count < 10000; ++*format) count = 10 * count + (**format - '0');
    return count;
}

/* Everything of a directive but its argument; the format moves past it. A star takes its number from an argument. */
static es_directive read_directive(const char **format, int star)
{
    es_directive how = {false, false, 0, NO_PRECISION, sizeof(int), 0};
    for (; **format == '#' || **format == '0'; ++*format) *(**format == '0' ? &how.zeros : &how.prefix) = true;
    how.width = read_count(format);
    if (**format == '.') {
        ++*format;
        if (**format == '*') how.precision = star, ++*format;
        else how.precision = read_count(format);
    }
    for (int longs = 0; **format == 'l' || **format == 'z'; ++*format) {
        if (**format == 'z') how.bytes = sizeof(size_t);
        else how.bytes = ++longs == 1 ? sizeof(long) : sizeof(long long);
    }
    how.kind = **format;
    if (how.kind) ++*format;
    return how;
}

size_t es_words_of(char *text, size_t size, const char *format, va_list arguments)
{
    es_sink sink = {text, size, 0};
    while (*format) {
        if (*format != '%') {
            put(&sink, *format++);
            continue;
        }
        format++;
        bool star = format[0] == '.' && format[1] == '*';
        es_directive how = read_directive(&format, star ? va_arg(arguments, int) : 0);
        if (how.precision < 0) how.precision = NO_PRECISION;
        switch (how.kind) {
        case 'd': {
            int64_t number = how.bytes == sizeof(int64_t) ? va_arg(arguments, int64_t) : va_arg(arguments, int);
            put_integer(&sink, &how, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, number < 0);
            break;
        }
        case 'u':
        case 'x':
        case 'X':
            put_integer(&sink, &how, how.bytes == sizeof(int64_t) ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), false);
            break;
        case 'g':
            put_real(&sink, &how, va_arg(arguments, double));
            break;
        case 's':
            put_string(&sink, &how, va_arg(arguments, const char *));
            break;
        default:
            if (how.kind) put(&sink, how.kind);
        }
    }
    if (size) text[sink.length < size ? sink.length : size - 1] = 0;
    return sink.length;
}

size_t es_words(char *text, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t length = es_words_of(text, size, format, arguments);
    va_end(arguments);
    return length;
}
