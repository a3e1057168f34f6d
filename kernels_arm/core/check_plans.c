/* Flow */
#include "reader.h"
bool es_check_plans(es_reader *reader) { return reader->model != NULL; }
