// A row of x as codes: pkg/quant's QuantizeToken and QuantizeStatic. Whoever includes this defines CODE, the type of a code.
#include "activation.h"
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

INLINE vi codes(vf v, vf scale, vf qmax) {
  v = larger(smaller(v / scale, qmax), -1.0f - qmax);
  return __builtin_convertvector(rounded(v), vi);
}

// Codes of x [n] go to code, those of each group of columns `step` after the last's; the rest of the `size` codes that there
// are becomes 0. Their sums by groups go to sum, or nowhere where that is NULL. A row that is not finite has the scale NaN,
// and codes 0.
INLINE void quantize_row(const nat_activation *a, const float *x, int n, int group, float *scale, CODE *code, size_t step, size_t size, int32_t *sum) {
  const int groups = n / group;
  const float top = magnitude(x, n);
  if (!(top <= 0x1.fffffep127f)) {
    *scale = top - top;
    memset(code, 0, size * sizeof *code);
    if (sum) memset(sum, 0, (size_t)groups * sizeof *sum);
    return;
  }
  float own = a->scale;
  if (a->mode == NAT_INPUT_TOKEN) own = top / a->qmax > 0x1p-126f ? top / a->qmax : 0x1p-126f;
  *scale = own;
  const vf zero = {0}, by = zero + own, qmax = zero + a->qmax;
  CODE *to = code;
  for (int g = 0; g < groups; g++, x += group, to += step) {
    vi sums = {0};
    int k = 0;
    for (; k + 32 <= group; k += 32) {
      int32_t line[32]; // vectors of bytes are slow to make one by one
      for (int i = 0; i < 32; i += W) {
        vi c = codes(loadf(x + k + i), by, qmax);
        memcpy(line + i, &c, sizeof c);
        sums += c;
      }
      for (int i = 0; i < 32; i++) to[k + i] = (CODE)line[i];
    }
    for (; k < group; k++) {
      vi c = codes(zero + x[k], by, qmax);
      to[k] = (CODE)c[0];
      sums[0] += c[0];
    }
    for (size_t i = (size_t)group; i < step; i++) to[i] = 0;
    if (!sum) continue;
    int32_t s = 0;
    for (int l = 0; l < W; l++) s += sums[l];
    sum[g] = s;
  }
  memset(to, 0, (size - (size_t)groups * step) * sizeof *to);
}
