// For x86-64 CPUs with AVX-512 (F, BW, DQ, VBMI), which permutes bytes.
#if defined(__x86_64__)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vbmi,avx2")))
#include "avx512.h"

// Each of the four bytes of a value is looked up by itself, for 64 codes at a time, in the 256 bytes of four registers;
// then they are put together.
STEP void decode(const uint8_t *code, float largest, int kind, float *x) {
  __m512i t[4][4];
#pragma GCC unroll 4
  for (int byte = 0; byte < 4; byte++)
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) t[byte][i] = _mm512_load_si512(adamw_book.byte[kind][byte] + 64 * i);
  // Unpacking works within each quarter of a register: of four groups of four codes there, all first ones go to the first
  // quarter, all second ones to the second, and so on, so that the values come out in order.
  const __m512i turned = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  const __m512 scale = _mm512_set1_ps(largest);
  for (int i = 0; i < ADAMW_BLOCK; i += 64) {
    const __m512i c = _mm512_permutexvar_epi32(turned, _mm512_loadu_si512(code + i));
    const __mmask64 upper = _mm512_movepi8_mask(c);
    __m512i b[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++)
      b[k] = _mm512_mask_blend_epi8(upper, _mm512_permutex2var_epi8(t[k][0], c, t[k][1]), _mm512_permutex2var_epi8(t[k][2], c, t[k][3]));
    const __m512i low0 = _mm512_unpacklo_epi8(b[0], b[1]), low1 = _mm512_unpackhi_epi8(b[0], b[1]);
    const __m512i high0 = _mm512_unpacklo_epi8(b[2], b[3]), high1 = _mm512_unpackhi_epi8(b[2], b[3]);
    const __m512i v[4] = {_mm512_unpacklo_epi16(low0, high0), _mm512_unpackhi_epi16(low0, high0), _mm512_unpacklo_epi16(low1, high1),
                          _mm512_unpackhi_epi16(low1, high1)};
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) _mm512_storeu_ps(x + i + 16 * k, _mm512_mul_ps(_mm512_castsi512_ps(v[k]), scale));
  }
}
#include "kernel.h"

const adamw_kernels adamw_vbmi = {"avx512vbmi", update, squares, encode_block, decode_block};
#endif
