// Quantizing rows of x: pkg/quant's QuantizeToken and QuantizeStatic.
#include "vectors.h"

// The largest |x|; NaN or infinite if any is.
INLINE float magnitude(const float *x, int n) {
  vf top = {0}, odd = {0};
  int i = 0;
  for (; i + W <= n; i += W) {
    vf v = loadf(x + i);
    top = larger((vf)((vi)v & 0x7fffffff), top);
    odd += v - v; // 0, or NaN
  }
  float t = 0, o = 0;
  for (; i < n; i++) {
    float a = x[i] < 0 ? -x[i] : x[i];
    t = a > t ? a : t;
    o += x[i] - x[i];
  }
  for (int l = 0; l < W; l++) {
    t = top[l] > t ? top[l] : t;
    o += odd[l];
  }
  return t + o;
}

INLINE vb codes(vf v, vf scale) {
  const vf zero = {0};
  v = larger(smaller(v / scale, zero + 127.0f), zero - 128.0f);
  return __builtin_convertvector(__builtin_convertvector(rounded(v), vi), vb);
}

static TARGET void quantize(const nat_int4 *w, const float *x, int ldx, int M, int m0, int m1, void *room) {
  const int4_rows to = int4_rows_in(w, M, room);
  const int n = w->cols, groups = int4_groups(w);
  const vf zero = {0};
  for (int m = m0; m < m1; m++) {
    const float *row = x + (size_t)m * (size_t)ldx;
    int8_t *code = to.code + (size_t)m * to.codes;
    int32_t *sum = to.sum + (size_t)m * to.sums;
    const float top = magnitude(row, n);
    float scale = w->input_scale;
    if (w->activation == INT4_A8_TOKEN) scale = top / 127 > 0x1p-126f ? top / 127 : 0x1p-126f;
    if (!(top <= 0x1.fffffep127f)) { // NaN and infinities are shown
      to.scale[m] = top - top;
      memset(code, 0, to.codes);
      memset(sum, 0, (size_t)groups * sizeof *sum);
      continue;
    }
    to.scale[m] = scale;
    for (int g = 0; g < groups; g++) {
      vi sums = {0};
      for (int k = g * w->group; k < (g + 1) * w->group; k += W) { // W divides 32
        vb c = codes(loadf(row + k), zero + scale);
        memcpy(code + k, &c, sizeof c);
        sums += __builtin_convertvector(c, vi);
      }
      int32_t s = 0;
      for (int l = 0; l < W; l++) s += sums[l];
      sum[g] = s;
    }
    memset(code + n, 0, to.codes - (size_t)n);
  }
}
