// What both AVX-512 sets tell kernels.h.
#include <immintrin.h>

#include "native.h"

#define W 16
#define ROWS_MOST 6
#define SUM _mm512_reduce_add_ps
#define WIDEN(p) ((vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p))), 16))
