// Sums of squares; see kernel.h, which includes this file.

typedef double vd __attribute__((vector_size(64)));
typedef float v8 __attribute__((vector_size(32)));
typedef uint16_t h8 __attribute__((vector_size(16)));
typedef uint32_t u8 __attribute__((vector_size(32)));

INLINE void eight(vd *to, const void *x, int kind, int64_t i) {
  if (kind == ADAMW_F32) {
    v8 f;
    memcpy(&f, (const float *)x + i, sizeof f);
    *to = __builtin_convertvector(f, vd);
    return;
  }
  h8 h;
  memcpy(&h, (const uint16_t *)x + i, sizeof h);
  *to = __builtin_convertvector((v8)(__builtin_convertvector(h, u8) << 16), vd);
}

INLINE double lanes(const vd *v) {
  double sum = 0;
  for (int j = 0; j < 8; j++) sum += (*v)[j];
  return sum;
}

// Each sum has eight lanes; four sums at a time, since one alone would wait for its additions.
INLINE void sums_of(const void *x, int kind, int64_t n, double *sums) {
  int64_t i = 0;
  for (; i + 4 * ADAMW_SUM <= n; i += 4 * ADAMW_SUM, sums += 4) {
    vd s[4] = {{0}};
    for (int64_t k = i; k < i + ADAMW_SUM; k += 8)
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) {
        vd v;
        eight(&v, x, kind, k + j * ADAMW_SUM);
        s[j] += v * v;
      }
    for (int j = 0; j < 4; j++) sums[j] = lanes(&s[j]);
  }
  for (; i < n; i += ADAMW_SUM, sums++) {
    const int64_t end = i + ADAMW_SUM < n ? i + ADAMW_SUM : n;
    int64_t k = i;
    vd s = {0};
    for (; k + 8 <= end; k += 8) {
      vd v;
      eight(&v, x, kind, k);
      s += v * v;
    }
    for (; k < end; k++) {
      float f = kind == ADAMW_F32 ? ((const float *)x)[k] : (float)0;
      if (kind == ADAMW_BF16) {
        uint32_t u = (uint32_t)((const uint16_t *)x)[k] << 16;
        memcpy(&f, &u, sizeof f);
      }
      s[0] += (double)f * f;
    }
    *sums = lanes(&s);
  }
}

static TARGET void squares(const void *x, int kind, int64_t n, double *sums) {
  if (kind == ADAMW_F32)
    sums_of(x, ADAMW_F32, n, sums);
  else
    sums_of(x, ADAMW_BF16, n, sums);
}
