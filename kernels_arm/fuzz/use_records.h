/* The tokenizer's and the picture's part of the fuzz target. */
#ifndef USE_RECORDS_H
#define USE_RECORDS_H

#include "model.h"

void use_tokenizer(const es_model *model, uint32_t seed);
void use_image(const es_model *model, uint32_t seed);

#endif
