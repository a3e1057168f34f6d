#include "kernel.h"
#include "vec.h"

ES_FAMILY(delta_attention) = {NULL};
