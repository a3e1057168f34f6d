/* Characters: UTF-8, classes, and normalisation form C, by the version of Unicode that unicode_tables.inc names. */
#ifndef ES_UNICODE_H
#define ES_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ES_REPLACEMENT = 0xFFFD, ES_UTF8_MAX = 4 };

typedef enum es_character_class { ES_CHARACTER_OTHER, ES_LETTER, ES_NUMBER, ES_SPACE } es_character_class;

/* Bytes of the valid sequence at text, 0 if there is none in length bytes. */
size_t es_utf8_read(const uint8_t *text, size_t length, uint32_t *character);
/* Bytes written, at most ES_UTF8_MAX. */
size_t es_utf8_write(uint32_t character, uint8_t *text);

es_character_class es_class_of(uint32_t character);

/* Elements of the work space that es_nfc needs for a text of so many bytes. */
size_t es_nfc_work(size_t length);
/* Normalisation form C of valid UTF-8. Writes up to capacity bytes and returns how many there are. */
size_t es_nfc(const uint8_t *text, size_t length, uint8_t *normal, size_t capacity, uint32_t *work);

#endif
