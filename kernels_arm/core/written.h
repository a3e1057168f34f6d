/* What a plan's steps have written to the arena so far, and whether a tensor is there to be read. */
#ifndef ES_WRITTEN_H
#define ES_WRITTEN_H

#include "footprint.h"
#include "reader.h"

/* Memory for the results of so many steps. */
uint64_t es_written_bytes(uint32_t steps);
/* Begin a plan. */
void es_written_clear(es_written *written, es_reader *reader);
void es_written_add(es_written *written, const es_tensor *tensor);
/* The rule that reading the tensor breaks, ES_OK if none. */
es_status es_written_problem(es_written *written, const es_tensor *tensor);

#endif
