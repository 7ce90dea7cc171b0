// Products with few rows of x in AVX2: each line of weights is read once, from memory, and meets up to INT4_FEW rows of x.
// vpmaddubsw multiplies unsigned codes of weights with signed ones of x and adds pairs. Eight of these, 32 columns, fit
// its 16-bit lanes (16 · 15 · 128); zero points are taken off by the sums of x's codes.
#ifndef QAKD_INT4_FEW_AVX2_H
#define QAKD_INT4_FEW_AVX2_H

#include <immintrin.h>

#include "half.h"
#include "int4.h"
#include "vectors.h"

#ifndef PAIR
#define PAIR 2 // strips at once, with one row of x
#endif
#ifndef AHEAD
#define AHEAD 1024 // bytes that are fetched meanwhile
#endif
enum { MOST = 4 }; // rows of x at once

// Keeps the compiler from adding in another order, for which the registers are too few, and from fusing.
#define HOLD(v) __asm__("" : "+x"(v))

INLINE __m256i four(const int8_t *x) {
  int32_t v;
  memcpy(&v, x, sizeof v);
  return _mm256_set1_epi32(v);
}

INLINE __m256 scales(const uint8_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

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

// Adds 32 columns of halves i0 … i1 of strips and of M rows of x.
INLINE void dot32(const uint8_t *const *line, size_t ahead, int i0, int i1, const int8_t *x, size_t ldx, int M, __m256i dot[][2 * PAIR]) {
  const __m256i nibble = _mm256_set1_epi8(15), one = _mm256_set1_epi16(1);
  __m256i acc[MOST][2 * PAIR];
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++)
#pragma GCC unroll 4
    for (int i = i0; i < i1; i++) {
      const uint8_t *at = line[i / 2] + j * INT4_LINE + 32 * (i % 2);
      const __m256i v = _mm256_loadu_si256((const __m256i *)at);
      const __m256i low = _mm256_and_si256(v, nibble), high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
      if (i % 2 == 0) __builtin_prefetch(at + ahead);
#pragma GCC unroll 4
      for (int m = 0; m < M; m++) {
        const int8_t *xm = x + (size_t)m * ldx + 8 * j;
        const __m256i a = _mm256_maddubs_epi16(low, four(xm)), b = _mm256_maddubs_epi16(high, four(xm + 4));
        acc[m][i] = j == 0 ? a : _mm256_add_epi16(acc[m][i], a);
        acc[m][i] = _mm256_add_epi16(acc[m][i], b);
        HOLD(acc[m][i]);
      }
    }
#pragma GCC unroll 4
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int i = i0; i < i1; i++) dot[m][i] = _mm256_add_epi32(dot[m][i], _mm256_madd_epi16(acc[m][i], one));
}

// S strips and M rows of x, which are constants where this is called.
INLINE void some_a8(const nat_int4 *w, int r, int r1, int S, const int4_rows *x, int m0, int M, float *y, int ldy, int add) {
  const size_t head = int4_head(w), block = int4_block(w), strip = int4_strip(w);
  const int groups = int4_groups(w), asym = w->asym, quarters = w->group / 32;
  const int8_t *code = x->code + (size_t)m0 * x->codes;
  const int32_t *sum = x->sum + (size_t)m0 * x->sums;
  const uint8_t *p = w->strips + (size_t)(r / INT4_STRIP) * strip;
  __m256 total[MOST][2 * PAIR];
#pragma GCC unroll 4
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int i = 0; i < 2 * S; i++) total[m][i] = _mm256_setzero_ps();
  for (int g = 0; g < groups; g++, p += block) {
    __m256i dot[MOST][2 * PAIR];
    size_t ahead = AHEAD; // what comes behind S strips are the next S
    if ((size_t)(g + 1) * block + AHEAD > strip) ahead += (size_t)(S - 1) * strip;
#pragma GCC unroll 4
    for (int m = 0; m < M; m++)
#pragma GCC unroll 4
      for (int i = 0; i < 2 * S; i++) dot[m][i] = asym ? _mm256_setzero_si256() : _mm256_set1_epi32(-8 * sum[(size_t)m * x->sums + (size_t)g]);
    const uint8_t *line[PAIR];
#pragma GCC unroll 4
    for (int s = 0; s < S; s++) line[s] = p + (size_t)s * strip + head;
    for (int q = 0; q < quarters; q++, code += 32) {
      if (M > 2) { // the registers hold half of them
        dot32(line, ahead, 0, 1, code, x->codes, M, dot);
        dot32(line, ahead, 1, 2, code, x->codes, M, dot);
      } else
        dot32(line, ahead, 0, 2 * S, code, x->codes, M, dot);
#pragma GCC unroll 4
      for (int s = 0; s < S; s++) line[s] += 4 * INT4_LINE;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 2 * S; i++) {
      const uint8_t *at = p + (size_t)(i / 2) * strip;
      const __m256 scale = scales(at + 16 * (i % 2));
#pragma GCC unroll 4
      for (int m = 0; m < M; m++) {
        __m256 v = _mm256_cvtepi32_ps(dot[m][i]);
        if (asym) { // exact: all are integers under 2²⁴
          const __m256 zero = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(at + 32 + 8 * (i % 2)))));
          v = _mm256_fnmadd_ps(_mm256_set1_ps((float)sum[(size_t)m * x->sums + (size_t)g]), zero, v);
        }
        total[m][i] = _mm256_fmadd_ps(v, scale, total[m][i]);
      }
    }
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; m++) {
    const __m256 scale = _mm256_set1_ps(x->scale[m0 + m]);
#pragma GCC unroll 4
    for (int i = 0; i < 2 * S; i++) {
      __m256 v = _mm256_mul_ps(total[m][i], scale);
      HOLD(v); // rounded: not fused with the bias
      put8(w, r + 8 * i, r1 - r - 8 * i, v, y + (size_t)(m0 + m) * (size_t)ldy, add);
    }
  }
}

// A function for each number of rows: all in one takes the compiler a minute.
#define SOME_A8(name, S, M)                                                                                                 \
  static __attribute__((noinline)) TARGET void name(const nat_int4 *w, int r, int r1, const int4_rows *x, int m0, float *y, \
                                                    int ldy, int add) {                                                     \
    some_a8(w, r, r1, S, x, m0, M, y, ldy, add);                                                                            \
  }
SOME_A8(pair_a8, PAIR, 1)
SOME_A8(one_a8, 1, 1)
SOME_A8(two_a8, 1, 2)
SOME_A8(four_a8, 1, MOST)

static TARGET void few_a8(const nat_int4 *w, int r0, int r1, const void *room, int M, float *y, int ldy, int add) {
  const int4_rows x = int4_rows_in(w, M, (void *)(uintptr_t)room);
  int r = r0;
  if (M == 1)
    for (; r + (PAIR - 1) * INT4_STRIP < r1; r += PAIR * INT4_STRIP) pair_a8(w, r, r1, &x, 0, y, ldy, add);
  for (; r < r1; r += INT4_STRIP) {
    int m = 0;
    for (; m + MOST <= M; m += MOST) four_a8(w, r, r1, &x, m, y, ldy, add);
    for (; m + 2 <= M; m += 2) two_a8(w, r, r1, &x, m, y, ldy, add);
    for (; m < M; m++) one_a8(w, r, r1, &x, m, y, ldy, add);
  }
}

#endif
