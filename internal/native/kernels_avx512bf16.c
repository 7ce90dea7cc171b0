// AVX-512 with products of bf16 numbers, for CPUs that do these twice as fast as float32 ones (AMD's; Intel's first ones
// do them half as fast). They need both sides in bf16, so that many rows at once, which are prompts, have their
// activations rounded to bf16 before each product, as bf16 models have everywhere. Few rows, which are speech, are computed
// as the avx512 set does.
#if defined(__x86_64__)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")))
#include <immintrin.h>

#include "native.h"

#define INLINE static inline __attribute__((always_inline)) TARGET

enum { ROUND_ROWS = 16, ROUND_MOST = 64 << 10 }; // rows of x from which on they are rounded; most numbers at once

void nat_avx512bf16_matmul(const nat_matrix *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add);

INLINE void round_block(const nat_matrix *w, int r, int R, const uint16_t *x, int M, float *y, int ldy, int add, int ahead) {
  const int K = w->cols;
  const uint16_t *data = (const uint16_t *)w->data + (long)r * K;
  __m512 acc[4][6];
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 6
    for (int m = 0; m < M; m++) acc[i][m] = _mm512_setzero_ps();
  for (int k = 0; k < K; k += 32) {
    __m512bh wv[4];
#pragma GCC unroll 4
    for (int i = 0; i < R; i++) {
      if (ahead) __builtin_prefetch(data + (long)(R + i) * K + k);
      wv[i] = (__m512bh)_mm512_loadu_si512(data + (long)i * K + k);
    }
#pragma GCC unroll 6
    for (int m = 0; m < M; m++) {
      __m512bh xv = (__m512bh)_mm512_loadu_si512(x + (long)m * K + k);
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) acc[i][m] = _mm512_dpbf16_ps(acc[i][m], wv[i], xv);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 6
    for (int m = 0; m < M; m++) {
      float s = _mm512_reduce_add_ps(acc[i][m]) + (w->bias ? w->bias[r + i] : 0), *to = y + (long)m * ldy + r + i;
      *to = add ? *to + s : s;
    }
}

static TARGET void round_rows(const nat_matrix *w, int r0, int r1, const uint16_t *x, int M, float *y, int ldy, int add) {
  const int K = w->cols;
  int r = r0;
#define STRIP(R)                                                                                 \
  for (; r + (R) <= r1; r += (R)) {                                                              \
    int m = 0;                                                                                   \
    if (M >= 6) round_block(w, r, R, x, 6, y, ldy, add, 1), m = 6;                               \
    for (; m + 6 <= M; m += 6) round_block(w, r, R, x + (long)m * K, 6, y + (long)m * ldy, ldy, add, 0); \
    for (; m + 3 <= M; m += 3) round_block(w, r, R, x + (long)m * K, 3, y + (long)m * ldy, ldy, add, 0); \
    for (; m < M; m++) round_block(w, r, R, x + (long)m * K, 1, y + (long)m * ldy, ldy, add, 0); \
  }
  STRIP(4)
  STRIP(1)
#undef STRIP
}

TARGET void nat_avx512bf16_matmul(const nat_matrix *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  const int K = w->cols;
  if (M < ROUND_ROWS || w->kind != NAT_BF16 || K % 32 || K > ROUND_MOST / 6) {
    nat_avx512.matmul(w, r0, r1, x, ldx, M, y, ldy, add);
    return;
  }
  _Alignas(64) uint16_t rounded[ROUND_MOST];
  for (int m = 0; m < M;) {
    int n = ROUND_MOST / K < M - m ? ROUND_MOST / K : M - m;
    for (int i = 0; i < n; i++)
      for (int k = 0; k < K; k += 16) {
        __m256bh h = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + (long)(m + i) * ldx + k));
        _mm256_storeu_si256((__m256i *)(rounded + (long)i * K + k), (__m256i)h);
      }
    round_rows(w, r0, r1, rounded, n, y + (long)m * ldy, ldy, add);
    m += n;
  }
}
#endif
