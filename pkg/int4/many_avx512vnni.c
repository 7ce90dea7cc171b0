// Many rows of x in AVX-512: W4A8 by VNNI, whose vpdpbusd adds four products of unsigned codes of weights and signed ones
// of x to a 32-bit lane, a row of a strip; W4A16 by fused multiply-adds.
#if defined(__x86_64__)
#include <immintrin.h>

#define W 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#define FLOAT_PANEL 2
#define FLOAT_ROWS 12
#include "many_a16.h"

#define PANEL 2
#define COLS 512
enum { MOST = 12 }; // rows of x whose sums the registers hold

typedef struct {
  uint8_t code[COLS / 4][PANEL][INT4_LINE]; // 16 rows of four columns
  float scale[COLS / 32][PANEL][INT4_STRIP], zero[COLS / 32][PANEL][INT4_STRIP];
} panel;

static TARGET void unpack(const nat_int4 *w, int s, int n, int g0, int g1, panel *to) {
  const size_t block = int4_block(w), head = int4_head(w);
  const __m512i nibble = _mm512_set1_epi8(15);
  for (int i = 0; i < n; i++) {
    const uint8_t *p = w->strips + (size_t)(s + i) * int4_strip(w) + (size_t)g0 * block;
    uint8_t(*code)[PANEL][INT4_LINE] = to->code;
    for (int g = 0; g < g1 - g0; g++, p += block) {
      _mm512_store_ps(to->scale[g][i], _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)));
      const __m128i zero = w->asym ? _mm_loadu_si128((const __m128i *)(p + 32)) : _mm_set1_epi8(8);
      _mm512_store_ps(to->zero[g][i], _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(zero)));
      for (const uint8_t *line = p + head; line < p + block; line += INT4_LINE, code += 2) {
        const __m512i v = _mm512_loadu_si512(line);
        __builtin_prefetch(line + 4 * block);
        _mm512_store_si512(code[0][i], _mm512_and_si512(v, nibble));
        _mm512_store_si512(code[1][i], _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble));
      }
    }
  }
}

// Keeps gcc 12 from copying sums from register to register.
#ifndef HOLD
#define HOLD(v) __asm__("" : "+v"(v))
#endif

// S strips and M rows of x, constants where this is called.
INLINE void vnni_block(const panel *p, int S, int groups, int group, const int8_t *x, size_t ldx, const int32_t *sum, size_t lds,
                       int M, float *total) {
  const uint8_t(*code)[PANEL][INT4_LINE] = p->code;
  for (int g = 0; g < groups; g++) {
    __m512i acc[MOST][PANEL];
#pragma GCC unroll 12
    for (int m = 0; m < M; m++)
#pragma GCC unroll 2
      for (int i = 0; i < S; i++) acc[m][i] = _mm512_setzero_si512();
    for (int k = 0; k < group; k += 4, x += 4, code++) {
      __m512i a[PANEL];
#pragma GCC unroll 2
      for (int i = 0; i < S; i++) a[i] = _mm512_load_si512(code[0][i]);
#pragma GCC unroll 12
      for (int m = 0; m < M; m++) {
        int32_t four;
        memcpy(&four, x + (size_t)m * ldx, sizeof four);
        const __m512i v = _mm512_set1_epi32(four);
#pragma GCC unroll 2
        for (int i = 0; i < S; i++) {
          acc[m][i] = _mm512_dpbusd_epi32(acc[m][i], a[i], v);
          HOLD(acc[m][i]);
        }
      }
    }
#pragma GCC unroll 12
    for (int m = 0; m < M; m++) {
      const __m512 s = _mm512_cvtepi32_ps(_mm512_set1_epi32(sum[(size_t)m * lds + (size_t)g]));
#pragma GCC unroll 2
      for (int i = 0; i < S; i++) { // exact up to the scale: all are integers under 2²⁴
        const __m512 v = _mm512_fnmadd_ps(s, _mm512_load_ps(p->zero[g][i]), _mm512_cvtepi32_ps(acc[m][i]));
        float *t = total + (m * PANEL + i) * INT4_STRIP;
        _mm512_store_ps(t, _mm512_fmadd_ps(v, _mm512_load_ps(p->scale[g][i]), _mm512_load_ps(t)));
      }
    }
    __asm__ volatile("" : : : "memory"); // totals stay where they are, not in copies on the stack
  }
}

INLINE void vnni_rows(const nat_int4 *w, const panel *p, int S, int g0, int g1, const int4_rows *x, int M, float *total) {
  int m = 0;
#define BLOCKS(rows)                                                                                                  \
  for (; m + (rows) <= M; m += (rows))                                                                                \
    vnni_block(p, S, g1 - g0, w->group, x->code + (size_t)m * x->codes + (size_t)g0 * (size_t)w->group, x->codes,      \
               x->sum + (size_t)m * x->sums + (size_t)g0, x->sums, rows, total + m * PANEL * INT4_STRIP);
  BLOCKS(12)
  BLOCKS(4)
  BLOCKS(1)
#undef BLOCKS
}

static TARGET void multiply(const nat_int4 *w, const panel *p, int n, int g0, int g1, const int4_rows *x, int M, float *total) {
  n == 2 ? vnni_rows(w, p, 2, g0, g1, x, M, total) : vnni_rows(w, p, 1, g0, g1, x, M, total);
}

#include "many_a8.h"

INT4_A8(int4_many_a8_avx512vnni) { many_a8(w, r0, r1, room, M, y, ldy, add); }
INT4_A16(int4_many_a16_avx512) { many_a16(w, r0, r1, x, ldx, M, y, ldy, add); }
#endif
