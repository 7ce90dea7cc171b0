// For x86-64 CPUs with AVX2 and FMA.
#if defined(__x86_64__)
#define W 8
#define TARGET __attribute__((target("avx2,fma")))
#define BF16 0
#define ROWS 4
#include "wave_kernel.h"

const nat_wave_kernels nat_wave_avx2 = {"avx2", sizeof(element), COLUMNS, size, pack, store, run};
#endif
