/* How the next token is chosen from logits; docs/generation.md defines it for every language. */
#ifndef ES_SAMPLING_H
#define ES_SAMPLING_H

#include <stdbool.h>

#include "edge_sparse.h"

/* O'Neill's PCG-XSH-RR 64/32 on stream 54. */
typedef struct es_pcg32 {
    uint64_t state;
} es_pcg32;

es_pcg32 es_pcg32_start(uint64_t seed);
uint32_t es_pcg32_next(es_pcg32 *random);

/* Memory for a vocabulary; nothing is kept from one choice to the next. */
typedef struct es_sampler {
    uint32_t vocabulary;
    double *scores;
    uint32_t *heap; /* tokens: a heap with the best one on top, and behind it those that were taken, the best last */
    uint8_t *seen;  /* a bit per token */
} es_sampler;

size_t es_sampler_bytes(uint32_t vocabulary);
es_sampler es_sampler_in(uint8_t *memory, uint32_t vocabulary);

bool es_sampling_valid(const es_sampling *sampling);
/* Choose; context holds the tokens that the repetition penalty concerns. ES_LOGITS_NOT_FINITE: there is no best one. */
es_status es_choose_token(es_sampler *sampler, const es_sampling *sampling, const float *logits,
                          const int32_t *context, size_t count, es_pcg32 *random, int32_t *token);

#endif
