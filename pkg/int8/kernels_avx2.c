// For CPUs with AVX2.
#if defined(__x86_64__)
#include <immintrin.h>

#define W 8
#define TARGET __attribute__((target("avx2,fma")))
#define MADD(a, b) ((vi)_mm256_madd_epi16((__m256i)(a), (__m256i)(b)))
#include "product.h"

const int8_kernels int8_avx2 = {"avx2", quantize, integer, floating};
#endif
