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

// The bits by which a value is sorted; see kernel.h.
STEP __m512i sortable(__m512i u, int kind) {
  const __m512i b = kind == 0 ? _mm512_add_epi32(_mm512_and_si512(u, _mm512_set1_epi32(0x7fffffff)), _mm512_srli_epi32(u, 31)) : u;
  return _mm512_max_epi32(b, _mm512_set1_epi32(ADAMW_LOW << 16));
}

// The code of a value with the bits u whose magnitude has the code c.
STEP void put_signed(uint8_t *code, __m512i c, __m512i u, int kind) {
  const __m512i zero = _mm512_set1_epi32(127);
  if (kind == 0)
    c = _mm512_mask_sub_epi32(_mm512_add_epi32(zero, c), _mm512_movepi32_mask(u), zero, _mm512_min_epi32(c, zero));
  else
    c = _mm512_maskz_mov_epi32(_mm512_test_epi32_mask(u, u), c);
  _mm_storeu_si128((__m128i *)code, _mm512_cvtepi32_epi8(c));
}

// By the lines of adamw.h; where one of a block's values is too near to a bound for them, all are looked up.
STEP void put_codes(uint8_t *code, const float *x, float inverse, int kind) {
  const adamw_lines *l = &adamw_book.lines[kind];
  const __m512 scale = _mm512_set1_ps(inverse);
  __m512 nearest_bound = _mm512_set1_ps(1);
  for (int i = 0; i < ADAMW_BLOCK; i += 16) {
    const __m512i u = _mm512_castps_si512(_mm512_mul_ps(_mm512_loadu_ps(x + i), scale)), b = sortable(u, kind), octave = _mm512_srli_epi32(b, 23);
    const __m512 line = _mm512_fmadd_ps(_mm512_castsi512_ps(b), of_octave(l->line[0], octave), of_octave(l->line[1], octave));
    const __m512 first = of_octave(l->first, octave), next = _mm512_fmadd_ps(line, _mm512_set1_ps(0.2f), _mm512_mul_ps(first, _mm512_set1_ps(0.8f)));
    const __m512 t = _mm512_max_ps(_mm512_min_ps(line, _mm512_sub_ps(first, _mm512_set1_ps(0.5f))),
                                   _mm512_min_ps(next, _mm512_sub_ps(line, _mm512_set1_ps(1))));
    const __m512 whole = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    nearest_bound = _mm512_min_ps(nearest_bound, _mm512_abs_ps(_mm512_sub_ps(t, whole)));
    const __m512i c = _mm512_cvttps_epi32(t);
    put_signed(code + i, _mm512_mask_add_epi32(c, _mm512_cmpgt_epi32_mask(b, _mm512_set1_epi32((int)l->top)), c, _mm512_set1_epi32(1)), u, kind);
  }
  if (__builtin_expect(_mm512_cmp_ps_mask(nearest_bound, _mm512_set1_ps(l->near), _CMP_LT_OQ) == 0, 1)) return;
  for (int i = 0; i < ADAMW_BLOCK; i += 16) {
    const __m512i u = _mm512_castps_si512(_mm512_mul_ps(_mm512_loadu_ps(x + i), scale)), b = sortable(u, kind);
    const __m512i piece = _mm512_srli_epi32(_mm512_sub_epi32(b, _mm512_set1_epi32(ADAMW_LOW << 16)), 16);
    const __m512i s = _mm512_i32gather_epi32(piece, adamw_book.sort[kind], 4);
    put_signed(code + i, _mm512_srli_epi32(_mm512_add_epi32(s, _mm512_and_si512(b, _mm512_set1_epi32(0xffff))), 16), u, kind);
  }
}
