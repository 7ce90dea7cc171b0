// For x86-64 CPUs with AVX-512 (F).
#if defined(__x86_64__)
#define W 16
#define TARGET __attribute__((target("avx512f,avx2,fma")))
#define BF16 0
#define ROWS 8
#include "wave_kernel.h"

const nat_wave_kernels nat_wave_avx512 = {"avx512", sizeof(element), COLUMNS, size, pack, store, run};
#endif
