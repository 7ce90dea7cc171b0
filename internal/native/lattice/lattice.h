// The interface between the C files of this package, and to Go.
#ifndef QAKD_LATTICE_H
#define QAKD_LATTICE_H

#include <stdint.h>

// The bits of package quant, whatever the instructions: no contraction into FMA.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

// Rules that derive a scale from the weights that share it; the numbers of quant.ScaleMethod.
enum { LAT_ABSMAX, LAT_ABSMAX_HALF, LAT_SIGNED_MAX, LAT_MIN_MAX };

// A weight [n, k], row after row, whose units of width consecutive values share a scale (and a zero point).
typedef struct {
  const float *w;
  long k, width;
  int qmin, qmax, symmetric;
} lat_weight;

// The search for the scales with the least weighted squared error. h, or its float32 copy divided by its mean, is how much
// the columns count; blocks, where not NULL, are the matrices [k/width, width, width] of a quadratic form in their place.
typedef struct {
  lat_weight w;
  const double *h;
  const float *h32, *blocks;
  int points;
  double grid_min, grid_max;
} lat_search;

// One block of GPTQ: columns at … at+b of the permuted order. u [b, b] (row stride ldu) is the block of the Cholesky factor
// on its diagonal; earlier, where not NULL, [n, b] is what the blocks before take away. err [n, k] receives the errors.
typedef struct {
  const float *w;        // [n, k] in the permuted order, as is all else
  const float *u, *earlier;
  long k, ldu, at, b;
  const int64_t *unit; // [b]: column j of row r has scale[r·units + unit[j]]
  const float *scale;
  const int32_t *zero; // or NULL
  long units;          // 0: one for all rows
  int qmin, qmax;
  float *err;
  uint8_t *codes; // [n, k], q - qmin
} lat_gptq;

// Rounding by signed gradients. h [k, k] is symmetric. The error of a row's d = w - value is dᵀ h d; the best of steps + 1
// states of each row is kept. A unit lies within a row.
typedef struct {
  lat_weight w;
  const float *h;
  long steps;
  double rate;   // of the first step, then falling to 0
  float most;    // the factors of a range stay within 1 - most … 1 + most
  float *scale;  // [units]
  int32_t *zero; // [units] or NULL
  uint8_t *codes;
} lat_round;

enum { LAT_ROUND_UNIT = 8 }; // floats that say all of a unit

// Half-quadratic fitting of scales and zero points. h, how much the values of a row count, or of a unit where it is longer,
// is above 0 and goes on with zeros for a vector's length.
typedef struct {
  lat_weight w;
  const float *h;
  double p, beta, growth; // |e|^p; beta is multiplied by growth after each round
  int rounds, starts;
  double least;           // starts are ranges from 1 down to this share of the whole
} lat_hqq;

// A set of kernels for one kind of CPU. Each works on the units, or rows, from … to-1.
typedef struct {
  const char *name;
  // Scales and zero points by a rule, and codes q - qmin where not NULL; the index of a value that is not finite, or -1.
  long (*nearest)(const lat_weight *w, int rule, long from, long to, float *scale, int32_t *zero, uint8_t *codes);
  // d = value(w·s)/s - w for rows of w, s [k], each unit rounded to nearest by a rule.
  void (*residual)(const lat_weight *w, int rule, const float *s, long from, long to, float *d);
  // Codes q - qmin under given scales.
  void (*codes)(const lat_weight *w, const float *scale, const int32_t *zero, long from, long to, uint8_t *codes);
  void (*search)(const lat_search *s, long from, long to, float *scale, int32_t *zero);
  void (*gptq)(const lat_gptq *g, long from, long to);
  void (*round)(const lat_round *r, long from, long to, float *room);
  void (*hqq)(const lat_hqq *q, long from, long to, float *scale, int32_t *zero);
} lat_kernels;

extern const lat_kernels lat_portable;
#if defined(__x86_64__)
extern const lat_kernels lat_avx2, lat_avx512;
#endif
// Go calls no function pointers.
long lat_nearest(const lat_kernels *k, const lat_weight *w, int rule, long from, long to, float *scale, int32_t *zero, uint8_t *codes);
void lat_residual(const lat_kernels *k, const lat_weight *w, int rule, const float *s, long from, long to, float *d);
void lat_codes(const lat_kernels *k, const lat_weight *w, const float *scale, const int32_t *zero, long from, long to, uint8_t *codes);
void lat_search_units(const lat_kernels *k, const lat_search *s, long from, long to, float *scale, int32_t *zero);
void lat_hqq_units(const lat_kernels *k, const lat_hqq *q, long from, long to, float *scale, int32_t *zero);
// out[r][j] = w[r][order[j]], and out[r][order[j]] = codes[r][j], for rows from … to-1 of k columns.
void lat_permute(const float *w, long k, const int64_t *order, long from, long to, float *out);
void lat_restore(const uint8_t *codes, long k, const int64_t *order, long from, long to, uint8_t *out);
void lat_gptq_rows(const lat_kernels *k, const lat_gptq *g, long from, long to);
// room is lat_round_room floats for to - from rows.
void lat_round_rows(const lat_kernels *k, const lat_round *r, long from, long to, float *room);
long lat_round_room(const lat_round *r, long rows);
const lat_kernels *lat_kernels_at(int i); // those that this CPU can run, slowest first; NULL after the last

#endif
