// A table of codes; see table.c.
#ifndef QAKD_TABLE_H
#define QAKD_TABLE_H

#include "native.h"

typedef struct {
  const uint32_t *words; // [rows, ceil(cols·bits/32)], the first code in the lowest bits, each more by half of its range
  const float *scale;    // [rows, groups]
  int bits, groups;
} nat_table;

extern const nat_format nat_table_format;

#endif
