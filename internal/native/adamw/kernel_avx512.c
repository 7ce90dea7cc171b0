// For x86-64 CPUs with AVX-512 (F, BW, DQ).
#if defined(__x86_64__)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx2")))
#include "avx512.h"

// The 256 values stand in 16 registers: permutations of 32 each are quicker than what gathers them from memory.
STEP void decode(const uint8_t *code, float largest, int kind, float *x) {
  __m512 t[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) t[i] = _mm512_load_ps(adamw_book.value[kind] + 16 * i);
  for (int i = 0; i < ADAMW_BLOCK; i += 16) {
    const __m512i c = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(code + i)));
    const __mmask16 b5 = _mm512_test_epi32_mask(c, _mm512_set1_epi32(32)), b6 = _mm512_test_epi32_mask(c, _mm512_set1_epi32(64)),
                    b7 = _mm512_test_epi32_mask(c, _mm512_set1_epi32(128));
    __m512 r[8];
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) r[k] = _mm512_permutex2var_ps(t[2 * k], c, t[2 * k + 1]);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) r[k] = _mm512_mask_blend_ps(b5, r[2 * k], r[2 * k + 1]);
    const __m512 v = _mm512_mask_blend_ps(b7, _mm512_mask_blend_ps(b6, r[0], r[1]), _mm512_mask_blend_ps(b6, r[2], r[3]));
    _mm512_storeu_ps(x + i, _mm512_mul_ps(v, _mm512_set1_ps(largest)));
  }
}
#include "kernel.h"

const adamw_kernels adamw_avx512 = {"avx512", update, squares, encode_block, decode_block};
#endif
