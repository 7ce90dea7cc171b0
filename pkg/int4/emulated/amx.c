// The kernels for AMX, from their own source.
#include <immintrin.h>

#include "tiles.h"

#define int4_many_a8_amx emulated_many_a8_amx
#include "../many_amx.c"
#include "../quantize.h"
#include "sets.h"

INT4_A16(emulated_many_a16_amx);

const int4_kernels int4_emulated_amx = {.name = "emulated-amx", .quantize = quantize, .a8 = emulated_many_a8_amx,
                                         .a16 = emulated_many_a16_amx};
