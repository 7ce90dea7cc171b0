// Products of floats with few rows of x in AVX2. A lane is a row of eight; its 32 bits hold eight columns' codes, each of
// which is cut out where it stands, 16ⁿ times too large, for which x is made smaller instead. Only the last one is shifted
// down, for the lane's sign. Low and high nibbles have sums of their own, and so has each group.
#include "few_avx2.h"

// x of eight columns as the eight nibbles of a lane want them, from the lowest.
INLINE __m256 shrunk(__m256 x) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256 by = _mm256_setr_ps(1, 0x1p-4f, 0x1p-8f, 0x1p-12f, 0x1p-16f, 0x1p-20f, 0x1p-24f, 1);
  return _mm256_mul_ps(_mm256_permutevar8x32_ps(x, order), by);
}

// Eight columns of halves of a strip and of M rows of x.
INLINE void dot8(const uint8_t *line, int h0, int h1, const float (*x)[128], int M, const __m256i zero[2][8], __m256 dot[2][MOST][2]) {
#pragma GCC unroll 8
  for (int n = 0; n < 8; n++)
#pragma GCC unroll 2
    for (int h = h0; h < h1; h++) {
      const __m256i v = _mm256_loadu_si256((const __m256i *)(line + 32 * h));
      const __m256i u = n < 7 ? _mm256_and_si256(v, _mm256_set1_epi32(15 << 4 * n)) : _mm256_srli_epi32(v, 28);
      const __m256 f = _mm256_cvtepi32_ps(_mm256_sub_epi32(u, zero[h][n]));
#pragma GCC unroll 4
      for (int m = 0; m < M; m++) {
        dot[h][m][n % 2] = _mm256_fmadd_ps(f, _mm256_broadcast_ss(x[m] + n), dot[h][m][n % 2]);
        HOLD(dot[h][m][n % 2]);
      }
    }
}

// A strip and M rows of x, a constant where this is called.
INLINE void some_a16(const nat_int4 *w, int r, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  const int groups = int4_groups(w), lines = w->group / 8;
  const size_t head = int4_head(w);
  const uint8_t *p = w->strips + (size_t)(r / INT4_STRIP) * int4_strip(w);
  _Alignas(32) float small[MOST][128];
  __m256i zero[2][8];
  __m256 total[2][MOST];
  for (int n = 0; n < 8; n++) zero[0][n] = zero[1][n] = _mm256_set1_epi32(n < 7 ? 8 << 4 * n : 8);
#pragma GCC unroll 4
  for (int m = 0; m < M; m++) total[0][m] = total[1][m] = _mm256_setzero_ps();
  for (int g = 0; g < groups; g++, x += w->group, p += head + (size_t)lines * INT4_LINE) {
    __m256 dot[2][MOST][2];
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) {
      dot[0][m][0] = dot[0][m][1] = dot[1][m][0] = dot[1][m][1] = _mm256_setzero_ps();
      for (int j = 0; j < lines; j++)
        _mm256_store_ps(small[m] + 8 * j, shrunk(_mm256_loadu_ps(x + (size_t)m * (size_t)ldx + 8 * j)));
    }
    if (w->asym)
      for (int h = 0; h < 2; h++) {
        const __m256i z = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 32 + 8 * h)));
        for (int n = 0; n < 8; n++) zero[h][n] = _mm256_sllv_epi32(z, _mm256_set1_epi32(n < 7 ? 4 * n : 0));
      }
    const uint8_t *line = p + head;
    if (M == 1) // both halves at once, for the latency of one would be waited for
      for (int j = 0; j < lines; j++) {
        __builtin_prefetch(line + j * INT4_LINE + AHEAD);
        dot8(line + j * INT4_LINE, 0, 2, (const float(*)[128])(small[0] + 8 * j), M, zero, dot);
      }
    else
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++)
        for (int j = 0; j < lines; j++) {
          if (h == 0) __builtin_prefetch(line + j * INT4_LINE + AHEAD);
          dot8(line + j * INT4_LINE, h, h + 1, (const float(*)[128])(small[0] + 8 * j), M, zero, dot);
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

#define SOME_A16(name, M)                                                                                                   \
  static __attribute__((noinline)) TARGET void name(const nat_int4 *w, int r, int r1, const float *x, int ldx, float *y,    \
                                                    int ldy, int add) {                                                     \
    some_a16(w, r, r1, x, ldx, M, y, ldy, add);                                                                             \
  }
SOME_A16(one_a16, 1)
SOME_A16(two_a16, 2)
SOME_A16(four_a16, MOST)

static TARGET void few_a16(const nat_int4 *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  for (int r = r0; r < r1; r += INT4_STRIP) {
    int m = 0;
#define ROWS(n, some) \
  for (; m + (n) <= M; m += (n)) some(w, r, r1, x + (size_t)m * (size_t)ldx, ldx, y + (size_t)m * (size_t)ldy, ldy, add);
    ROWS(MOST, four_a16)
    ROWS(2, two_a16)
    ROWS(1, one_a16)
#undef ROWS
  }
}
