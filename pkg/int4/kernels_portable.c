// For any CPU.
#define W 4
#define TARGET
#include "product.h"
#include "quantize.h"

const int4_kernels int4_portable = {.name = "portable", .quantize = quantize, .a8 = a8, .a16 = a16};
