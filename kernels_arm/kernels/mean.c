#include "kernel.h"
#include "vec.h"

ES_FAMILY(mean) = {NULL};
