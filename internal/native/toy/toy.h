// A matrix format that is simple enough to be right; see toy.c.
#ifndef QAKD_TOY_H
#define QAKD_TOY_H

#include "native.h"

typedef struct {
  float *w; // [rows, cols]
  int step; // x is rounded to multiples of 1/step; 0: not at all
} toy;

const nat_format *toy_format(int step);
long toy_prepared(void); // rows so far

#endif
