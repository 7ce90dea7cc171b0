// The float kernels for AMX, from their own source.
#include <immintrin.h>

#include "tiles.h"

#define int4_many_a16_amx emulated_many_a16_amx
#include "../many_amx_bf16.c"
