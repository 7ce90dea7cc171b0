// The kernels for many rows and AMX, from their own source.
#include <immintrin.h>

#include "tiles.h"

#define int4_many_a8_amx int4_emulated_a8_amx
#include "../many_amx.c"
