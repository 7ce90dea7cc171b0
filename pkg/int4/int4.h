// The interface between the C files of this package, and to Go.
#ifndef QAKD_INT4_H
#define QAKD_INT4_H

#include <stddef.h>
#include <stdint.h>

#include "activation.h"

enum {
  INT4_STRIP = 16, // rows that lie interleaved
  INT4_LINE = 64,  // bytes: eight columns of a strip
  INT4_FEW = 8,    // rows of x up to which the decoding kernels are meant
};

typedef struct int4_kernels int4_kernels;

// A weight [rows, cols] in groups of 32 or 128 columns, as doc.go lays it out. The memory belongs to somebody else.
typedef struct {
  int rows, cols, group, asym;
  nat_activation input;
  const uint8_t *strips;
  const float *bias;           // [rows] or NULL
  const int4_kernels *kernels; // that compute with it in a native matrix; see format.c
} nat_int4;

// A group of a strip: 16 scales as fp16, of an asymmetric weight 16 zero points as bytes, and group/8 lines. Byte 4·row+k
// of line j holds the codes u = q - qmin of column 8j+k in its low and of column 8j+4+k in its high nibble.
static inline size_t int4_head(const nat_int4 *w) { return w->asym ? 48 : 32; }
static inline size_t int4_block(const nat_int4 *w) { return int4_head(w) + (size_t)w->group / 8 * INT4_LINE; }
static inline int int4_groups(const nat_int4 *w) { return w->cols / w->group; }
static inline size_t int4_strip(const nat_int4 *w) { return (size_t)int4_groups(w) * int4_block(w); }
static inline size_t int4_strips(const nat_int4 *w) { return ((size_t)w->rows + INT4_STRIP - 1) / INT4_STRIP; }
static inline size_t int4_size(const nat_int4 *w) { return int4_strips(w) * int4_strip(w); }

// Rows of x, quantized, in a room: float scale[M]; int8 code[M][cols]; int32 sum[M][groups], the sums of a group's codes.
// Each part and each row begins on a line of the cache; codes beyond cols are 0. A token that is not finite has the scale
// NaN, and codes 0.
typedef struct {
  float *scale;
  int8_t *code;
  int32_t *sum;
  size_t codes, sums; // from row to row, in elements
} int4_rows;

static inline int4_rows int4_rows_in(const nat_int4 *w, int M, void *room) {
  size_t codes = ((size_t)w->cols + 63) / 64 * 64, sums = ((size_t)int4_groups(w) + 15) / 16 * 16;
  char *at = room;
  int4_rows r = {.codes = codes, .sums = sums};
  r.scale = (float *)at;
  r.code = (int8_t *)(at += ((size_t)M + 15) / 16 * 64);
  r.sum = (int32_t *)(at + (size_t)M * codes);
  return r;
}

// Bytes of a room for M rows, which begins on a line of the cache.
static inline size_t int4_room(const nat_int4 *w, int M) {
  int4_rows r = int4_rows_in(w, M, NULL);
  return ((size_t)M + 15) / 16 * 64 + (size_t)M * (r.codes + 4 * r.sums);
}

// A set of kernels for one kind of CPU. Products are y[m][r] (+)= Σ_k w[r][k]·x[m][k] (+ bias) for rows r0 ≤ r < r1, r0 a
// multiple of 16, and M rows of x.
struct int4_kernels {
  const char *name;
  // Quantizes rows m0 … m1 of x [M, cols], each ldx apart, into the room.
  void (*quantize)(const nat_int4 *w, const float *x, int ldx, int M, int m0, int m1, void *room);
  void (*a8)(const nat_int4 *w, int r0, int r1, const void *room, int M, float *y, int ldy, int add);
  void (*a16)(const nat_int4 *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add);
  // The same for more than INT4_FEW rows; NULL where the above serve.
  void (*a8_many)(const nat_int4 *w, int r0, int r1, const void *room, int M, float *y, int ldy, int add);
  void (*a16_many)(const nat_int4 *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add);
};

extern const int4_kernels int4_portable;
#if defined(__x86_64__)
extern const int4_kernels int4_avx2, int4_avx512vnni, int4_amx;
#endif

const int4_kernels *int4_kernels_at(int i); // those that this CPU can run, slowest first; NULL after the last

// Rows r0 … r1 of a product by the set's kernels for M rows of x; those of a quantized input are in the room.
void int4_product(const int4_kernels *k, const nat_int4 *w, int r0, int r1, const float *x, int ldx, const void *room, int M,
                  float *y, int ldy, int add);

// y [M, rows] = x [M, cols]·Wᵀ (+ bias) on this thread.
void int4_apply(const int4_kernels *k, const nat_int4 *w, const float *x, int M, void *room, float *y);

// Between the layout and pkg/quant's words: word [rows, cols/8], scale [rows, groups] on the scale grid, zero [rows,
// groups] (0…15) of asymmetric weights, else NULL. Rows of padding get the scale 0 and codes that mean 0.
void int4_from_words(const nat_int4 *w, uint8_t *strips, const uint32_t *word, const float *scale, const uint8_t *zero, int s0, int s1);
void int4_to_words(const nat_int4 *w, uint32_t *word, float *scale, uint8_t *zero);
// Rows r0 … r1 as floats, each cols apart.
void int4_dequantize(const nat_int4 *w, int r0, int r1, float *out);

#endif
