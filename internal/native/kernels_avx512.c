// For x86-64 CPUs with AVX-512 (F, BW, DQ, VL), which also read packed weights.
#if defined(__x86_64__)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#include "avx512.h"

static int packed(const nat_matrix *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add);
#define SPECIAL packed
#include "kernels.h"
#include "packed_avx512.h"

const nat_kernels nat_avx512 = {"avx512", 1, matmul, rmsnorm, rotate, swiglu, attend, keep};
#endif
