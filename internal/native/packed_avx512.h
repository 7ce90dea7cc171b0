// Products with packed weights in AVX-512; included by kernels_avx512*.c behind kernels.h.
#include "packed.h"

// A block of R packed rows and M rows of x. The table turns the four bits of a weight into its power of two; sign and
// mantissa go around them.
INLINE void packed_block(const nat_matrix *w, int r, int R, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  const nat_packed *p = &w->packed;
  const size_t row = packed_row(w->cols);
  const __m512i sign_mantissa = _mm512_set1_epi32((int)0x807f0000);
  const __m512i number = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i power = _mm512_maskz_slli_epi32(0xfffe, _mm512_add_epi32(number, _mm512_set1_epi32(127 - PACKED_CODES)), 23);
  __m512 acc[4][4];
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) acc[i][m] = _mm512_setzero_ps();
  const uint8_t *line = p->lines + row * (size_t)r;
  const size_t ahead = r + 2 * R <= r1 ? row * (size_t)R : 0; // not the rows of another thread
  for (int k = 0; k < w->cols; k += PACKED_BLOCK, line += PACKED_BYTES) {
    __m512i codes[4];
#pragma GCC unroll 4
    for (int i = 0; i < R; i++)
#pragma GCC unroll 3
      for (int c = 0; c < PACKED_BYTES; c += 64) __builtin_prefetch(line + ahead + row * (size_t)i + c);
#pragma GCC unroll 4
    for (int i = 0; i < R; i++) codes[i] = _mm512_loadu_si512(line + row * (size_t)i);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
      __m512 xv[4];
#pragma GCC unroll 4
      for (int m = 0; m < M; m++) xv[m] = _mm512_loadu_ps(x + (long)m * ldx + k + 16 * j);
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) {
        __m512i e = _mm512_permutexvar_epi32(codes[i], power);
        __m512i b = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(line + row * (size_t)i + 64 + 16 * j)));
        __m512 v = _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_slli_epi32(b, 16), sign_mantissa, e, 0xea));
        codes[i] = _mm512_srli_epi32(codes[i], 4);
#pragma GCC unroll 4
        for (int m = 0; m < M; m++) acc[i][m] = _mm512_fmadd_ps(v, xv[m], acc[i][m]);
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) {
      float s = SUM(acc[i][m]) * p->scale[r + i];
      for (uint32_t f = p->first[r + i]; f < p->first[r + i + 1]; f++) s += p->val[f] * x[(long)m * ldx + p->col[f]];
      put(y + (long)m * ldy + r + i, w->bias ? s + w->bias[r + i] : s, add);
    }
}

#define PACKED_ROWS(M)                                                           \
  case M:                                                                        \
    for (; r + 4 <= r1; r += 4) packed_block(w, r, 4, r1, x, ldx, M, y, ldy, add); \
    for (; r < r1; r++) packed_block(w, r, 1, r1, x, ldx, M, y, ldy, add);       \
    return 1;

// More than four rows of x: unpacking costs more than reading does.
static TARGET int packed(const nat_matrix *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  int r = r0;
  if (w->packed.lines == NULL) return 0;
  switch (M) {
    PACKED_ROWS(1)
    PACKED_ROWS(2)
    PACKED_ROWS(3)
    PACKED_ROWS(4)
  }
  return 0;
}
