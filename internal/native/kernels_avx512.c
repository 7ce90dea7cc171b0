// For x86-64 CPUs with AVX-512 (F, BW, DQ, VL), which also read packed weights.
#if defined(__x86_64__)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#include <immintrin.h>

#include "native.h"

#define W 16
#define ROWS_MOST 6
#define SUM _mm512_reduce_add_ps
#define WIDEN(p) ((vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p))), 16))
#define WIDEN8(p) ((vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p)))))

static int packed(const nat_matrix *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add);
#define SPECIAL packed
#include "kernels.h"
#include "packed_avx512.h"

const nat_kernels nat_avx512 = {"avx512", 1, matmul, rmsnorm, rotate, swiglu, attend, keep};

void nat_avx512bf16_matmul(const nat_matrix *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add);
const nat_kernels nat_avx512bf16 = {"avx512bf16", 1, nat_avx512bf16_matmul, rmsnorm, rotate, swiglu, attend, keep};
#endif
