// The loops of quantization over one group of consecutive numbers that share a scale and a zero point.
#pragma once
#include "wide.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

// Adding and subtracting 1.5 * 2^23 rounds half to even for |v| < 2^22; beyond, the value stays far outside every code
// range and is clamped.
static const float rounder = 12582912.0f;
#define ROUND(v) (((v) + rounder) - rounder)
#define CLAMP(q, lo, hi) ((q) < (lo) ? (lo) : (q) > (hi) ? (hi) : (q))  // keeps NaN

// Grid is what the numbers of a group share: code = clamp(r(x/scale) + zero, lo, hi), value = (code - zero) * post. With
// one scale, post is that too.
struct Grid {
  float scale, post, zero, lo, hi;
};

// A tensor of groups, each of width elements with one scale, cut into pieces of bounded length, so that one scale for
// everything still uses all threads.
struct Pieces {
  int64_t width, length, count;
  Pieces(int64_t width, int64_t groups) : width(width), length(std::min<int64_t>(width, 1 << 15)), count((width + length - 1) / length * groups) {}
  int64_t per_group() const { return (width + length - 1) / length; }
  int64_t group(int64_t i) const { return i / per_group(); }
  int64_t begin(int64_t i) const { return group(i) * width + i % per_group() * length; }
  int64_t size(int64_t i) const { return std::min(length, width - i % per_group() * length); }
  int64_t grain() const { return std::max<int64_t>(1, (1 << 14) / length); }
};

// Sums of a group, in float64 over blocks of 4096.
struct Slopes {
  double scale, zero, pre;
};

// Eight lanes, whatever the vector unit: sums have the same bits on every machine.
typedef float Lanes __attribute__((vector_size(32)));
typedef float Memory __attribute__((vector_size(32), aligned(4), may_alias));  // eight numbers anywhere

struct Loops {
  void (*values)(float *y, const float *x, int64_t n, Grid d);
  // From g, the gradient of the values: gx = g * mask (gx may be g), y = the values, and with z the zero point,
  //   one scale    scale += g * ((q - z) - x/s in range, q - z outside)
  //   two scales   scale += g * (q - z),  pre -= g * x/s * post/s in range;  gx = g * post/s in range
  //   zero -= g * post outside
  void (*single)(float *gx, float *y, const float *g, const float *x, int64_t n, Grid d, Slopes *sums);
  void (*dual)(float *gx, float *y, const float *g, const float *x, int64_t n, Grid d, Slopes *sums);
  float (*largest)(const float *x, int64_t n);
  void (*codes)(int8_t *q, const float *x, int64_t n, float s, float hi);
  void (*decode)(float *y, const int8_t *q, int64_t n, float s);
  void (*narrow)(uint16_t *y, const float *x, int64_t n);
  void (*widen)(float *y, const uint16_t *x, int64_t n);
  int (*offsets)(uint8_t *u, const float *x, int64_t n, Grid d);
};

// The loops for each vector unit: no contraction into FMA, and a wider unit only changes how many numbers go at once, so
// that all give the same bits.
#define LOOPS(name)                                                                                                      \
  static const Loops name = {name##_loops::values, name##_loops::slopes<false>, name##_loops::slopes<true>, name##_loops::largest, \
                             name##_loops::codes, name##_loops::decode, name##_loops::narrow, name##_loops::widen, \
                             name##_loops::offsets};
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("O3", "fp-contract=off", "no-trapping-math")
#endif
namespace portable_loops {
#include "quantloops.hpp"
}
LOOPS(portable)
#ifdef VECTORS
#pragma GCC push_options
#pragma GCC target("avx2")
namespace avx2_loops {
#include "quantloops.hpp"
}
#pragma GCC pop_options
LOOPS(avx2)
#pragma GCC push_options
#pragma GCC target("avx2,avx512f,avx512bw,avx512vl,avx512dq")
namespace avx512_loops {
#include "quantloops.hpp"
}
#pragma GCC pop_options
LOOPS(avx512)
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

// The dynamic scale of a token whose largest magnitude is top.
static inline float token_scale(float top, float hi) {
  float s = top / hi;
  return s < 0x1p-126f ? 0x1p-126f : s;  // keeps NaN
}

// A float32 that fp16 and bf16 both hold: 8 significant bits, half to even, 2^-14...65280 (package quant, "The scale
// grid"). NaN stays one.
static inline float on_grid(float v) {
  if (v != v) return v;
  if (v <= 0x1p-14f) return 0x1p-14f;
  if (v >= 65280.0f) return 65280.0f;
  uint32_t b;
  std::memcpy(&b, &v, 4);
  b = (b + 0x7fffu + (b >> 16 & 1)) & 0xffff0000u;
  std::memcpy(&v, &b, 4);
  return v;
}
