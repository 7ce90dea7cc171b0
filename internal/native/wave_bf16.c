// For x86-64 CPUs whose AVX-512 multiplies bf16 (BF16, with F, BW and VL).
#if defined(__x86_64__)
#include <immintrin.h>

#define W 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,avx2,fma")))
#define BF16 1
#define ROWS 8
#include "wave_kernel.h"

const nat_wave_kernels nat_wave_bf16 = {"avx512bf16", sizeof(element), COLUMNS, size, pack, store, run};
#endif
