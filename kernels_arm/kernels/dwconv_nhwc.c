#include "kernel.h"
#include "vec.h"

ES_FAMILY(dwconv_nhwc) = {NULL};
