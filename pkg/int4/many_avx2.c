// Many rows of x in AVX2. vpmaddubsw multiplies unsigned codes of weights with signed ones of x and adds pairs: eight of
// these, 32 columns, fit its 16-bit lanes (16 · 15 · 128), so that a group of 32 costs eight products, seven sums and one
// vpmaddwd. Zero points are taken off by the sums of x's codes.
#if defined(__x86_64__)
#include <immintrin.h>

#define W 8
#define TARGET __attribute__((target("avx2,fma,f16c")))
#define FLOAT_PANEL 1
#define FLOAT_ROWS 6
#include "many_a16.h"

#define PANEL 1
#define COLS 512
enum { MOST = 6 }; // rows of x whose sums the registers hold

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

// Keeps the compiler from adding in another order, for which the registers are too few.
#define HOLD(v) __asm__("" : "+x"(v))

// 32 columns of a strip and of M rows of x, in 16-bit lanes.
INLINE void dot32(const uint8_t *code, const int8_t *x, size_t ldx, int M, __m256i acc[][2]) {
#pragma GCC unroll 8
  for (int q = 0; q < 8; q++) {
    const __m256i a = _mm256_load_si256((const __m256i *)(code + q * INT4_LINE));
    const __m256i b = _mm256_load_si256((const __m256i *)(code + q * INT4_LINE + 32));
#pragma GCC unroll 6
    for (int m = 0; m < M; m++) {
      int32_t four;
      memcpy(&four, x + (size_t)m * ldx + 4 * q, sizeof four);
      __m256i v = _mm256_set1_epi32(four);
      if (q) {
        acc[m][0] = _mm256_add_epi16(acc[m][0], _mm256_maddubs_epi16(a, v));
        HOLD(acc[m][0]);
        acc[m][1] = _mm256_add_epi16(acc[m][1], _mm256_maddubs_epi16(b, v));
        HOLD(acc[m][1]);
      } else {
        acc[m][0] = _mm256_maddubs_epi16(a, v);
        acc[m][1] = _mm256_maddubs_epi16(b, v);
      }
    }
  }
}

INLINE void add_scaled(__m256 v, const float *scale, float *total) {
  _mm256_store_ps(total, _mm256_fmadd_ps(v, _mm256_load_ps(scale), _mm256_load_ps(total)));
}

// quarters is a group's columns over 32; it and M are constants where this is called.
INLINE void block(const panel *p, int groups, int quarters, int asym, const int8_t *x, size_t ldx, const int32_t *sum, size_t lds,
                  int M, float *total) {
  const uint8_t *code = p->code[0];
  const __m256i one = _mm256_set1_epi16(1);
  for (int g = 0; g < groups; g++) {
    __m256i acc[MOST][2], dot[MOST][2];
    for (int c = 0; c < quarters; c++) {
      dot32(code, x, ldx, M, acc);
#pragma GCC unroll 6
      for (int m = 0; m < M; m++)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
          __m256i v = _mm256_madd_epi16(acc[m][h], one);
          dot[m][h] = c ? _mm256_add_epi32(dot[m][h], v) : v;
        }
      code += 8 * INT4_LINE, x += 32;
    }
    // Exact up to the scale: all are integers under 2²⁴.
    if (asym) {
#pragma GCC unroll 6
      for (int m = 0; m < M; m++) {
        const __m256 s = _mm256_cvtepi32_ps(_mm256_set1_epi32(sum[(size_t)m * lds + (size_t)g]));
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++)
          add_scaled(_mm256_fnmadd_ps(s, _mm256_load_ps(p->zero[g] + 8 * h), _mm256_cvtepi32_ps(dot[m][h])), p->scale[g] + 8 * h,
                     total + m * INT4_STRIP + 8 * h);
      }
    } else {
#pragma GCC unroll 6
      for (int m = 0; m < M; m++) {
        const __m256i s = _mm256_slli_epi32(_mm256_set1_epi32(sum[(size_t)m * lds + (size_t)g]), 3);
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++)
          add_scaled(_mm256_cvtepi32_ps(_mm256_sub_epi32(dot[m][h], s)), p->scale[g] + 8 * h, total + m * INT4_STRIP + 8 * h);
      }
    }
    __asm__ volatile("" : : : "memory"); // totals stay where they are, not in copies on the stack
  }
}

#define BLOCK(M)                                                                                                          \
  static TARGET void block_##M(const panel *p, int groups, int quarters, int asym, const int8_t *x, size_t ldx,           \
                               const int32_t *sum, size_t lds, float *total) {                                            \
    if (quarters == 1)                                                                                                    \
      block(p, groups, 1, asym, x, ldx, sum, lds, M, total);                                                              \
    else                                                                                                                  \
      block(p, groups, 4, asym, x, ldx, sum, lds, M, total);                                                              \
  }
BLOCK(1)
BLOCK(2)
BLOCK(3)
BLOCK(4)
BLOCK(5)
BLOCK(6)

static TARGET void multiply(const nat_int4 *w, const panel *p, int n, int g0, int g1, const int4_rows *x, int M, float *total) {
  static void (*const blocks[])(const panel *, int, int, int, const int8_t *, size_t, const int32_t *, size_t, float *) = {
      NULL, block_1, block_2, block_3, block_4, block_5, block_6};
  for (int m = 0, left = (M + MOST - 1) / MOST, rows; m < M; m += rows, left--) {
    rows = (M - m + left - 1) / left; // blocks of equal size, but for one row
    blocks[rows](p, g1 - g0, w->group / 32, w->asym, x->code + (size_t)m * x->codes + (size_t)g0 * (size_t)w->group, x->codes,
                 x->sum + (size_t)m * x->sums + (size_t)g0, x->sums, total + m * INT4_STRIP);
  }
}

#include "many_a8.h"

INT4_A8(int4_many_a8_avx2) { many_a8(w, r0, r1, room, M, y, ldy, add); }
INT4_A16(int4_many_a16_avx2) { many_a16(w, r0, r1, x, ldx, M, y, ldy, add); }
#endif
