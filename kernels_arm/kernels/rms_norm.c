#include "kernel.h"
#include "vec.h"

ES_FAMILY(rms_norm) = {NULL};
