// Which kernels there are, and the threads.
#include <omp.h>
#include <stddef.h>

#include "adamw.h"

const adamw_kernels *adamw_kernels_at(int i) {
#if defined(__x86_64__)
  int avx2 = __builtin_cpu_supports("avx2");
  int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  int vbmi = avx512 && __builtin_cpu_supports("avx512vbmi");
  const adamw_kernels *all[] = {&adamw_portable, avx2 ? &adamw_avx2 : NULL, avx512 ? &adamw_avx512 : NULL, vbmi ? &adamw_vbmi : NULL, NULL};
#else
  const adamw_kernels *all[] = {&adamw_portable, NULL};
#endif
  return i < (int)(sizeof all / sizeof *all) ? all[i] : NULL;
}

enum { PIECE = 128 * ADAMW_BLOCK }; // what a thread takes at a time, a multiple of ADAMW_SUM

// Sums are of parts of fixed size and added in order, so that they do not depend on the number of threads.
void adamw_squares(const adamw_kernels *k, const adamw_param *p, int count, double *sums) {
  for (int i = 0; i < count; i++) {
    const int64_t n = p[i].n, pieces = (n + PIECE - 1) / PIECE;
    double total = 0;
#pragma omp parallel for ordered schedule(monotonic : dynamic, 1) if (pieces > 1)
    for (int64_t piece = 0; piece < pieces; piece++) {
      double part[PIECE / ADAMW_SUM];
      const int64_t from = piece * PIECE, left = n - from < PIECE ? n - from : PIECE;
      const size_t size = p[i].grad_kind == ADAMW_F32 ? 4 : 2;
      k->squares((const char *)p[i].grad + from * size, p[i].grad_kind, left, part);
#pragma omp ordered
      for (int64_t j = 0; j * ADAMW_SUM < left; j++) total += part[j];
    }
    sums[i] = total;
  }
}

// Pieces are independent, so that it does not matter who computes them: whoever is free.
void adamw_run(const adamw_kernels *k, const adamw_param *p, int count) {
  int64_t pieces = 0;
  for (int i = 0; i < count; i++) pieces += (p[i].n + PIECE - 1) / PIECE;
#pragma omp parallel if (pieces > 1)
  {
    int64_t first = 0; // of the parameter
    int i = 0;
#pragma omp for schedule(monotonic : dynamic, 1)
    for (int64_t piece = 0; piece < pieces; piece++) {
      for (int64_t n; piece - first >= (n = (p[i].n + PIECE - 1) / PIECE); i++) first += n;
      const int64_t from = (piece - first) * PIECE, to = from + PIECE;
      k->update(&p[i], from, to < p[i].n ? to : p[i].n);
    }
  }
}

void adamw_encode(const adamw_kernels *k, const float *x, float largest, int kind, uint8_t *code) { k->encode(x, largest, kind, code); }
void adamw_decode(const adamw_kernels *k, const uint8_t *code, float largest, int kind, float *x) { k->decode(code, largest, kind, x); }
