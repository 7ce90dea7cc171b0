// For any CPU: the compiler makes what it can of vectors of four.
#define W 4
#define TARGET
#define BF16 0
#define ROWS 4
#include "wave_kernel.h"

const nat_wave_kernels nat_wave_portable = {"portable", sizeof(element), COLUMNS, size, pack, store, run};
