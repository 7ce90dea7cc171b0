// Many rows of x with float weights: a panel is dequantized once and meets all rows of x while it lies in the first cache.
// Sums run over the columns in order, in pieces of FLOAT_COLS. A set defines
//   FLOAT_PANEL   strips of a panel
//   FLOAT_ROWS    the most rows of x that a block holds in registers
#include "half.h"
#include "int4.h"
#include "vectors.h"

enum { FLOAT_COLS = 256 / FLOAT_PANEL, FLOAT_LANES = FLOAT_PANEL * INT4_STRIP, FLOAT_VECTORS = FLOAT_LANES / W };

// Fills [cols][FLOAT_LANES] with n strips, the lines of cols columns from col on. A line's 32-bit words are rows, so that
// a shift brings a column of a vector of rows. (u - z)·s needs 13 bits: nothing is rounded.
static TARGET void dequantize(const nat_int4 *w, int s, int n, int col, int cols, float *to) {
  const size_t block = int4_block(w), head = int4_head(w);
  memset(to, 0, n < FLOAT_PANEL ? (size_t)cols * FLOAT_LANES * sizeof *to : 0);
  for (int i = 0; i < n * INT4_STRIP; i += W)
    for (int k = 0; k < cols;) {
      const uint8_t *p = w->strips + (size_t)(s + i / INT4_STRIP) * int4_strip(w) + (size_t)((col + k) / w->group) * block;
      const int row = i % INT4_STRIP;
      vf scale = {0}, zero = {0};
      for (int l = 0; l < W; l++) {
        scale[l] = int4_half(p + 2 * (row + l));
        zero[l] = w->asym ? p[32 + row + l] : 8;
      }
      int j = (col + k) % w->group / 8, end = w->group / 8 < j + (cols - k) / 8 ? w->group / 8 : j + (cols - k) / 8;
      for (; j < end; j++, k += 8) {
        vi v;
        memcpy(&v, p + head + j * INT4_LINE + 4 * row, sizeof v);
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) {
          vf low = (__builtin_convertvector(v >> 8 * c & 15, vf) - zero) * scale;
          vf high = (__builtin_convertvector(v >> (8 * c + 4) & 15, vf) - zero) * scale;
          memcpy(to + (size_t)(k + c) * FLOAT_LANES + i, &low, sizeof low);
          memcpy(to + (size_t)(k + c + 4) * FLOAT_LANES + i, &high, sizeof high);
        }
      }
    }
}

// y[m][FLOAT_LANES] (+)= panel · x (+ bias), of M rows; M is a constant where this is called.
INLINE void float_block(const float *panel, int cols, const float *x, int M, const float *bias, float *y, size_t ldy, int add) {
  vf acc[FLOAT_ROWS][FLOAT_VECTORS] = {{{0}}};
  for (int k = 0; k < cols; k++, panel += FLOAT_LANES) {
#pragma GCC unroll 16
    for (int m = 0; m < M; m++) {
      const vf v = x[m * FLOAT_COLS + k] - (vf){0};
#pragma GCC unroll 4
      for (int i = 0; i < FLOAT_VECTORS; i++) acc[m][i] += loadf(panel + i * W) * v;
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; m++, y += ldy)
#pragma GCC unroll 4
    for (int i = 0; i < FLOAT_VECTORS; i++) {
      vf v = acc[m][i];
      if (bias) v += loadf(bias + i * W);
      if (add) v += loadf(y + i * W);
      memcpy(y + i * W, &v, sizeof v);
    }
}

// A function for each M: inlined, what surrounds them would cost registers.
typedef void float_rows(const float *panel, int cols, const float *x, const float *bias, float *y, size_t ldy, int add);

#define FLOAT_BLOCK(M)                                                                                          \
  static __attribute__((noinline)) TARGET void float_##M(const float *panel, int cols, const float *x,           \
                                                         const float *bias, float *y, size_t ldy, int add) {    \
    float_block(panel, cols, x, M, bias, y, ldy, add);                                                          \
  }
FLOAT_BLOCK(1)
FLOAT_BLOCK(2)
#if FLOAT_ROWS > 2
FLOAT_BLOCK(3)
FLOAT_BLOCK(4)
FLOAT_BLOCK(5)
FLOAT_BLOCK(6)
#endif
#if FLOAT_ROWS > 6
FLOAT_BLOCK(7)
FLOAT_BLOCK(8)
FLOAT_BLOCK(9)
FLOAT_BLOCK(10)
FLOAT_BLOCK(11)
FLOAT_BLOCK(12)
#endif

static float_rows *const float_blocks[] = {
    NULL,    float_1, float_2,
#if FLOAT_ROWS > 2
    float_3, float_4, float_5, float_6,
#endif
#if FLOAT_ROWS > 6
    float_7, float_8, float_9, float_10, float_11, float_12,
#endif
};

enum { FLOAT_AT_ONCE = 96 }; // rows of x: a piece of them fits the second cache

// A panel and n rows of x.
static TARGET void float_panel(const float *panel, int cols, const float *piece, int n, const float *bias, float *y, size_t ldy, int add) {
  for (int m = 0, left = (n + FLOAT_ROWS - 1) / FLOAT_ROWS, rows; m < n; m += rows, left--) {
    rows = (n - m + left - 1) / left; // blocks of equal size, but for one row
    float_blocks[rows](panel, cols, piece + m * FLOAT_COLS, bias, y + (size_t)m * ldy, ldy, add);
  }
}

// The last panel of a weight whose rows do not fill it, by way of a copy of y.
static TARGET void float_rest(const float *panel, int cols, const float *piece, int n, const float *bias, int rows, float *y,
                              size_t ldy, int add) {
  float copy[FLOAT_AT_ONCE * FLOAT_LANES] = {0}, whole[FLOAT_LANES] = {0};
  if (bias) memcpy(whole, bias, (size_t)rows * sizeof *bias);
  for (int m = 0; m < n && add; m++) memcpy(copy + m * FLOAT_LANES, y + (size_t)m * ldy, (size_t)rows * sizeof *y);
  float_panel(panel, cols, piece, n, bias ? whole : NULL, copy, FLOAT_LANES, add);
  for (int m = 0; m < n; m++) memcpy(y + (size_t)m * ldy, copy + m * FLOAT_LANES, (size_t)rows * sizeof *y);
}

static TARGET void many_a16(const nat_int4 *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  _Alignas(64) float panel[FLOAT_COLS * FLOAT_LANES], piece[FLOAT_AT_ONCE * FLOAT_COLS];
  for (int m = 0; m < M; m += FLOAT_AT_ONCE) {
    const int n = M - m < FLOAT_AT_ONCE ? M - m : FLOAT_AT_ONCE;
    for (int k = 0; k < w->cols; k += FLOAT_COLS) {
      const int cols = w->cols - k < FLOAT_COLS ? w->cols - k : FLOAT_COLS, more = add || k > 0;
      for (int i = 0; i < n; i++)
        memcpy(piece + i * FLOAT_COLS, x + (size_t)(m + i) * (size_t)ldx + k, (size_t)cols * sizeof *x);
      for (int r = r0; r < r1; r += FLOAT_LANES) {
        const int rows = r1 - r < FLOAT_LANES ? r1 - r : FLOAT_LANES;
        const float *bias = w->bias && k + cols == w->cols ? w->bias + r : NULL;
        float *to = y + (size_t)m * (size_t)ldy + r;
        dequantize(w, r / INT4_STRIP, (rows + INT4_STRIP - 1) / INT4_STRIP, k, cols, panel);
        if (rows == FLOAT_LANES)
          float_panel(panel, cols, piece, n, bias, to, (size_t)ldy, more);
        else
          float_rest(panel, cols, piece, n, bias, rows, to, (size_t)ldy, more);
      }
    }
  }
}
