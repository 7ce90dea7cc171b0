// Quantizing rows of x: pkg/quant's QuantizeToken and QuantizeStatic.
#include "vectors.h"

// The largest |x|; NaN or infinite if any is.
INLINE float magnitude(const float *x, int n) {
  vf top[4] = {{0}}, odd[4] = {{0}};
  int i = 0;
  for (; i + 4 * W <= n; i += 4 * W)
    for (int a = 0; a < 4; a++) {
      vf v = loadf(x + i + a * W);
      top[a] = larger((vf)((vi)v & 0x7fffffff), top[a]);
      odd[a] += v - v; // 0, or NaN
    }
  float t = 0, o = 0;
  for (; i < n; i++) {
    float a = x[i] < 0 ? -x[i] : x[i];
    t = a > t ? a : t;
    o += x[i] - x[i];
  }
  for (int a = 1; a < 4; a++) {
    top[0] = larger(top[0], top[a]);
    odd[0] += odd[a];
  }
  for (int l = 0; l < W; l++) {
    t = top[0][l] > t ? top[0][l] : t;
    o += odd[0][l];
  }
  return t + o;
}

INLINE vi codes(vf v, vf scale) {
  const vf zero = {0};
  v = larger(smaller(v / scale, zero + 127.0f), zero - 128.0f);
  return __builtin_convertvector(rounded(v), vi);
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
      for (int k = g * w->group; k < (g + 1) * w->group; k += 32) {
        int32_t line[32]; // vectors of bytes are slow to make one by one
        for (int i = 0; i < 32; i += W) {
          vi c = codes(loadf(row + k + i), zero + scale);
          memcpy(line + i, &c, sizeof c);
          sums += c;
        }
        for (int i = 0; i < 32; i++) code[k + i] = (int8_t)line[i];
      }
      int32_t s = 0;
      for (int l = 0; l < W; l++) s += sums[l];
      sum[g] = s;
    }
    memset(code + n, 0, to.codes - (size_t)n);
  }
}
