// Products with few rows of x in AVX-512 and VNNI: each line of weights is read once, from memory, and meets up to
// INT4_FEW rows of x. vpdpbusd adds four products of unsigned codes of weights and signed ones of x to a row's lane; zero
// points are taken off by the sums of x's codes. Floats are looked up by their codes: a permutation's 16 entries.
#if defined(__x86_64__)
#include <immintrin.h>

#define W 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#include "many.h"
#include "codes.h"

// Keeps gcc 12 from copying sums from register to register, and from fusing.
#ifndef HOLD
#define HOLD(v) __asm__("" : "+v"(v))
#endif

enum { AHEAD = 2048, FLOAT_FEW = 4 }; // bytes that are fetched meanwhile; rows of x whose float sums the registers hold

INLINE __m512i four(const int8_t *x) {
  int32_t v;
  memcpy(&v, x, sizeof v);
  return _mm512_set1_epi32(v);
}

INLINE __m512 scales(const uint8_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }

INLINE __m512i zeros(const uint8_t *p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }

// A strip of y, of which n rows are real.
INLINE void put16(const nat_int4 *w, int r, int n, __m512 v, float *y, int add) {
  const __mmask16 real = n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
  HOLD(v); // rounded: not fused with the bias
  if (w->bias) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(real, w->bias + r));
  if (add) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(real, y + r));
  _mm512_mask_storeu_ps(y + r, real, v);
}

// S strips from row r on and M rows of x, constants where this is called.
INLINE void some_a8(const nat_int4 *w, int r, int r1, int S, const int4_rows *x, int M, float *y, int ldy, int add) {
  const size_t head = int4_head(w), strip = int4_strip(w);
  const int groups = int4_groups(w), asym = w->asym, lines = w->group / 8;
  const __m512i nibble = _mm512_set1_epi8(15);
  const uint8_t *p = w->strips + (size_t)(r / INT4_STRIP) * strip;
  const int8_t *code = x->code;
  __m512 total[2][INT4_FEW];
#pragma GCC unroll 2
  for (int s = 0; s < S; s++)
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) total[s][m] = _mm512_setzero_ps();
  for (int g = 0; g < groups; g++) {
    const uint8_t *scale = p;
    __m512i dot[2][INT4_FEW];
#pragma GCC unroll 2
    for (int s = 0; s < S; s++)
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) dot[s][m] = _mm512_setzero_si512();
    p += head;
    for (int j = 0; j < lines; j++, p += INT4_LINE, code += 8)
#pragma GCC unroll 2
      for (int s = 0; s < S; s++) {
        const __m512i v = _mm512_loadu_si512(p + (size_t)s * strip);
        __builtin_prefetch(p + (size_t)s * strip + AHEAD);
        const __m512i low = _mm512_and_si512(v, nibble), high = _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble);
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
          dot[s][m] = _mm512_dpbusd_epi32(dot[s][m], low, four(code + (size_t)m * x->codes));
          HOLD(dot[s][m]);
          dot[s][m] = _mm512_dpbusd_epi32(dot[s][m], high, four(code + (size_t)m * x->codes + 4));
          HOLD(dot[s][m]);
        }
      }
#pragma GCC unroll 2
    for (int s = 0; s < S; s++) {
      const __m512 by = scales(scale + (size_t)s * strip);
      const __m512i zero = asym ? zeros(scale + (size_t)s * strip + 32) : _mm512_set1_epi32(8);
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        const __m512i sum = _mm512_set1_epi32(x->sum[(size_t)m * x->sums + (size_t)g]);
        const __m512 v = _mm512_cvtepi32_ps(_mm512_sub_epi32(dot[s][m], _mm512_mullo_epi32(sum, zero)));
        total[s][m] = _mm512_fmadd_ps(v, by, total[s][m]);
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; m++)
#pragma GCC unroll 2
    for (int s = 0; s < S; s++) {
      const int at = r + s * INT4_STRIP;
      put16(w, at, r1 - at, _mm512_mul_ps(total[s][m], _mm512_set1_ps(x->scale[m])), y + (size_t)m * (size_t)ldy, add);
    }
}

// Two strips at once where the registers allow: two streams, and twice the sums that do not wait for each other.
#define FEW_A8(M)                                                                                                          \
  static __attribute__((noinline)) TARGET void few_##M(const nat_int4 *w, int r0, int r1, const int4_rows *x, float *y, int ldy, int add) { \
    int r = r0;                                                                                                            \
    if (M <= 4)                                                                                                            \
      for (; r + INT4_STRIP < r1; r += 2 * INT4_STRIP) some_a8(w, r, r1, 2, x, M, y, ldy, add);                            \
    for (; r < r1; r += INT4_STRIP) some_a8(w, r, r1, 1, x, M, y, ldy, add);                                               \
  }
FEW_A8(1)
FEW_A8(2)
FEW_A8(3)
FEW_A8(4)
FEW_A8(5)
FEW_A8(6)
FEW_A8(7)
FEW_A8(8)

static TARGET void few_a8(const nat_int4 *w, int r0, int r1, const void *room, int M, float *y, int ldy, int add) {
  static void (*const few[])(const nat_int4 *, int, int, const int4_rows *, float *, int, int) = {
      few_1, few_2, few_3, few_4, few_5, few_6, few_7, few_8};
  int4_rows x = int4_rows_in(w, M, (void *)(uintptr_t)room);
  for (int n; M > 0; M -= n) {
    n = M < INT4_FEW ? M : INT4_FEW;
    few[n - 1](w, r0, r1, &x, y, ldy, add);
    x.scale += n, x.code += (size_t)n * x.codes, x.sum += (size_t)n * x.sums;
    y += (size_t)n * (size_t)ldy;
  }
}

// A strip and M rows of x, a constant where this is called. Even and odd columns have sums of their own.
INLINE void some_a16(const nat_int4 *w, int r, int r1, const float *x, size_t ldx, int M, float *y, int ldy, int add) {
  const int groups = int4_groups(w), lines = w->group / 8;
  const uint8_t *p = w->strips + (size_t)(r / INT4_STRIP) * int4_strip(w);
  const __m512 number = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  __m512 total[FLOAT_FEW];
#pragma GCC unroll 4
  for (int m = 0; m < M; m++) total[m] = _mm512_setzero_ps();
  for (int g = 0; g < groups; g++) {
    const __m512 by = scales(p), zero = w->asym ? _mm512_cvtepi32_ps(zeros(p + 32)) : _mm512_set1_ps(8);
    __m512 dot[FLOAT_FEW][2];
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) dot[m][0] = dot[m][1] = _mm512_setzero_ps();
    p += int4_head(w);
    for (int j = 0; j < lines; j++, p += INT4_LINE, x += 8) {
      const __m512i v = _mm512_loadu_si512(p);
      __builtin_prefetch(p + AHEAD);
#pragma GCC unroll 8
      for (int c = 0; c < 8; c++) { // a permutation reads the lowest four bits of a lane
        const __m512i at = _mm512_srli_epi32(v, c < 4 ? 8 * c : 8 * (c - 4) + 4);
        const __m512 f = _mm512_sub_ps(_mm512_permutexvar_ps(at, number), zero);
#pragma GCC unroll 4
        for (int m = 0; m < M; m++) {
          dot[m][c % 2] = _mm512_fmadd_ps(f, _mm512_set1_ps(x[(size_t)m * ldx + c]), dot[m][c % 2]);
          HOLD(dot[m][c % 2]);
        }
      }
    }
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) total[m] = _mm512_fmadd_ps(_mm512_add_ps(dot[m][0], dot[m][1]), by, total[m]);
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; m++) put16(w, r, r1 - r, total[m], y + (size_t)m * (size_t)ldy, add);
}

static TARGET void few_a16(const nat_int4 *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  for (int r = r0; r < r1; r += INT4_STRIP) {
    int m = 0;
#define ROWS(n) \
  for (; m + (n) <= M; m += (n)) some_a16(w, r, r1, x + (size_t)m * (size_t)ldx, (size_t)ldx, n, y + (size_t)m * (size_t)ldy, ldy, add);
    ROWS(4)
    ROWS(2)
    ROWS(1)
#undef ROWS
  }
}

const int4_kernels int4_avx512vnni = {.name = "avx512vnni", .quantize = quantize, .a8 = few_a8, .a16 = few_a16,
                                       .a8_many = int4_many_a8_avx512vnni, .a16_many = int4_many_a16_avx512};

// The same, with tiles for many rows.
const int4_kernels int4_amx = {.name = "amx", .quantize = quantize, .a8 = few_a8, .a16 = few_a16,
                                .a8_many = int4_many_a8_amx, .a16_many = int4_many_a16_amx};
#endif
