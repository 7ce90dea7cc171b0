// For any CPU: the compiler maps vectors of four floats to what there is (SSE2, NEON).
#define W 4
#define TARGET
#include "kernel.h"

const lat_kernels lat_portable = {"portable", nearest, residual, codes, search, gptq, round_rows, hqq};
