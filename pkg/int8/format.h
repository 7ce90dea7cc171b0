// A packed weight as a matrix of internal/native.
#ifndef QAKD_INT8_FORMAT_H
#define QAKD_INT8_FORMAT_H

#include "int8.h"
#include "native.h"

extern const nat_format int8_format;

#endif
