// Products of floats with few rows of x in AVX2. A lane is a row of eight; its 32 bits hold eight columns' codes, each of
// which is cut out, less the zero point, by integer instructions, so that a float is exact. Low and high nibbles have sums
// of their own, and so has each group.
#include "few_avx2.h"

// Nibble n of each lane, less the zero point: of symmetric weights v has had 8 added to each, without a carry, which makes
// them signed.
INLINE __m256 weights(__m256i v, int n, int asym, __m256i zero) {
  if (!asym) return _mm256_cvtepi32_ps(_mm256_srai_epi32(n < 7 ? _mm256_slli_epi32(v, 28 - 4 * n) : v, 28));
  v = n < 7 ? _mm256_and_si256(_mm256_srli_epi32(v, 4 * n), _mm256_set1_epi32(15)) : _mm256_srli_epi32(v, 28);
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(v, zero));
}

// A group's columns of halves of a strip and of M rows of x.
INLINE void dots(const uint8_t *line, int lines, int h0, int h1, const float *x, size_t ldx, int M, int asym, const __m256i zero[2],
                 __m256 dot[2][MOST][2]) {
  for (int j = 0; j < lines; j++, line += INT4_LINE, x += 8) {
    if (h0 == 0) __builtin_prefetch(line + AHEAD);
    __m256i v[2];
#pragma GCC unroll 2
    for (int h = h0; h < h1; h++) {
      v[h] = _mm256_loadu_si256((const __m256i *)(line + 32 * h));
      if (!asym) v[h] = _mm256_xor_si256(v[h], _mm256_set1_epi8((char)0x88));
    }
#pragma GCC unroll 8
    for (int n = 0; n < 8; n++)
#pragma GCC unroll 2
      for (int h = h0; h < h1; h++) {
        const __m256 f = weights(v[h], n, asym, zero[h]);
#pragma GCC unroll 4
        for (int m = 0; m < M; m++) {
          __m256 *to = &dot[h][m][n % 2];
          *to = _mm256_fmadd_ps(f, _mm256_broadcast_ss(x + (size_t)m * ldx + n / 2 + n % 2 * 4), *to);
          HOLD(*to);
        }
      }
  }
}

// A strip and M rows of x; M and asym are constants where this is called.
INLINE void some_a16(const nat_int4 *w, int r, int r1, int asym, const float *x, int ldx, int M, float *y, int ldy, int add) {
  const int groups = int4_groups(w), lines = w->group / 8;
  const size_t head = asym ? 48 : 32, block = int4_block(w);
  const uint8_t *p = w->strips + (size_t)(r / INT4_STRIP) * int4_strip(w);
  __m256i zero[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  __m256 total[2][MOST];
#pragma GCC unroll 4
  for (int m = 0; m < M; m++) total[0][m] = total[1][m] = _mm256_setzero_ps();
  for (int g = 0; g < groups; g++, x += w->group, p += block) {
    __m256 dot[2][MOST][2];
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) dot[0][m][0] = dot[0][m][1] = dot[1][m][0] = dot[1][m][1] = _mm256_setzero_ps();
    if (asym)
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++) zero[h] = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 32 + 8 * h)));
    if (M == 1) // both halves at once, for the latency of one would be waited for
      dots(p + head, lines, 0, 2, x, (size_t)ldx, M, asym, zero, dot);
    else {
      dots(p + head, lines, 0, 1, x, (size_t)ldx, M, asym, zero, dot);
      dots(p + head, lines, 1, 2, x, (size_t)ldx, M, asym, zero, dot);
    }
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++)
#pragma GCC unroll 4
      for (int m = 0; m < M; m++)
        total[h][m] = _mm256_fmadd_ps(_mm256_add_ps(dot[h][m][0], dot[h][m][1]), scales(p + 16 * h), total[h][m]);
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; m++)
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) put8(w, r + 8 * h, r1 - r - 8 * h, total[h][m], y + (size_t)m * (size_t)ldy, add);
}

#define SOME_A16(name, M, asym)                                                                                             \
  static __attribute__((noinline)) TARGET void name(const nat_int4 *w, int r, int r1, const float *x, int ldx, float *y,    \
                                                    int ldy, int add) {                                                     \
    some_a16(w, r, r1, asym, x, ldx, M, y, ldy, add);                                                                       \
  }
SOME_A16(one_a16, 1, 0)
SOME_A16(two_a16, 2, 0)
SOME_A16(four_a16, MOST, 0)
SOME_A16(one_a16_asym, 1, 1)
SOME_A16(two_a16_asym, 2, 1)
SOME_A16(four_a16_asym, MOST, 1)

static TARGET void few_a16(const nat_int4 *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  for (int r = r0; r < r1; r += INT4_STRIP) {
    int m = 0;
#define ROWS(n, some) \
  for (; m + (n) <= M; m += (n))                                                                                            \
    (w->asym ? some##_asym : some)(w, r, r1, x + (size_t)m * (size_t)ldx, ldx, y + (size_t)m * (size_t)ldy, ldy, add);
    ROWS(MOST, four_a16)
    ROWS(2, two_a16)
    ROWS(1, one_a16)
#undef ROWS
  }
}
