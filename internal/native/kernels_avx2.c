// For x86-64 CPUs with AVX2 and FMA.
#if defined(__x86_64__)
#include <immintrin.h>

#define W 8
#define TARGET __attribute__((target("avx2,fma")))
#define ROWS_MOST 2
#define WIDEN(p) ((vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p))), 16))
#define WIDEN8(p) ((vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p)))))
#define SUM sum_lanes
static inline __attribute__((always_inline, target("avx2,fma"))) float sum_lanes(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
#include "kernels.h"

const nat_kernels nat_avx2 = {"avx2", 0, matmul, rmsnorm, rotate, swiglu, attend, keep};
#endif
