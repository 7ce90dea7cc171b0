// The kernels for many rows and AVX-512 VNNI, from their own source.
#include <immintrin.h>

#define int4_many_a8_avx512vnni int4_emulated_a8_avx512vnni
#define int4_many_a16_avx512 int4_emulated_a16_avx512
#include "../many_avx512vnni.c"
