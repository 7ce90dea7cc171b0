// The kernels, once, for vectors of W floats in the compiler's own vector types. Each kernels_*.c defines
//   W           floats in a vector
//   TARGET      attributes of every function, which let the compiler use the instructions
//   SUM(v)      the sum of a vector's elements, and
//   WIDEN(p)    W bf16 numbers as floats, and
//   WIDEN8(p)   W signed bytes as floats, where the compiler's own code for them is slow
//   ROWS_MOST   the most rows of x that a block of a product holds in registers
// and includes this file. Sums run in W lanes, so that sets of kernels differ by rounding.
#include <math.h>
#include <string.h>

#include "native.h"

#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef uint32_t vu __attribute__((vector_size(4 * W)));
typedef uint16_t vh __attribute__((vector_size(2 * W)));

INLINE vf load(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}

INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }

// bf16 is the upper half of a float32.
#ifndef WIDEN
INLINE vf widen(const uint16_t *p) {
  vh h;
  memcpy(&h, p, sizeof h);
  return (vf)(__builtin_convertvector(h, vu) << 16);
}
#define WIDEN widen
#endif

INLINE float widen1(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

// To the nearest, ties to even.
INLINE uint16_t narrow1(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  if (f != f) return 0x7fc0;
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

#ifndef SUM
INLINE float sum_lanes(vf v) {
  float a[W];
  memcpy(a, &v, sizeof v);
  for (int half = W / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) a[i] += a[i + half];
  return a[0];
}
#define SUM sum_lanes
#endif

// Element i of a row of either kind, and W of them.
INLINE vf get(const void *p, int kind, long i) {
  return kind == NAT_F32 ? load((const float *)p + i) : WIDEN((const uint16_t *)p + i);
}
INLINE float get1(const void *p, int kind, long i) {
  return kind == NAT_F32 ? ((const float *)p)[i] : widen1(((const uint16_t *)p)[i]);
}
INLINE void put(float *y, float v, int add) { *y = add ? *y + v : v; }

// A block of R rows of w and M rows of x: R·M sums in registers. kind, R, M and ahead are constants where this is called.
// Rows are short for the hardware to see a pattern in, so with ahead the rows from there on are fetched meanwhile.
INLINE void block(const nat_matrix *w, int kind, int r, int R, const float *x, int ldx, int M, float *y, int ldy, int add,
                  int ahead, int there) {
  const int K = w->cols, line = kind == NAT_F32 ? 16 : 32;
  const long size = kind == NAT_F32 ? 4 : 2;
  const char *next = (const char *)w->data + (long)there * K * size;
  vf acc[4][8] = {{{0}}};
  int k = 0;
  for (; k + line <= K; k += line) {
    if (ahead)
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) __builtin_prefetch(next + ((long)i * K + k) * size);
#pragma GCC unroll 8
    for (int u = 0; u < line; u += W) {
      vf wv[4];
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) wv[i] = get(w->data, kind, (long)(r + i) * K + k + u);
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        vf xv = load(x + (long)m * ldx + k + u);
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) acc[i][m] += wv[i] * xv;
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; i++) {
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      float s = SUM(acc[i][m]);
      for (int t = k; t < K; t++) s += get1(w->data, kind, (long)(r + i) * K + t) * x[(long)m * ldx + t];
      put(y + (long)m * ldy + r + i, w->bias ? s + w->bias[r + i] : s, add);
    }
  }
}

// Rows of x in blocks that fit the registers; rows r … r+R of w stay in the first cache meanwhile.
INLINE void strip(const nat_matrix *w, int kind, int r, int R, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  const int there = r + 2 * R <= r1 ? r + R : r; // not the rows of another thread
  int m = 0;
#define BLOCKS(most)                                                                                     \
  for (; m + (most) <= M; m += (most)) {                                                                 \
    const float *xm = x + (long)m * ldx;                                                                 \
    float *ym = y + (long)m * ldy;                                                                       \
    if (m == 0)                                                                                          \
      block(w, kind, r, R, xm, ldx, most, ym, ldy, add, 1, there);                                       \
    else                                                                                                 \
      block(w, kind, r, R, xm, ldx, most, ym, ldy, add, 0, there);                                       \
  }
  BLOCKS(ROWS_MOST)
  BLOCKS(2)
  BLOCKS(1)
#undef BLOCKS
}

#define PRODUCT(name, kind)                                                                                       \
  static TARGET void name(const nat_matrix *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, \
                          int add) {                                                                              \
    int r = r0;                                                                                                   \
    for (; r + 4 <= r1; r += 4) strip(w, kind, r, 4, r1, x, ldx, M, y, ldy, add);                                 \
    for (; r < r1; r++) strip(w, kind, r, 1, r1, x, ldx, M, y, ldy, add);                                         \
  }

PRODUCT(product_f32, NAT_F32)
PRODUCT(product_bf16, NAT_BF16)

#ifndef SPECIAL // a set with other ways to a product defines it: whether it took one
#define SPECIAL(w, r0, r1, x, ldx, M, y, ldy, add) 0
#endif

// Many rows of x go in pieces that fit the second cache.
enum { MOST = 48 };
static TARGET void matmul(const nat_matrix *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  if (SPECIAL(w, r0, r1, x, ldx, M, y, ldy, add)) return;
  const int most = w->cols > 2048 ? MOST / 2 : MOST;
  for (int m = 0; m < M; m += most) {
    int n = M - m < most ? M - m : most;
    (w->kind == NAT_F32 ? product_f32 : product_bf16)(w, r0, r1, x + (long)m * ldx, ldx, n, y + (long)m * ldy, ldy, add);
  }
}

static TARGET void rmsnorm(const float *x, const float *w, int n, float eps, float *y) {
  vf sum = {0};
  int i = 0;
  for (; i + W <= n; i += W) {
    vf v = load(x + i);
    sum += v * v;
  }
  float s = SUM(sum);
  for (; i < n; i++) s += x[i] * x[i];
  s = 1 / sqrtf(s / (float)n + eps);
  for (i = 0; i + W <= n; i += W) store(y + i, load(w + i) * (load(x + i) * s));
  for (; i < n; i++) y[i] = w[i] * (x[i] * s);
}

static TARGET void rotate(float *x, const float *cosine, const float *sine, int n) {
  int half = n / 2, i = 0;
  for (; i + W <= half; i += W) {
    vf a = load(x + i), b = load(x + half + i), c = load(cosine + i), s = load(sine + i);
    store(x + i, a * c - b * s);
    store(x + half + i, b * c + a * s);
  }
  for (; i < half; i++) {
    float a = x[i], b = x[half + i];
    x[i] = a * cosine[i] - b * sine[i];
    x[half + i] = b * cosine[i] + a * sine[i];
  }
}

// a where the mask is set, else b.
INLINE vf choose(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }

// eˣ to 2 units in the last place: x = n·ln2 + r, a polynomial for eʳ (Cephes), n into the exponent. Below -87 it is
// e⁻⁸⁷, above 88 e⁸⁸.
INLINE vf exponential(vf x) {
  const vf zero = {0}, low = zero - 87.0f, high = zero + 88.0f;
  x = choose(x < low, low, x);
  x = choose(x > high, high, x);
  vf n = (x * 1.44269504f + 12582912.0f) - 12582912.0f; // to the nearest integer
  vf r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  return p * (vf)((__builtin_convertvector(n, vi) + 127) << 23);
}

INLINE vf gated(vf g, vf u) { return g / (exponential(-g) + 1.0f) * u; }

static TARGET void swiglu(float *gate, const float *up, int n) {
  int i = 0;
  for (; i + W <= n; i += W) store(gate + i, gated(load(gate + i), load(up + i)));
  if (i < n) {
    vf g = {0}, u = {0};
    memcpy(&g, gate + i, (size_t)(n - i) * sizeof(float));
    memcpy(&u, up + i, (size_t)(n - i) * sizeof(float));
    g = gated(g, u);
    memcpy(gate + i, &g, (size_t)(n - i) * sizeof(float));
  }
}

// In place; returns 1/Σ, by which the result is still to be scaled.
INLINE float softmax(float *x, int n) {
  float top = x[0];
  int i = 0;
  if (n >= W) {
    vf most = load(x);
    for (i = W; i + W <= n; i += W) {
      vf v = load(x + i);
      most = choose(v > most, v, most);
    }
    for (int l = 0; l < W; l++) top = most[l] > top ? most[l] : top;
  }
  for (; i < n; i++) top = x[i] > top ? x[i] : top;
  vf sum = {0};
  for (i = 0; i + W <= n; i += W) {
    vf e = exponential(load(x + i) - top);
    store(x + i, e);
    sum += e;
  }
  float s = SUM(sum);
  for (; i < n; i++) s += x[i] = expf(x[i] - top);
  return 1 / s;
}

#ifndef WIDEN8 // W signed bytes as floats
INLINE vf widen8(const int8_t *p) {
  vf v;
  for (int l = 0; l < W; l++) v[l] = (float)p[l];
  return v;
}
#define WIDEN8 widen8
#endif

// W numbers of a row in the cache, and one. Those of NAT_INT8 are codes, still to be multiplied by the row's scale.
INLINE vf cached(const char *row, int kind, int i) { return kind == NAT_INT8 ? WIDEN8((const int8_t *)row + i) : get(row, kind, i); }
INLINE float cached1(const char *row, int kind, int i) { return kind == NAT_INT8 ? (float)((const int8_t *)row)[i] : get1(row, kind, i); }
INLINE float scale_of(const char *row, int kind, int D) {
  float s = 1;
  if (kind == NAT_INT8) memcpy(&s, row + D, sizeof s);
  return s;
}

enum { KEYS_AHEAD = 12 }; // rows that are asked for before they are read

// Scores of N keys with G queries, N and G constant where this is called.
INLINE void scores(const float *q, int G, const char *k, long row, int kind, int N, int D, float scale, float *score, int S) {
  vf sum[4][2] = {{{0}}};
  int i = 0;
#pragma GCC unroll 4
  for (int n = 0; n < N; n++)
    for (long at = 0; at < row; at += 64) __builtin_prefetch(k + (n + KEYS_AHEAD) * row + at);
  for (; i + W <= D; i += W) {
    vf qv[2];
#pragma GCC unroll 2
    for (int g = 0; g < G; g++) qv[g] = load(q + (long)g * D + i);
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      vf kv = cached(k + n * row, kind, i);
#pragma GCC unroll 2
      for (int g = 0; g < G; g++) sum[n][g] += qv[g] * kv;
    }
  }
#pragma GCC unroll 4
  for (int n = 0; n < N; n++)
#pragma GCC unroll 2
    for (int g = 0; g < G; g++) {
      float s = SUM(sum[n][g]);
      for (int t = i; t < D; t++) s += q[(long)g * D + t] * cached1(k + n * row, kind, t);
      score[(long)g * S + n] = s * (scale * scale_of(k + n * row, kind, D));
    }
}

// N vectors of Σ_s p[s]·v[s] from column i on, for G heads.
INLINE void mix(const float *p, int G, const char *v, long row, int kind, int S, int D, int i, int N, const float *scale, float *out) {
  vf a[2][4] = {{{0}}};
  for (int s = 0; s < S; s++)
#pragma GCC unroll 4
    for (int c = 0; c < N; c++) {
      vf x = cached(v + s * row, kind, i + c * W);
#pragma GCC unroll 2
      for (int g = 0; g < G; g++) a[g][c] += p[(long)g * S + s] * x;
    }
#pragma GCC unroll 2
  for (int g = 0; g < G; g++)
#pragma GCC unroll 4
    for (int c = 0; c < N; c++) store(out + (long)g * D + i + c * W, a[g][c] * scale[g]);
}

// G heads of one key head.
INLINE void attend_heads(const float *q, int G, int D, const char *k, const char *v, int kind, int S, float *score, float *out) {
  const float scale = 1 / sqrtf((float)D);
  const long row = nat_row_bytes(kind, D);
  float scaled[2];
  int s = 0, i = 0;
  for (; s + 4 <= S; s += 4) scores(q, G, k + s * row, row, kind, 4, D, scale, score + s, S);
  for (; s < S; s++) scores(q, G, k + s * row, row, kind, 1, D, scale, score + s, S);
  for (int g = 0; g < G; g++) {
    float *p = score + (long)g * S;
    scaled[g] = softmax(p, S);
    if (kind == NAT_INT8)
      for (s = 0; s < S; s++) p[s] *= scale_of(v + s * row, kind, D);
  }
  for (; i + 4 * W <= D; i += 4 * W) mix(score, G, v, row, kind, S, D, i, 4, scaled, out);
  for (; i + W <= D; i += W) mix(score, G, v, row, kind, S, D, i, 1, scaled, out);
  for (; i < D; i++)
    for (int g = 0; g < G; g++) {
      float a = 0;
      for (s = 0; s < S; s++) a += score[(long)g * S + s] * cached1(v + s * row, kind, i);
      out[(long)g * D + i] = a * scaled[g];
    }
}

INLINE void attend_kind(const float *q, int heads, int D, const char *k, const char *v, int kind, int S, float *score, float *out) {
  int g = 0;
  for (; g + 2 <= heads; g += 2) attend_heads(q + (long)g * D, 2, D, k, v, kind, S, score, out + (long)g * D);
  for (; g < heads; g++) attend_heads(q + (long)g * D, 1, D, k, v, kind, S, score, out + (long)g * D);
}

static TARGET void attend(const float *q, int heads, int D, const void *k, const void *v, int kind, int S, float *score, float *out) {
  switch (kind) {
    case NAT_F32: attend_kind(q, heads, D, k, v, NAT_F32, S, score, out); break;
    case NAT_BF16: attend_kind(q, heads, D, k, v, NAT_BF16, S, score, out); break;
    default: attend_kind(q, heads, D, k, v, NAT_INT8, S, score, out);
  }
}

// A row as codes and its scale; one with a number that is not finite has the scale NaN.
INLINE void keep_int8(const float *x, int n, int8_t *to) {
  vf top = {0}, odd = {0};
  int i = 0;
  for (; i + W <= n; i += W) {
    vf v = load(x + i), size = (vf)((vi)v & 0x7fffffff);
    top = choose(size > top, size, top);
    odd += v - v; // 0, or NaN
  }
  float most = 0, scale, o = SUM(odd);
  for (int l = 0; l < W; l++) most = top[l] > most ? top[l] : most;
  for (int t = i; t < n; t++) {
    most = fabsf(x[t]) > most ? fabsf(x[t]) : most;
    o += x[t] - x[t];
  }
  scale = most / 127 + o;
  const float inverse = scale > 0 ? 1 / scale : 0;
  if (scale != scale || inverse == INFINITY) {
    memset(to, 0, (size_t)n);
  } else {
    for (i = 0; i < n; i++) to[i] = (int8_t)(int32_t)((x[i] * inverse + 12582912.0f) - 12582912.0f);
  }
  memcpy(to + n, &scale, sizeof scale);
}

static TARGET void keep(const float *x, int n, int kind, void *to) {
  if (kind == NAT_F32)
    memcpy(to, x, (size_t)n * sizeof(float));
  else if (kind == NAT_BF16)
    for (int i = 0; i < n; i++) ((uint16_t *)to)[i] = narrow1(x[i]);
  else
    keep_int8(x, n, to);
}
