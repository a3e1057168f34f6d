#include "kernel.h"
#include "vec.h"

ES_FAMILY(pooling) = {NULL};
