// Many rows of x in AVX2. vpmaddubsw multiplies unsigned codes of weights with signed ones of x and adds pairs: eight of
// these, 32 columns, fit its 16-bit lanes (16 · 15 · 128), so that a group of 32 costs eight products, seven sums and one
// vpmaddwd. Zero points are taken off by the sums of x's codes.
#include <immintrin.h>

#include "vectors.h"

#define PANEL 1
#define COLS 512

typedef struct {
  uint8_t code[COLS / 4][INT4_LINE]; // 16 rows of four columns
  float scale[COLS / 32][INT4_STRIP], zero[COLS / 32][INT4_STRIP];
} panel;

INLINE void unpack(const nat_int4 *w, int s, int n, int g0, int g1, panel *to) {
  const size_t block = int4_block(w), head = int4_head(w);
  const __m256i nibble = _mm256_set1_epi8(15);
  const uint8_t *p = w->strips + (size_t)s * int4_strip(w) + (size_t)g0 * block;
  uint8_t *code = to->code[0];
  for (int g = 0; g < g1 - g0; g++, p += block) {
    for (int h = 0; h < 16; h += 8) {
      _mm256_store_ps(to->scale[g] + h, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 2 * h))));
      if (w->asym)
        _mm256_store_ps(to->zero[g] + h, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 32 + h)))));
    }
    for (const uint8_t *line = p + head; line < p + block; line += INT4_LINE, code += 2 * INT4_LINE)
      for (int h = 0; h < INT4_LINE; h += 32) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(line + h));
        __builtin_prefetch(line + block + h);
        _mm256_store_si256((__m256i *)(code + h), _mm256_and_si256(v, nibble));
        _mm256_store_si256((__m256i *)(code + INT4_LINE + h), _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
      }
  }
}

// 32 columns of a strip and of M rows of x.
INLINE void dot32(const uint8_t *code, const int8_t *x, size_t ldx, int M, __m256i dot[][2]) {
  const __m256i one = _mm256_set1_epi16(1);
  __m256i acc[4][2];
#pragma GCC unroll 8
  for (int q = 0; q < 8; q++) {
    const __m256i a = _mm256_load_si256((const __m256i *)(code + q * INT4_LINE));
    const __m256i b = _mm256_load_si256((const __m256i *)(code + q * INT4_LINE + 32));
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) {
      int32_t four;
      memcpy(&four, x + (size_t)m * ldx + 4 * q, sizeof four);
      const __m256i v = _mm256_set1_epi32(four);
      const __m256i va = _mm256_maddubs_epi16(a, v), vb = _mm256_maddubs_epi16(b, v);
      acc[m][0] = q ? _mm256_add_epi16(acc[m][0], va) : va;
      acc[m][1] = q ? _mm256_add_epi16(acc[m][1], vb) : vb;
    }
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; m++)
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) dot[m][h] = _mm256_madd_epi16(acc[m][h], one);
}

// quarters is a group's columns over 32; it, M and asym are constants where this is called.
INLINE void block(const panel *p, int groups, int quarters, int asym, const int8_t *x, size_t ldx, const int32_t *sum, size_t lds,
                  int M, float *total) {
  const uint8_t *code = p->code[0];
  for (int g = 0; g < groups; g++) {
    __m256i dot[4][2], more[4][2];
    dot32(code, x, ldx, M, dot);
#pragma GCC unroll 4
    for (int c = 1; c < quarters; c++) {
      dot32(code + c * 8 * INT4_LINE, x + c * 32, ldx, M, more);
#pragma GCC unroll 4
      for (int m = 0; m < M; m++)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) dot[m][h] = _mm256_add_epi32(dot[m][h], more[m][h]);
    }
    code += quarters * 8 * INT4_LINE, x += quarters * 32;
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) {
      const __m256i s = _mm256_set1_epi32(sum[(size_t)m * lds + (size_t)g]);
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++) {
        __m256 v;
        if (asym) // exact: all are integers under 2²⁴
          v = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(s), _mm256_load_ps(p->zero[g] + 8 * h), _mm256_cvtepi32_ps(dot[m][h]));
        else
          v = _mm256_cvtepi32_ps(_mm256_sub_epi32(dot[m][h], _mm256_slli_epi32(s, 3)));
        float *t = total + m * INT4_STRIP + 8 * h;
        _mm256_store_ps(t, _mm256_fmadd_ps(v, _mm256_load_ps(p->scale[g] + 8 * h), _mm256_load_ps(t)));
      }
    }
  }
}

INLINE void multiply_group(const nat_int4 *w, const panel *p, int g0, int g1, int quarters, int asym, const int4_rows *x, int M,
                           float *total) {
  int m = 0;
#define BLOCKS(n)                                                                                                           \
  for (; m + (n) <= M; m += (n))                                                                                            \
    block(p, g1 - g0, quarters, asym, x->code + (size_t)m * x->codes + (size_t)g0 * (size_t)w->group, x->codes,              \
          x->sum + (size_t)m * x->sums + (size_t)g0, x->sums, n, total + m * INT4_STRIP);
  BLOCKS(4)
  BLOCKS(2)
  BLOCKS(1)
#undef BLOCKS
}

static TARGET void multiply(const nat_int4 *w, const panel *p, int n, int g0, int g1, const int4_rows *x, int M, float *total) {
  if (w->group == 32)
    w->asym ? multiply_group(w, p, g0, g1, 1, 1, x, M, total) : multiply_group(w, p, g0, g1, 1, 0, x, M, total);
  else
    w->asym ? multiply_group(w, p, g0, g1, 4, 1, x, M, total) : multiply_group(w, p, g0, g1, 4, 0, x, M, total);
}
