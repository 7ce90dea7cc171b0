// For any CPU.
#define W 4
#define TARGET
#include "many.h"
#include "product.h"
#include "codes.h"

const int4_kernels int4_portable = {.name = "portable", .quantize = quantize, .a8 = a8, .a16 = a16,
                                     .a8_many = int4_many_a8_portable, .a16_many = int4_many_a16_portable};
