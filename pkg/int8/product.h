// The kernels, once, for vectors of W floats. Before this is included, a set defines W, TARGET and
//   MADD(a, b)     the sums of the products of pairs of int16, where the CPU has an instruction for them
//   COLUMN(p, c)   column c of the two at p as floats times COLUMN_TIMES, where that is faster than widening both
// A lane is a row of a strip, so that sums of groups need no adding across lanes. Each line of weights is read once, from
// memory, and meets up to MOST rows of x; of more, it then lies in a cache.
#define CODE int16_t
#include "int8.h"
#include "quantize.h"

enum { V = INT8_STRIP / W, MOST = 4 };

typedef int16_t vs __attribute__((vector_size(4 * W)));
typedef int8_t vc __attribute__((vector_size(2 * W)));
typedef int16_t vz __attribute__((vector_size(2 * W)));

#ifndef MADD
INLINE vi pairs(vs a, vs b) {
  const vi u = (vi)a, v = (vi)b;
  return (u << 16 >> 16) * (v << 16 >> 16) + (u >> 16) * (v >> 16);
}
#define MADD pairs
#endif

// Keeps a product of floats from being fused with what is added to it, which pkg/quant rounds twice.
#ifndef HOLD
#if defined(__x86_64__)
#define HOLD(v) __asm__("" : "+x"(v))
#define ORDER HOLD // from adding in another order, for which the registers are too few
#else
#define HOLD(v) __asm__("" : "+m"(v))
#define ORDER(v)
#endif
#endif

// Two columns of W rows, less the zero points.
INLINE vs weights(const uint8_t *p, int asym, vs zero) {
  vc v;
  memcpy(&v, p, sizeof v);
  const vs w = __builtin_convertvector(v, vs);
  return asym ? w - zero : w;
}

INLINE vi zeros(const uint8_t *p) {
  vz v;
  memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, vi);
}

#ifdef COLUMN
#define TIMES(asym) ((asym) ? 1 : COLUMN_TIMES)
#else
#define COLUMN(p, c) widened(p, c, 0, (vs){0})
#define TIMES(asym) 1
#endif

// Column 0 or 1 of two as floats; a pair's first is the lower half of a lane, for bytes are little-endian.
INLINE vf widened(const uint8_t *p, int c, int asym, vs zero) {
  const vs w = weights(p, asym, zero);
  return __builtin_convertvector(c ? (vi)w >> 16 : (vi)w << 16 >> 16, vf);
}

INLINE vf floats(const uint8_t *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}

// W rows of y, of which n are real.
INLINE void put(vf v, int r, int n, const float *bias, float *y, int add) {
  if (n >= W) {
    if (bias) v += loadf(bias + r);
    if (add) v += loadf(y + r);
    memcpy(y + r, &v, sizeof v);
    return;
  }
  for (int l = 0; l < n; l++) {
    const float f = bias ? v[l] + bias[r + l] : v[l];
    y[r + l] = add ? y[r + l] + f : f;
  }
}

static TARGET void quantize(const nat_int8 *w, const float *x, int ldx, int M, int m0, int m1, void *room) {
  const int8_rows to = int8_rows_in(w, M, room);
  for (int m = m0; m < m1; m++)
    quantize_row(&w->input, x + (size_t)m * (size_t)ldx, w->cols, w->group, to.scale + m, to.code + (size_t)m * to.codes, 2 * int8_lines(w), to.codes, NULL);
}

// A strip and M rows of x; asym and M are constants where this is called.
INLINE void some_integer(const nat_int8 *w, int r, int r1, int asym, const int8_rows *x, int m0, int M, const float *bias, float *y, int ldy, int add) {
  const size_t head = asym ? 96 : 64, lines = int8_lines(w);
  const int groups = int8_groups(w);
  const int16_t *code = x->code + (size_t)m0 * x->codes;
  const uint8_t *p = w->strips + (size_t)(r / INT8_STRIP) * int8_strip(w);
  vf total[MOST][V] = {{{0}}};
  for (int g = 0; g < groups; g++) {
    vi dot[MOST][V];
    vs zero[V];
#pragma GCC unroll 4
    for (int i = 0; i < V; i++) {
#pragma GCC unroll 4
      for (int m = 0; m < M; m++) dot[m][i] = (vi){0};
      const vi z = asym ? zeros(p + 64 + 2 * W * i) : (vi){0};
      zero[i] = (vs)((z & 0xffff) | z << 16);
    }
    const uint8_t *line = p + head;
    for (size_t j = 0; j < lines; j++, line += INT8_LINE, code += 2) {
      vs x2[MOST];
#pragma GCC unroll 4
      for (int m = 0; m < M; m++) {
        int32_t two;
        memcpy(&two, code + (size_t)m * x->codes, sizeof two);
        x2[m] = (vs)(two - (vi){0});
      }
#pragma GCC unroll 4
      for (int i = 0; i < V; i++) {
        const vs v = weights(line + 2 * W * i, asym, zero[i]);
#pragma GCC unroll 4
        for (int m = 0; m < M; m++) dot[m][i] += MADD(v, x2[m]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < V; i++) {
      const vf scale = floats(p + 4 * W * i);
#pragma GCC unroll 4
      for (int m = 0; m < M; m++) {
        vf v = __builtin_convertvector(dot[m][i], vf) * scale;
        HOLD(v);
        total[m][i] += v;
      }
    }
    p = line;
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int i = 0; i < V; i++) {
      vf v = total[m][i] * x->scale[m0 + m];
      HOLD(v);
      put(v, r + W * i, r1 - r - W * i, bias, y + (size_t)(m0 + m) * (size_t)ldy, add);
    }
}

enum { PIECE = 128 }; // columns of floats that are summed before they are added to the others: wide groups lose less so

// Lines of a piece of a group, n of them whole, and an odd column behind those, for M rows of x. With few rows, sums of their own for
// odd lines and columns keep the adders busy.
INLINE void dots(const uint8_t *line, size_t n, int odd, int asym, const vs *zero, const float *x, size_t ldx, int M, vf dot[MOST][V][4]) {
  const int ways = M == 1 ? 4 : M == 2 ? 2 : 1;
#define COLUMNS(l, cols)                                                                                       \
  _Pragma("GCC unroll 2") for (int c = 0; c < (cols); c++) {                                                   \
    vf f[V];                                                                                                   \
    _Pragma("GCC unroll 4") for (int i = 0; i < V; i++) {                                                      \
      const uint8_t *p = line + (l) * INT8_LINE + 2 * W * i;                                                   \
      f[i] = asym ? widened(p, c, asym, zero[i]) : COLUMN(p, c);                                               \
    }                                                                                                          \
    _Pragma("GCC unroll 4") for (int m = 0; m < M; m++) {                                                      \
      const float by = x[(size_t)m * ldx + 2 * (l) + (size_t)c];                                               \
      _Pragma("GCC unroll 4") for (int i = 0; i < V; i++) {                                                    \
        vf *to = &dot[m][i][(2 * (l) + c) % ways];                                                             \
        *to += f[i] * by;                                                                                      \
        ORDER(*to);                                                                                            \
      }                                                                                                        \
    }                                                                                                          \
  }
  for (; n >= 2; n -= 2, line += 2 * INT8_LINE, x += 4) {
    COLUMNS(0, 2)
    COLUMNS(1, 2)
  }
  if (n) {
    COLUMNS(0, 2)
    line += INT8_LINE, x += 2;
  }
  if (odd) COLUMNS(0, 1)
#undef COLUMNS
}

INLINE void some_floating(const nat_int8 *w, int r, int r1, int asym, const float *x, int ldx, int M, const float *bias, float *y, int ldy, int add) {
  const size_t head = asym ? 96 : 64, block = int8_block(w);
  const int groups = int8_groups(w);
  const uint8_t *p = w->strips + (size_t)(r / INT8_STRIP) * int8_strip(w);
  vf total[MOST][V] = {{{0}}};
  for (int g = 0; g < groups; g++, p += block) {
    vs zero[V];
#pragma GCC unroll 4
    for (int i = 0; i < V; i++) {
      const vi z = asym ? zeros(p + 64 + 2 * W * i) : (vi){0};
      zero[i] = (vs)((z & 0xffff) | z << 16);
    }
    const uint8_t *line = p + head;
    for (int left = w->group; left > 0; left -= PIECE, line += PIECE / 2 * INT8_LINE) {
      const int cols = left < PIECE ? left : PIECE;
      vf dot[MOST][V][4];
#pragma GCC unroll 4
      for (int i = 0; i < V; i++)
#pragma GCC unroll 4
        for (int m = 0; m < M; m++) dot[m][i][0] = dot[m][i][1] = dot[m][i][2] = dot[m][i][3] = (vf){0};
      dots(line, (size_t)cols / 2, cols % 2, asym, zero, x, (size_t)ldx, M, dot);
      x += cols;
#pragma GCC unroll 4
      for (int i = 0; i < V; i++) {
        const vf scale = floats(p + 4 * W * i) * TIMES(asym);
#pragma GCC unroll 4
        for (int m = 0; m < M; m++) total[m][i] += ((dot[m][i][0] + dot[m][i][1]) + (dot[m][i][2] + dot[m][i][3])) * scale;
      }
    }
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int i = 0; i < V; i++) put(total[m][i], r + W * i, r1 - r - W * i, bias, y + (size_t)m * (size_t)ldy, add);
}

// A function for each number of rows and kind of weight.
#define SOME(name, M, asym)                                                                                                  \
  static __attribute__((noinline)) TARGET void integer_##name(const nat_int8 *w, int r, int r1, const int8_rows *x, int m0,  \
                                                              const float *bias, float *y, int ldy, int add) {               \
    some_integer(w, r, r1, asym, x, m0, M, bias, y, ldy, add);                                                               \
  }                                                                                                                          \
  static __attribute__((noinline)) TARGET void floating_##name(const nat_int8 *w, int r, int r1, const float *x, int ldx,    \
                                                               const float *bias, float *y, int ldy, int add) {              \
    some_floating(w, r, r1, asym, x, ldx, M, bias, y, ldy, add);                                                             \
  }
SOME(one, 1, 0)
SOME(two, 2, 0)
SOME(four, MOST, 0)
SOME(one_asym, 1, 1)
SOME(two_asym, 2, 1)
SOME(four_asym, MOST, 1)

static TARGET void integer(const nat_int8 *w, int r0, int r1, const void *room, int M, const float *bias, float *y, int ldy, int add) {
  const int8_rows x = int8_rows_in(w, M, (void *)(uintptr_t)room);
  for (int r = r0; r < r1; r += INT8_STRIP) {
    int m = 0;
#define ROWS(n, name) \
  for (; m + (n) <= M; m += (n)) (w->asym ? integer_##name##_asym : integer_##name)(w, r, r1, &x, m, bias, y, ldy, add);
    ROWS(MOST, four)
    ROWS(2, two)
    ROWS(1, one)
#undef ROWS
  }
}

static TARGET void floating(const nat_int8 *w, int r0, int r1, const float *x, int ldx, int M, const float *bias, float *y, int ldy, int add) {
  for (int r = r0; r < r1; r += INT8_STRIP) {
    int m = 0;
#define ROWS(n, name)                                                                                                      \
  for (; m + (n) <= M; m += (n))                                                                                           \
    (w->asym ? floating_##name##_asym : floating_##name)(w, r, r1, x + (size_t)m * (size_t)ldx, ldx, bias,                 \
                                                         y + (size_t)m * (size_t)ldy, ldy, add);
    ROWS(MOST, four)
    ROWS(2, two)
    ROWS(1, one)
#undef ROWS
  }
}
