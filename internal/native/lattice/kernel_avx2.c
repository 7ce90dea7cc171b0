// For x86-64 CPUs with AVX2 and FMA.
#if defined(__x86_64__)
#include <immintrin.h>

#define W 8
#define TARGET __attribute__((target("avx2,fma")))
#define MIN(a, b) ((vf)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define MAX(a, b) ((vf)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define FMA(a, b, c) ((vf)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#include "kernel.h"

const lat_kernels lat_avx2 = {"avx2", nearest, residual, codes, search, gptq, round_rows, hqq};
#endif
