#include <stddef.h>

#include "lattice.h"

const lat_kernels *lat_kernels_at(int i) {
#if defined(__x86_64__)
  int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const lat_kernels *all[] = {&lat_portable, avx2 ? &lat_avx2 : NULL, avx512 ? &lat_avx512 : NULL, NULL};
#else
  const lat_kernels *all[] = {&lat_portable, NULL};
#endif
  return i < (int)(sizeof all / sizeof *all) ? all[i] : NULL;
}

long lat_nearest(const lat_kernels *k, const lat_weight *w, int rule, long from, long to, float *scale, int32_t *zero, uint8_t *codes) {
  return k->nearest(w, rule, from, to, scale, zero, codes);
}

void lat_residual(const lat_kernels *k, const lat_weight *w, int rule, const float *s, long from, long to, float *d) {
  k->residual(w, rule, s, from, to, d);
}

void lat_codes(const lat_kernels *k, const lat_weight *w, const float *scale, const int32_t *zero, long from, long to, uint8_t *codes) {
  k->codes(w, scale, zero, from, to, codes);
}

void lat_search_units(const lat_kernels *k, const lat_search *s, long from, long to, float *scale, int32_t *zero) {
  k->search(s, from, to, scale, zero);
}

void lat_hqq_units(const lat_kernels *k, const lat_hqq *q, long from, long to, float *scale, int32_t *zero) { k->hqq(q, from, to, scale, zero); }

void lat_gptq_rows(const lat_kernels *k, const lat_gptq *g, long from, long to) { k->gptq(g, from, to); }

void lat_round_rows(const lat_kernels *k, const lat_round *r, long from, long to, float *room) { k->round(r, from, to, room); }

long lat_round_room(const lat_round *r, long rows) {
  const long k = r->w.k, n = r->w.width, units = k / n;
  return rows * k * (units + 2) + 3 * k + 2 * n + (1 + LAT_ROUND_UNIT) * units;
}

void lat_permute(const float *w, long k, const int64_t *order, long from, long to, float *out) {
  for (long r = from; r < to; r++)
    for (long j = 0; j < k; j++) out[r * k + j] = w[r * k + order[j]];
}

void lat_restore(const uint8_t *codes, long k, const int64_t *order, long from, long to, uint8_t *out) {
  for (long r = from; r < to; r++)
    for (long j = 0; j < k; j++) out[r * k + order[j]] = codes[r * k + j];
}
