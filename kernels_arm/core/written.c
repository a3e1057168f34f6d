/* See written.h. */
#include "written.h"
uint64_t es_written_bytes(uint32_t steps) { return steps; }
