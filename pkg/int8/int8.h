// The interface between the C files of this package, and to Go.
#ifndef QAKD_INT8_H
#define QAKD_INT8_H

#include <stddef.h>
#include <stdint.h>

#include "activation.h"

enum {
  INT8_STRIP = 16, // rows that lie interleaved
  INT8_LINE = 32,  // bytes: two columns of a strip
};

typedef struct int8_kernels int8_kernels;

// A weight [rows, cols] in groups of any number of columns, as doc.go lays it out. The memory belongs to somebody else.
typedef struct {
  int rows, cols, group, asym;
  nat_activation input;
  const uint8_t *strips;
  const int8_kernels *kernels; // that compute with it in a native matrix; see format.c
} nat_int8;

static inline size_t int8_head(const nat_int8 *w) { return w->asym ? 96 : 64; }
static inline size_t int8_lines(const nat_int8 *w) { return ((size_t)w->group + 1) / 2; }
static inline size_t int8_block(const nat_int8 *w) { return int8_head(w) + int8_lines(w) * INT8_LINE; }
static inline int int8_groups(const nat_int8 *w) { return w->cols / w->group; }
static inline size_t int8_strip(const nat_int8 *w) { return (size_t)int8_groups(w) * int8_block(w); }
static inline size_t int8_strips(const nat_int8 *w) { return ((size_t)w->rows + INT8_STRIP - 1) / INT8_STRIP; }
static inline size_t int8_size(const nat_int8 *w) { return int8_strips(w) * int8_strip(w); }

// Rows of x, quantized, in a room: float scale[M]; int16 code[M][codes], of which a group has two for each of its lines.
// Both begin on a line of the cache, and so does each row. A token that is not finite has the scale NaN, and codes 0.
typedef struct {
  float *scale;
  int16_t *code;
  size_t codes; // from row to row
} int8_rows;

static inline size_t int8_codes(const nat_int8 *w) { return ((size_t)int8_groups(w) * int8_lines(w) * 2 + 31) / 32 * 32; }

static inline int8_rows int8_rows_in(const nat_int8 *w, int M, void *room) {
  return (int8_rows){room, (int16_t *)((char *)room + ((size_t)M + 15) / 16 * 64), int8_codes(w)};
}

static inline size_t int8_room(const nat_int8 *w, int M) {
  return ((size_t)M + 15) / 16 * 64 + 2 * (size_t)M * int8_codes(w);
}

// A set of kernels for one kind of CPU. Products are y[m][r] (+)= Σ_k w[r][k]·x[m][k] (+ bias) for rows r0 ≤ r < r1, r0 a
// multiple of 16, and M rows of x; bias is [rows] or NULL.
struct int8_kernels {
  const char *name;
  // Quantizes rows m0 … m1 of x [M, cols], each ldx apart, into the room.
  void (*quantize)(const nat_int8 *w, const float *x, int ldx, int M, int m0, int m1, void *room);
  void (*integer)(const nat_int8 *w, int r0, int r1, const void *room, int M, const float *bias, float *y, int ldy, int add);
  void (*floating)(const nat_int8 *w, int r0, int r1, const float *x, int ldx, int M, const float *bias, float *y, int ldy, int add);
};

extern const int8_kernels int8_portable;
#if defined(__x86_64__)
extern const int8_kernels int8_avx2, int8_avx512;
#endif

const int8_kernels *int8_kernels_at(int i); // those that this CPU can run, slowest first; NULL after the last

// Lays out strips s0 … s1 of pkg/quant's words [rows, ceil(cols·bits/32)], scale [rows, groups] and zero [rows, groups], or
// NULL; where there is one row of scales for all, each = 0, else 1.
void int8_from_words(const nat_int8 *w, int bits, uint8_t *strips, const uint32_t *word, const float *scale, const int32_t *zero, int each, int s0, int s1);
// Rows r0 … r1 as floats, each cols apart.
void int8_dequantize(const nat_int8 *w, int r0, int r1, float *out);

#endif
