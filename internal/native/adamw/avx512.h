// What AVX-512 does in its own way; see kernel.h. The file that includes this defines TARGET.
#include <immintrin.h>

#include "adamw.h"

#define W 16
#define ROOT(v) ((vf)_mm512_sqrt_ps((__m512)(v)))
#define STEP static inline __attribute__((always_inline)) TARGET
#define OWN_STEPS

STEP __m512 of_octave(const float *t, __m512i octave) { // the permutation looks at five bits
  return _mm512_permutex2var_ps(_mm512_load_ps(t), octave, _mm512_load_ps(t + 16));
}

// By the lines of adamw.h where they decide, which is nearly always, else as in kernel.h.
STEP void put_codes(uint8_t *code, __m512 x, int kind) {
  const adamw_lines *l = &adamw_book.lines[kind];
  const __m512i u = _mm512_castps_si512(x), low = _mm512_set1_epi32(ADAMW_LOW << 16), zero = _mm512_set1_epi32(127);
  __m512i b = kind == 0 ? _mm512_add_epi32(_mm512_and_si512(u, _mm512_set1_epi32(0x7fffffff)), _mm512_srli_epi32(u, 31)) : u;
  b = _mm512_max_epi32(b, low);
  const __m512 a = _mm512_castsi512_ps(b);
  const __m512i octave = _mm512_srli_epi32(b, 23);
  const __m512 below = _mm512_fmadd_ps(a, of_octave(l->line[0], octave), of_octave(l->line[1], octave));
  const __m512 first = of_octave(l->first, octave), above = _mm512_fmadd_ps(below, _mm512_set1_ps(0.2f), _mm512_mul_ps(first, _mm512_set1_ps(0.8f)));
  const __m512 t = _mm512_max_ps(_mm512_min_ps(below, _mm512_sub_ps(first, _mm512_set1_ps(0.5f))),
                                 _mm512_min_ps(above, _mm512_sub_ps(below, _mm512_set1_ps(1))));
  const __m512 off = _mm512_abs_ps(_mm512_sub_ps(t, _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)));
  __m512i c = _mm512_cvttps_epi32(t);
  c = _mm512_mask_add_epi32(c, _mm512_cmpgt_epi32_mask(b, _mm512_set1_epi32((int)l->top)), c, _mm512_set1_epi32(1));
  if (__builtin_expect(_mm512_cmp_ps_mask(off, _mm512_set1_ps(l->near), _CMP_LT_OQ) != 0, 0)) {
    b = _mm512_sub_epi32(b, low);
    const __m512i s = _mm512_i32gather_epi32(_mm512_srli_epi32(b, 16), adamw_book.sort[kind], 4);
    c = _mm512_srli_epi32(_mm512_add_epi32(s, _mm512_and_si512(b, _mm512_set1_epi32(0xffff))), 16);
  }
  if (kind == 0)
    c = _mm512_mask_sub_epi32(_mm512_add_epi32(zero, c), _mm512_movepi32_mask(u), zero, _mm512_min_epi32(c, zero));
  else
    c = _mm512_maskz_mov_epi32(_mm512_test_epi32_mask(u, u), c);
  _mm_storeu_si128((__m128i *)code, _mm512_cvtepi32_epi8(c));
}
