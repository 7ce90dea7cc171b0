// For any CPU: the compiler maps vectors of four floats to what there is (SSE2, NEON).
#define W 4
#define TARGET
#define ROWS_MOST 2
#include "kernels.h"

const nat_kernels nat_portable = {"portable", 0, matmul, rmsnorm, rotate, swiglu, attend, keep};
