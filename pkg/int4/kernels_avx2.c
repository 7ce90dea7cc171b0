// For CPUs with AVX2.
#if defined(__x86_64__)
#define W 8
#define TARGET __attribute__((target("avx2,fma,f16c")))
#include "few_float_avx2.h"
#include "many.h"
#include "codes.h"

const int4_kernels int4_avx2 = {.name = "avx2", .quantize = quantize, .a8 = few_a8, .a16 = few_a16,
                                 .a8_many = int4_many_a8_avx2, .a16_many = int4_many_a16_avx2};
#endif
