// For x86-64 CPUs with AVX2.
#if defined(__x86_64__)
#include <immintrin.h>

#define W 8
#define TARGET __attribute__((target("avx2")))
#define ROOT(v) ((vf)_mm256_sqrt_ps((__m256)(v)))
#define LOOKUP(table, i) ((vu)_mm256_i32gather_epi32((const int *)(table), (__m256i)(i), 4))
#include "kernel.h"

const adamw_kernels adamw_avx2 = {"avx2", update, squares, encode_block, decode_block};
#endif
