// Products with few rows of x in AVX2: each line of weights is read once, from memory, and meets up to INT4_FEW rows of x.
// vpmaddubsw multiplies unsigned codes of weights with signed ones of x and adds pairs. Eight of these, 32 columns, fit
// its 16-bit lanes (16 · 15 · 128); zero points are taken off by the sums of x's codes.
#ifndef QAKD_INT4_FEW_AVX2_H
#define QAKD_INT4_FEW_AVX2_H

#include <immintrin.h>

#include "vectors.h"

#ifndef AHEAD
#define AHEAD 2048 // bytes that are fetched meanwhile
#endif

// Keeps the compiler from adding in another order, for which the registers are too few.
#define HOLD(v) __asm__("" : "+x"(v))

INLINE __m256i four(const int8_t *x) {
  int32_t v;
  memcpy(&v, x, sizeof v);
  return _mm256_set1_epi32(v);
}

INLINE __m256 scales(const uint8_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

// The group's integer sum, less its zero point's share, as floats: exact, for all are integers under 2²⁴.
INLINE __m256 less_zero(__m256i dot, int32_t sum, const uint8_t *zero, int asym) {
  if (!asym) return _mm256_cvtepi32_ps(_mm256_sub_epi32(dot, _mm256_set1_epi32(8 * sum)));
  const __m256 z = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)zero)));
  return _mm256_fnmadd_ps(_mm256_set1_ps((float)sum), z, _mm256_cvtepi32_ps(dot));
}

// 32 columns of S strips, in halves of eight rows, and M rows of x.
INLINE void dot32(const uint8_t *const *line, int S, const int8_t *x, size_t ldx, int M, __m256i dot[][8], int first) {
  const __m256i nibble = _mm256_set1_epi8(15);
  __m256i acc[4][8];
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
#pragma GCC unroll 4
    for (int s = 0; s < S; s++) {
      __builtin_prefetch(line[s] + j * INT4_LINE + AHEAD);
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(line[s] + j * INT4_LINE + 32 * h));
        const __m256i low = _mm256_and_si256(v, nibble), high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
          const int8_t *xm = x + (size_t)m * ldx + 8 * j;
          const __m256i a = _mm256_maddubs_epi16(low, four(xm)), b = _mm256_maddubs_epi16(high, four(xm + 4));
          __m256i *to = &acc[m][2 * s + h];
          *to = j == 0 ? a : _mm256_add_epi16(*to, a);
          *to = _mm256_add_epi16(*to, b);
          HOLD(*to);
        }
      }
    }
  }
  const __m256i one = _mm256_set1_epi16(1);
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 8
    for (int i = 0; i < 2 * S; i++) {
      const __m256i d = _mm256_madd_epi16(acc[m][i], one);
      dot[m][i] = first ? d : _mm256_add_epi32(dot[m][i], d);
      HOLD(dot[m][i]);
    }
}

// S strips from p on; quarters is a group's columns over 32. All but p, x and groups are constants where this is called.
INLINE void strips_a8(const nat_int4 *w, int r, int S, int quarters, int asym, const int4_rows *x, int m0, int M, __m256 total[][8]) {
  const size_t head = asym ? 48 : 32, block = head + (size_t)quarters * 4 * INT4_LINE, strip = int4_strip(w);
  const int groups = int4_groups(w);
  const uint8_t *p[4], *line[4];
  p[0] = w->strips + (size_t)(r / INT4_STRIP) * strip;
  for (int s = 1; s < S; s++) p[s] = p[s - 1] + strip;
  const int8_t *code = x->code + (size_t)m0 * x->codes;
  const int32_t *sum = x->sum + (size_t)m0 * x->sums;
  for (int m = 0; m < M; m++)
    for (int i = 0; i < 2 * S; i++) total[m][i] = _mm256_setzero_ps();
  for (int g = 0; g < groups; g++) {
    __m256i dot[4][8];
#pragma GCC unroll 4
    for (int q = 0; q < quarters; q++) {
#pragma GCC unroll 4
      for (int s = 0; s < S; s++) line[s] = p[s] + head + q * 4 * INT4_LINE;
      dot32(line, S, code, x->codes, M, dot, q == 0);
      code += 32;
    }
#pragma GCC unroll 4
    for (int s = 0; s < S; s++) {
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++) {
        const __m256 scale = scales(p[s] + 16 * h);
#pragma GCC unroll 8
        for (int m = 0; m < M; m++)
          total[m][2 * s + h] = _mm256_fmadd_ps(less_zero(dot[m][2 * s + h], sum[(size_t)m * x->sums + (size_t)g], p[s] + 32 + 8 * h, asym), scale, total[m][2 * s + h]);
      }
      p[s] += block;
    }
  }
}

// Eight rows of y, of which n are real.
INLINE void put8(const nat_int4 *w, int r, int n, __m256 v, float *y, int add) {
  float all[8];
  if (n >= 8) {
    if (w->bias) v = _mm256_add_ps(v, _mm256_loadu_ps(w->bias + r));
    if (add) v = _mm256_add_ps(v, _mm256_loadu_ps(y + r));
    _mm256_storeu_ps(y + r, v);
    return;
  }
  _mm256_storeu_ps(all, v);
  for (int i = 0; i < n; i++) {
    float f = w->bias ? all[i] + w->bias[r + i] : all[i];
    y[r + i] = add ? y[r + i] + f : f;
  }
}

INLINE void some_a8(const nat_int4 *w, int r, int r1, int S, int quarters, int asym, const int4_rows *x, int m0, int M, float *y, int ldy, int add) {
  __m256 total[4][8];
  strips_a8(w, r, S, quarters, asym, x, m0, M, total);
#pragma GCC unroll 8
  for (int m = 0; m < M; m++) {
    const __m256 scale = _mm256_set1_ps(x->scale[m0 + m]);
#pragma GCC unroll 8
    for (int i = 0; i < 2 * S; i++)
      put8(w, r + 8 * i, r1 - r - 8 * i, _mm256_mul_ps(total[m][i], scale), y + (size_t)(m0 + m) * (size_t)ldy, add);
  }
}

// A function for each number of rows and kind of weight: all in one takes the compiler a minute.
#define SOME_A8(name, S, M, quarters, asym)                                                                              \
  static __attribute__((noinline)) TARGET void name(const nat_int4 *w, int r, int r1, const int4_rows *x, int m0, float *y, \
                                                    int ldy, int add) {                                                  \
    some_a8(w, r, r1, S, quarters, asym, x, m0, M, y, ldy, add);                                                         \
  }
#define ROWS_A8(kind, quarters, asym)                                                                                    \
  SOME_A8(pair_##kind, 2, 1, quarters, asym)                                                                             \
  SOME_A8(one_##kind, 1, 1, quarters, asym)                                                                              \
  SOME_A8(two_##kind, 1, 2, quarters, asym)                                                                              \
  SOME_A8(four_##kind, 1, 4, quarters, asym)                                                                             \
  static TARGET void rows_##kind(const nat_int4 *w, int r0, int r1, const int4_rows *x, int M, float *y, int ldy, int add) { \
    int r = r0;                                                                                                          \
    if (M == 1)                                                                                                          \
      for (; r + 16 < r1; r += 32) pair_##kind(w, r, r1, x, 0, y, ldy, add);                                             \
    for (; r < r1; r += 16) {                                                                                            \
      int m = 0;                                                                                                         \
      for (; m + 4 <= M; m += 4) four_##kind(w, r, r1, x, m, y, ldy, add);                                               \
      for (; m + 2 <= M; m += 2) two_##kind(w, r, r1, x, m, y, ldy, add);                                                \
      for (; m < M; m++) one_##kind(w, r, r1, x, m, y, ldy, add);                                                        \
    }                                                                                                                    \
  }
ROWS_A8(32, 1, 0)
ROWS_A8(32_asym, 1, 1)
ROWS_A8(128, 4, 0)
ROWS_A8(128_asym, 4, 1)

static TARGET void few_a8(const nat_int4 *w, int r0, int r1, const void *room, int M, float *y, int ldy, int add) {
  const int4_rows x = int4_rows_in(w, M, (void *)(uintptr_t)room);
  if (w->group == 32)
    (w->asym ? rows_32_asym : rows_32)(w, r0, r1, &x, M, y, ldy, add);
  else
    (w->asym ? rows_128_asym : rows_128)(w, r0, r1, &x, M, y, ldy, add);
}

#endif
