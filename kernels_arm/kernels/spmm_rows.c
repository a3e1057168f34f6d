#include "kernel.h"
#include "vec.h"

ES_FAMILY(spmm_rows) = {NULL};
