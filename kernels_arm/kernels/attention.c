#include "kernel.h"
#include "vec.h"

ES_FAMILY(attention) = {NULL};
