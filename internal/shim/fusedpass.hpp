// The loops of a decoder layer between its projections, over rows of memory.
#pragma once
#include "quantcpu.hpp"

#include <memory>
#include <vector>

// Attended is what an attention reads and writes, all float32 and contiguous.
struct Attended {
  static constexpr int64_t rows = 64;  // whose scores exist at a time
  int64_t B, T, heads, kvs, D;
  float eps;
  const float *q, *k, *v;          // [B, T, heads or kvs, D]
  const float *wq, *wk;            // [D]
  const float *cos, *sin, *mask;   // [angles, T, D], [masks, T, T] or null
  int64_t angles, masks;           // B, or 1 for all alike
  float *o, *stats;                // [B, T, heads, D], [B, heads, T, 2] or null: the largest score, 1/Σ exp

  int64_t query(int64_t b, int64_t t, int64_t h) const { return ((b * T + t) * heads + h) * D; }
  int64_t key(int64_t b, int64_t t, int64_t h) const { return ((b * T + t) * kvs + h) * D; }
  int64_t stat(int64_t b, int64_t h, int64_t t) const { return (b * heads + h) * T + t; }
};

// AttendedBack are the gradients: that of o, and those that are wanted.
struct AttendedBack {
  const float *o;
  float *q, *k, *v;
};

struct Fused {
  float (*norm)(float *y, const float *x, const float *w, int64_t n, float eps);
  float (*norm16)(uint16_t *y, const uint16_t *x, const uint16_t *w, int64_t n, float eps);
  void (*norm_back)(float *gx, float *gw, const float *g, const float *x, const float *w, int64_t n, float r);
  void (*norm_back16)(uint16_t *gx, float *gw, const uint16_t *g, const uint16_t *x, const uint16_t *w, int64_t n, float r);
  void (*gate)(float *y, const float *a, const float *b, int64_t n);
  void (*gate16)(uint16_t *y, const uint16_t *a, const uint16_t *b, int64_t n);
  void (*gate_back)(float *ga, float *gb, const float *g, const float *a, const float *b, int64_t n);
  void (*gate_back16)(uint16_t *ga, uint16_t *gb, const uint16_t *g, const uint16_t *a, const uint16_t *b, int64_t n);
  float (*lse)(const float *x, int64_t n, float f);
  float (*divergence)(const float *t, const float *s, int64_t n, float f, float lt, float ls);
  void (*divergence_back)(float *gs, float g, const float *t, const float *s, int64_t n, float f, float lt, float ls);
  void (*attend)(const Attended &m, int64_t b, int64_t kv);
  void (*attend_back)(const Attended &m, const AttendedBack &g, int64_t b, int64_t kv, float *gwq, float *gwk);
};

// Unlike those of quantization, these may contract into FMA: their bits depend on the vector unit, not on the threads.
#define FUSED(name, in)                                                                                                  \
  static const Fused name = {in::norm<float>, in::norm<uint16_t>, in::norm_back<float>, in::norm_back<uint16_t>, in::gate<float>, \
                             in::gate<uint16_t>, in::gate_back<float>, in::gate_back<uint16_t>, in::lse, in::divergence,    \
                             in::divergence_back, in::attend, in::attend_back};
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("O3", "fp-contract=fast", "no-trapping-math", "no-math-errno")
#endif
namespace portable_fused {
#include "fusedloops.hpp"
}
FUSED(fused_portable, portable_fused)
#ifdef VECTORS
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2_fused {
#include "fusedloops.hpp"
}
#pragma GCC pop_options
FUSED(fused_avx2, avx2_fused)
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

static const Fused &fused() {
#ifdef VECTORS
  static const bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (wide && kernels->loops != &portable) return fused_avx2;
#endif
  return fused_portable;
}
