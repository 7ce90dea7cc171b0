// For x86-64 CPUs with AVX2 and FMA.
#if defined(__x86_64__)
#include <immintrin.h>

#define W 8
#define TARGET __attribute__((target("avx2,fma")))
#define ROWS_MOST 2
#define WIDEN(p) ((vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p))), 16))
#include "kernels.h"

const nat_kernels nat_avx2 = {"avx2", 0, matmul, rmsnorm, rotate, swiglu, attend, keep};
#endif
