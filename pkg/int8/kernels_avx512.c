// For CPUs with AVX-512.
#if defined(__x86_64__)
#include <immintrin.h>

#define W 16
#define TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#define MADD(a, b) ((vi)_mm512_madd_epi16((__m512i)(a), (__m512i)(b)))
#define HOLD(v) __asm__("" : "+v"(v))
#define ORDER HOLD
#include "product.h"

const int8_kernels int8_avx512 = {"avx512", quantize, integer, floating};
#endif
