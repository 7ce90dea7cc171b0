// The kernels, once, for vectors of W floats in the compiler's own vector types. Each kernel_*.c defines
//   W              floats in a vector
//   TARGET         attributes of every function, which let the compiler use the instructions
//   MIN, MAX, FMA  where the compiler's own code for them is slow
// and includes this file. The compiler contracts nothing into fused multiply-adds: where FMA is not written, the bits are
// those of package quant and do not depend on the set of kernels.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lattice.h"

#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef uint8_t vb __attribute__((vector_size(W)));

INLINE vf load(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}

INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }

INLINE vf fill(float x) { return (vf){0} + x; }

INLINE vf pick(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }

#ifndef MIN
#define MIN(a, b) pick((a) < (b), a, b)
#define MAX(a, b) pick((a) > (b), a, b)
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

// Numbers of less than 2^22 are rounded half to even by adding and subtracting this.
#define MAGIC 12582912.0f

INLINE float nearest_even(float x) { return (x + MAGIC) - MAGIC; }

INLINE float sum_of(vf v) {
  float a[W];
  memcpy(a, &v, sizeof v);
  for (int half = W / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) a[i] += a[i + half];
  return a[0];
}

// The scale grid of package quant: 8 significant bits within 2^-14 … 65280.
INLINE float on_grid(float x) {
  if (!(x > 0x1p-14f)) return 0x1p-14f; // NaN does not come here
  if (x >= 65280.0f) return 65280.0f;
  uint32_t u;
  memcpy(&u, &x, 4);
  u += 0x7fff + (u >> 16 & 1);
  u &= ~0xffffu;
  memcpy(&x, &u, 4);
  return x;
}

typedef struct {
  float scale, lo, hi; // codes less the zero point lie in lo … hi
  int32_t zero;
} lat_unit;

// With the zero point z, codes less z.
INLINE lat_unit unit_of(const lat_weight *w, float scale, int32_t zero) {
  return (lat_unit){scale, (float)(w->qmin - zero), (float)(w->qmax - zero), zero};
}

// The smallest and the largest of n values and 0; whether all are finite.
INLINE int span_of(const float *x, long n, float *low, float *high) {
  vf lo = {0}, hi = {0}, bad = {0};
  long i = 0;
  for (; i + W <= n; i += W) {
    vf v = load(x + i);
    lo = MIN(v, lo);
    hi = MAX(v, hi);
    bad += v - v;
  }
  float a = 0, b = 0, odd = sum_of(bad);
  for (int j = 0; j < W; j++) {
    if (lo[j] < a) a = lo[j];
    if (hi[j] > b) b = hi[j];
  }
  for (; i < n; i++) {
    if (x[i] < a) a = x[i];
    if (x[i] > b) b = x[i];
    odd += x[i] - x[i];
  }
  *low = a;
  *high = b;
  return odd == 0;
}

INLINE int32_t limit(float z, int qmin, int qmax) { return z < qmin ? qmin : z > qmax ? qmax : (int32_t)z; }

// The parameters of values within lo … hi by a rule, in the arithmetic of quant.InitQParams.
INLINE lat_unit by_rule(const lat_weight *w, int rule, float lo, float hi) {
  const float a = -lo > hi ? -lo : hi, qmax = (float)w->qmax;
  float raw = a / qmax;
  if (rule == LAT_ABSMAX_HALF) raw = a / (qmax + 0.5f);
  if (rule == LAT_SIGNED_MAX && -lo > hi) raw = a / (qmax + 1);
  if (rule == LAT_MIN_MAX) raw = (hi - lo) / (qmax - (float)w->qmin);
  const float scale = on_grid(raw);
  return unit_of(w, scale, w->symmetric ? 0 : limit(rintf(-lo / scale), w->qmin, w->qmax));
}

// Rounded quotients within the codes: what is multiplied with the scale.
INLINE vf steps_of(vf v, vf scale, vf lo, vf hi) { return (MAX(MIN(v / scale, hi), lo) + MAGIC) - MAGIC; }

INLINE float step_of(float v, const lat_unit *u) {
  float q = v / u->scale;
  if (q > u->hi) q = u->hi;
  if (q < u->lo) q = u->lo;
  return nearest_even(q);
}

INLINE void put_codes(const float *x, long n, const lat_unit *u, uint8_t *code) {
  const vf scale = fill(u->scale), lo = fill(u->lo), hi = fill(u->hi);
  long i = 0;
  for (; i + W <= n; i += W) {
    vi q = __builtin_convertvector(steps_of(load(x + i), scale, lo, hi) - lo, vi);
    vb b = __builtin_convertvector(q, vb);
    memcpy(code + i, &b, sizeof b);
  }
  for (; i < n; i++) code[i] = (uint8_t)(step_of(x[i], u) - u->lo);
}

static TARGET long nearest(const lat_weight *w, int rule, long from, long to, float *scale, int32_t *zero, uint8_t *code) {
  for (long i = from; i < to; i++) {
    const float *x = w->w + i * w->width;
    float lo, hi;
    if (!span_of(x, w->width, &lo, &hi))
      for (long j = 0; j < w->width; j++)
        if (x[j] - x[j] != 0) return i * w->width + j;
    lat_unit u = by_rule(w, rule, lo, hi);
    scale[i] = u.scale;
    if (zero) zero[i] = u.zero;
    if (code) put_codes(x, w->width, &u, code + i * w->width);
  }
  return -1;
}

static TARGET void codes(const lat_weight *w, const float *scale, const int32_t *zero, long from, long to, uint8_t *code) {
  for (long i = from; i < to; i++) {
    lat_unit u = unit_of(w, scale[i], zero ? zero[i] : 0);
    put_codes(w->w + i * w->width, w->width, &u, code + i * w->width);
  }
}

static TARGET void residual(const lat_weight *w, int rule, const float *s, long from, long to, float *d) {
  float *row = malloc(sizeof(float) * w->k);
  for (long r = from; r < to; r++) {
    const float *x = w->w + r * w->k;
    float *out = d + r * w->k;
    for (long i = 0; i < w->k; i++) row[i] = x[i] * s[i];
    for (long at = 0; at < w->k; at += w->width) {
      float lo, hi;
      span_of(row + at, w->width, &lo, &hi);
      lat_unit u = by_rule(w, rule, lo, hi);
      const vf scale = fill(u.scale), low = fill(u.lo), high = fill(u.hi);
      long i = at;
      for (; i + W <= at + w->width; i += W) store(out + i, steps_of(load(row + i), scale, low, high) * scale / load(s + i) - load(x + i));
      for (; i < at + w->width; i++) out[i] = step_of(row[i], &u) * u.scale / s[i] - x[i];
    }
  }
  free(row);
}

#include "gptq.h"
#include "hqq.h"
#include "round.h"
#include "search.h"
