/* The language model's part of the fuzz target. */
#ifndef USE_TEXT_H
#define USE_TEXT_H

#include "model.h"

/* Use the first plan as that of a language model, if it can be. */
void use_text(const es_model *model, uint32_t seed);

#endif
