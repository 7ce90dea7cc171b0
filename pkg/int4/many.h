// Products with more than INT4_FEW rows of x, which int4_kernels name a8_many and a16_many.
#ifndef QAKD_INT4_MANY_H
#define QAKD_INT4_MANY_H

#include "int4.h"

#define INT4_A8(name) void name(const nat_int4 *w, int r0, int r1, const void *room, int M, float *y, int ldy, int add)
#define INT4_A16(name) void name(const nat_int4 *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add)

INT4_A8(int4_many_a8_portable);
INT4_A16(int4_many_a16_portable);
INT4_A8(int4_many_a8_avx2);
INT4_A16(int4_many_a16_avx2);
INT4_A8(int4_many_a8_avx512vnni);
INT4_A16(int4_many_a16_avx512);
INT4_A8(int4_many_a8_amx);
INT4_A16(int4_many_a16_amx);

int int4_tiles_permitted(void); // whether the CPU has tiles of int8 and bf16, and the system lets this process use them

#endif
