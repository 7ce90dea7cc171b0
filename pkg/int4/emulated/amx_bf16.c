// The float kernels for many rows and AMX, from their own source.
#include <immintrin.h>

#include "tiles.h"

#define int4_many_a16_amx int4_emulated_a16_amx
#include "../many_amx_bf16.c"
