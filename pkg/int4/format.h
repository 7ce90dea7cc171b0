#ifndef QAKD_INT4_FORMAT_H
#define QAKD_INT4_FORMAT_H

#include "int4.h"
#include "native.h"

extern const nat_format int4_format;

#endif
