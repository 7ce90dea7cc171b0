#include "../int4.h"

extern const int4_kernels int4_emulated_avx512vnni, int4_emulated_amx;
