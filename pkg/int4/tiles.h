// AMX by inline assembly: gcc 12's own functions do not tell it which memory they read, so that it drops the stores that
// fill it.
#ifndef QAKD_INT4_TILES_H
#define QAKD_INT4_TILES_H

#include <stdint.h>

// Palette 1: bytes of a row and rows of each tile; 0 of one that is not used.
typedef struct {
  uint8_t palette, start, unused[14];
  uint16_t bytes[16];
  uint8_t rows[16];
} tile_config;

#define TILES_CONFIGURE(c) __asm__ volatile("ldtilecfg %0" : : "m"(*(const tile_config *)(c)))
#define TILES_RELEASE() __asm__ volatile("tilerelease")
#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t : :)
#define TILE_LOAD(t, p, stride) \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t : : "r"((const void *)(p)), "r"((long)(stride)) : "memory")
#define TILE_STORE(t, p, stride) \
  __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" : : "r"((void *)(p)), "r"((long)(stride)) : "memory")
// c += a · b of signed bytes, four to a 32-bit number.
#define TILE_DOT(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
// c += a · b of bf16 numbers, two to a 32-bit one; c is float32.
#define TILE_DOT_BF16(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)

#endif
