// The interface between the C files of this package, and to Go.
#ifndef QAKD_ADAMW_H
#define QAKD_ADAMW_H

#include <stdint.h>

// No fused multiply-adds: the bits do not depend on whether a CPU has them.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

enum {
  ADAMW_BLOCK = 256, // values that share a largest magnitude
  ADAMW_SUM = 4096,  // squares that are summed by themselves
  ADAMW_LOW = 0x3380, // upper half of the bits of 2^-24: smaller magnitudes are sorted alike
  ADAMW_PIECES = 0x3f80 - ADAMW_LOW + 1, // magnitudes from 2^-24 to 1, by the upper half of their bits
};

enum { ADAMW_F32, ADAMW_BF16 };

// One parameter, and the numbers of its update. Moments are float32 (m, v), or codes (m8, v8) with the largest magnitude
// of each block (mmax, vmax). A bf16 weight is rounded stochastically, by key and the element's index.
typedef struct {
  int64_t n;
  void *weight;
  uint16_t *copy; // or NULL: a bf16 copy of the float32 weight
  const void *grad;
  int weight_kind, grad_kind;
  float *m, *v;
  uint8_t *m8, *v8;
  float *mmax, *vmax;
  float grad_scale, keep1, beta2, keep2, decay, step_size, root2, eps;
  uint32_t key[2];
} adamw_param;

// The code of a magnitude a in [2^-31, 2), nearly, without a look into memory: with l = a·line[0] + line[1] and the first
// code b of a decade, both of the octave u>>23 & 31 for the bits u, it is the whole part of
// t = max(min(l, b - 1/2), min(l/5 + 4b/5, l - 1)), and one more where u > top. Where t is within near of a whole number,
// sort decides.
typedef struct {
  _Alignas(64) float line[2][32], first[32];
  uint32_t top;
  float near;
} adamw_lines;

// What the two kinds of codes stand for: 0 for moments of both signs, 1 for moments that are not negative. The codes of
// magnitudes: sort[u>>16 - LOW] + (u & 0xffff), shifted right by 16, is the code of the magnitude with the bits u.
typedef struct {
  _Alignas(64) float value[2][256];
  _Alignas(64) uint8_t byte[2][4][256]; // of the values, the lowest first
  _Alignas(64) uint32_t sort[2][ADAMW_PIECES];
  adamw_lines lines[2];
} adamw_codes;

extern adamw_codes adamw_book;
void adamw_init(void); // fills it

// Kernels for one kind of CPU. All give the same bits.
typedef struct {
  const char *name;
  void (*update)(const adamw_param *p, int64_t from, int64_t to); // from is a multiple of ADAMW_BLOCK
  void (*squares)(const void *x, int kind, int64_t n, double *sums); // of ADAMW_SUM elements each, the last of fewer
  void (*encode)(const float *x, float largest, int kind, uint8_t *code); // one block
  void (*decode)(const uint8_t *code, float largest, int kind, float *x);
} adamw_kernels;

extern const adamw_kernels adamw_portable;
#if defined(__x86_64__)
extern const adamw_kernels adamw_avx2, adamw_avx512, adamw_vbmi;
#endif
const adamw_kernels *adamw_kernels_at(int i); // that this CPU can run, slowest first; NULL after the last

void adamw_run(const adamw_kernels *k, const adamw_param *p, int count);
void adamw_squares(const adamw_kernels *k, const adamw_param *p, int count, double *sums); // of the gradients, one each
void adamw_encode(const adamw_kernels *k, const float *x, float largest, int kind, uint8_t *code);
void adamw_decode(const adamw_kernels *k, const uint8_t *code, float largest, int kind, float *x);

#endif
