// The set of kernels for AVX-512 VNNI, from its own source.
#include <immintrin.h>

#define int4_many_a8_avx512vnni emulated_many_a8
#define int4_many_a16_avx512 emulated_many_a16
#include "../many_avx512vnni.c"
#include "../quantize.h"
#include "sets.h"

const int4_kernels int4_emulated_avx512vnni = {.name = "emulated-avx512vnni", .quantize = quantize,
                                                .a8 = emulated_many_a8, .a16 = emulated_many_a16};
