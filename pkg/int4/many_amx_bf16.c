// Many rows of x with float weights in AMX, whose tiles of bf16 are five times as fast as AVX-512's fused multiply-adds.
// Codes less their zero points are small integers, which bf16 holds; a float is the sum of three bf16 numbers of eight
// bits each, so that three products of tiles multiply floats. Sums are float32, scaled group by group. Tiles take
// subnormal numbers for 0, so that x under 2⁻¹¹⁰ loses bits.
#if defined(__x86_64__)
#include <immintrin.h>

#include "tiles.h"

#define W 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#include "half.h"
#include "many.h"
#include "vectors.h"

enum {
  STRIPS = 2,  // of a panel
  COLS = 256,  // of a panel
  STEP = 32,   // columns of a tile
  TILE = 16,   // rows of a tile
  ROWS = 96,   // rows of x at once: their pieces fit the second cache
  PARTS = 3,   // bf16 numbers of a float
  LANES = STRIPS * INT4_STRIP,
};

typedef uint16_t vh __attribute__((vector_size(2 * W)));
typedef uint32_t vu __attribute__((vector_size(4 * W)));

typedef struct {
  _Alignas(64) uint16_t code[STRIPS][COLS / 2][INT4_STRIP][2]; // 16 rows of two columns
  _Alignas(64) float scale[COLS / STEP][STRIPS][INT4_STRIP];   // of each step's group
} panel;

typedef struct {
  _Alignas(64) uint16_t part[PARTS][ROWS][COLS];
} pieces;

INLINE void put_upper(uint16_t *p, vf v) {
  const vh h = __builtin_convertvector((vu)v >> 16, vh);
  memcpy(p, &h, sizeof h);
}

// Cuts M rows of x to their parts, the upper half of what the ones before have left.
static TARGET void cut(const float *x, size_t ldx, int M, int cols, pieces *to) {
  for (int m = 0; m < M; m++)
    for (int k = 0; k < cols; k += W) {
      const vf all = loadf(x + (size_t)m * ldx + k);
      const vf high = (vf)((vu)all & 0xffff0000u), rest = all - high, middle = (vf)((vu)rest & 0xffff0000u);
      put_upper(to->part[0][m] + k, high);
      put_upper(to->part[1][m] + k, middle);
      put_upper(to->part[2][m] + k, rest - middle);
    }
}

// Strips s … s+n of columns k … k+cols. A line's 32-bit words are rows, of which a shift brings two columns.
static TARGET void unpack_bf16(const nat_int4 *w, int s, int n, int k, int cols, panel *to) {
  const size_t block = int4_block(w), head = int4_head(w);
  if (n < STRIPS) memset(to, 0, sizeof *to); // the weight ends with half a panel
  for (int i = 0; i < n; i++)
    for (int c = 0; c < cols; c += STEP) {
      const int column = k + c;
      const uint8_t *p = w->strips + (size_t)(s + i) * int4_strip(w) + (size_t)(column / w->group) * block;
      vi zero = (vi){0} + 8;
      for (int l = 0; l < W; l++) {
        to->scale[c / STEP][i][l] = int4_half(p + 2 * l);
        if (w->asym) zero[l] = p[32 + l];
      }
      const uint8_t *line = p + head + column % w->group / 8 * INT4_LINE;
      for (int j = 0; j < STEP; j += 8, line += INT4_LINE) {
        vi v;
        memcpy(&v, line, sizeof v);
#pragma GCC unroll 4
        for (int t = 0; t < 4; t++) { // two columns: of the low nibbles, or of the high ones
          const int at = 4 * (t / 2) + 16 * (t % 2);
          const vf a = __builtin_convertvector((v >> at & 15) - zero, vf), b = __builtin_convertvector((v >> (at + 8) & 15) - zero, vf);
          const vu both = (vu)a >> 16 | ((vu)b & 0xffff0000u);
          memcpy(to->code[i][(c + j) / 2 + t], &both, sizeof both);
        }
      }
    }
}

INLINE void configure(int rows0, int rows1) {
  tile_config c = {.palette = 1};
  for (int t = 0; t < 8; t++) {
    c.rows[t] = (uint8_t)(t >= 6 ? TILE : t == 2 || t == 3 || t == 5 ? rows1 : rows0);
    c.bytes[t] = c.rows[t] == 0 ? 0 : 64;
  }
  TILES_CONFIGURE(&c);
}

// A step of columns, of rows of x from m on, into tiles 0 … 3; first: they begin at 0; two: of 32 rows of x, not 16.
INLINE void step(const panel *p, const pieces *x, int k, int m, int first, int two) {
  if (first) {
    TILE_ZERO(0);
    TILE_ZERO(1);
    if (two) {
      TILE_ZERO(2);
      TILE_ZERO(3);
    }
  }
  TILE_LOAD(6, p->code[0][k / 2], INT4_LINE);
  TILE_LOAD(7, p->code[1][k / 2], INT4_LINE);
#pragma GCC unroll 3
  for (int i = PARTS - 1; i >= 0; i--) { // the smallest first
    TILE_LOAD(4, x->part[i][m] + k, sizeof x->part[i][m]);
    TILE_DOT_BF16(0, 4, 6);
    TILE_DOT_BF16(1, 4, 7);
    if (two) {
      TILE_LOAD(5, x->part[i][m + TILE] + k, sizeof x->part[i][m]);
      TILE_DOT_BF16(2, 5, 6);
      TILE_DOT_BF16(3, 5, 7);
    }
  }
}

INLINE void fold(float (*sums)[TILE][TILE], const float (*scale)[INT4_STRIP], int rows, float *total) {
  const vf s0 = loadf(scale[0]), s1 = loadf(scale[1]);
  for (int m = 0; m < rows; m++, total += LANES) {
    const vf a = loadf(total) + loadf(sums[0][m]) * s0, b = loadf(total + W) + loadf(sums[1][m]) * s1;
    memcpy(total, &a, sizeof a);
    memcpy(total + W, &b, sizeof b);
  }
}

// total += panel · rows m … of x. The sums of a group are folded while the tiles work on the next.
INLINE void bf16_block(const panel *p, const pieces *x, int cols, int group, int m, int rows0, int rows1, float *total) {
  _Alignas(64) float sums[2][4][TILE][TILE];
  const int steps = (group < COLS ? group : COLS) / STEP;
  for (int k = 0, turn = 0; k <= cols; k += steps * STEP, turn ^= 1) {
    if (k < cols)
      for (int i = 0; i < steps; i++) step(p, x, k + i * STEP, m, i == 0, rows1 > 0);
    if (k > 0) {
      fold(sums[turn ^ 1], p->scale[k / STEP - 1], rows0, total);
      fold(sums[turn ^ 1] + 2, p->scale[k / STEP - 1], rows1, total + TILE * LANES);
    }
    if (k < cols) {
      TILE_STORE(0, sums[turn][0], 64);
      TILE_STORE(1, sums[turn][1], 64);
      if (rows1 > 0) {
        TILE_STORE(2, sums[turn][2], 64);
        TILE_STORE(3, sums[turn][3], 64);
      }
    }
  }
}

// y (+)= total (+ bias), of the rows of w that there are.
INLINE void put_rows(const float *total, const float *bias, int rows, float *y, int add) {
  for (int i = 0; i < rows; i++) {
    const float v = bias ? total[i] + bias[i] : total[i];
    y[i] = add ? y[i] + v : v;
  }
}

static TARGET void many_a16_bf16(const nat_int4 *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  panel p;
  pieces piece;
  _Alignas(64) float total[2 * TILE * LANES];
  for (int from = 0; from < M; from += ROWS)
    for (int k = 0; k < w->cols; k += COLS) {
      const int most = M - from < ROWS ? M - from : ROWS, cols = w->cols - k < COLS ? w->cols - k : COLS;
      cut(x + (size_t)from * (size_t)ldx + k, (size_t)ldx, most, cols, &piece);
      for (int r = r0; r < r1; r += LANES) {
        const int rows = r1 - r < LANES ? r1 - r : LANES;
        const float *bias = w->bias && k + cols == w->cols ? w->bias + r : NULL;
        unpack_bf16(w, r / INT4_STRIP, (rows + INT4_STRIP - 1) / INT4_STRIP, k, cols, &p);
        for (int m = 0; m < most; m += 2 * TILE) {
          const int n = most - m < 2 * TILE ? most - m : 2 * TILE, n0 = n < TILE ? n : TILE;
          if (m == 0 || n < 2 * TILE) configure(n0, n - n0);
          memset(total, 0, sizeof total);
          bf16_block(&p, &piece, cols, w->group, m, n0, n - n0, total);
          for (int i = 0; i < n; i++) put_rows(total + i * LANES, bias, rows, y + (size_t)(from + m + i) * (size_t)ldy + r, add || k > 0);
        }
      }
    }
  TILES_RELEASE();
}

INT4_A16(int4_many_a16_amx) { many_a16_bf16(w, r0, r1, x, ldx, M, y, ldy, add); }
#endif
