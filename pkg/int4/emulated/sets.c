// The kernels for few rows and AVX-512 VNNI, and the sets, from their own source.
#include <immintrin.h>

#define int4_avx512vnni int4_emulated_avx512vnni
#define int4_amx int4_emulated_amx
#define int4_many_a8_avx512vnni int4_emulated_a8_avx512vnni
#define int4_many_a16_avx512 int4_emulated_a16_avx512
#define int4_many_a8_amx int4_emulated_a8_amx
#define int4_many_a16_amx int4_emulated_a16_amx
#include "../few_avx512vnni.c"
