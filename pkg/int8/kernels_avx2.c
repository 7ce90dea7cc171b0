// For CPUs with AVX2.
#if defined(__x86_64__)
#include <immintrin.h>

#define W 8
#define TARGET __attribute__((target("avx2,fma")))
#define MADD(a, b) ((vi)_mm256_madd_epi16((__m256i)(a), (__m256i)(b)))

#include "vectors.h"

// Each code goes to the top of a lane: an integer 2²⁴ times as large, and as exact a float.
INLINE vf column(const uint8_t *p, int c) {
  const __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
  const __m256i place = c ? _mm256_setr_epi8(-1, -1, -1, 1, -1, -1, -1, 3, -1, -1, -1, 5, -1, -1, -1, 7, -1, -1, -1, 9, -1, -1, -1, 11, -1,
                                             -1, -1, 13, -1, -1, -1, 15)
                          : _mm256_setr_epi8(-1, -1, -1, 0, -1, -1, -1, 2, -1, -1, -1, 4, -1, -1, -1, 6, -1, -1, -1, 8, -1, -1, -1, 10, -1,
                                             -1, -1, 12, -1, -1, -1, 14);
  return (vf)_mm256_cvtepi32_ps(_mm256_shuffle_epi8(both, place));
}
#define COLUMN column
#define COLUMN_TIMES 0x1p-24f
#include "product.h"

const int8_kernels int8_avx2 = {"avx2", quantize, integer, floating};
#endif
