#include "kernel.h"
#include "vec.h"

ES_FAMILY(spmm_integer) = {NULL};
