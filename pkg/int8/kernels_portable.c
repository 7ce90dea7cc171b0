// For any CPU.
#define W 4
#define TARGET
#include "product.h"

const int8_kernels int8_portable = {"portable", quantize, integer, floating};
