#ifndef QAKD_NATIVE_GROUP_H
#define QAKD_NATIVE_GROUP_H

#include "native.h"

// Products of n matrices with one x on all threads, y one after the other; 0 where memory is short.
int nat_apply_group(nat_pool *pool, const nat_kernels *kernels, const nat_matrix *w, int n, const float *x, int M, float *y);

#endif
