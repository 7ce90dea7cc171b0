// The two passes over a quantized weight, tile by tile: its values or codes, and from the gradient of its values those of
// the masters.
#pragma once
#include "quantcpu.hpp"
#include "quantlinear.h"
#include "shim.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <vector>

// Span is float32 or bfloat16 in memory.
struct Span {
  float *f;
  uint16_t *h;
  Span() : f(nullptr), h(nullptr) {}
  Span(const at::Tensor &t, const char *what) : Span() {
    TORCH_CHECK(t.is_cpu() && t.is_contiguous() && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16), what, " is ", t.scalar_type(),
                " ", t.sizes(), " on ", t.device(), ", want contiguous Float or BFloat16 on the CPU");
    if (t.scalar_type() == at::kFloat) f = t.data_ptr<float>();
    else h = (uint16_t *)t.data_ptr();
  }
  // n numbers from i as float32, through room where they are not.
  const float *read(int64_t i, int64_t n, float *room) const {
    if (f) return f + i;
    loops().widen(room, h + i, n);
    return room;
  }
  float *place(int64_t i, float *room) const { return f ? f + i : room; }
  void write(int64_t i, int64_t n, const float *v) const {
    if (h) loops().narrow(h + i, v, n);
  }
};

static const float *masters(const at::Tensor &t, int64_t n, const char *what) {
  TORCH_CHECK(t.is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous() && t.numel() == n, what, " is ", t.scalar_type(), " ", t.sizes(), " on ",
              t.device(), ", want contiguous Float of ", n, " elements on the CPU");
  return t.data_ptr<float>();
}

// Quantizer is a weight [n, k] with its masters.
struct Quantizer {
  int64_t n, k, width;  // numbers that share a scale
  Span w;
  const float *scale, *pre = nullptr, *zero = nullptr;
  float lo, hi;

  Quantizer(const at::Tensor &weight, const at::Tensor &s, const at::Tensor *p, const at::Tensor *z, double qmin, double qmax)
      : w(weight, "weight"), lo((float)qmin), hi((float)qmax) {
    TORCH_CHECK(weight.dim() == 2 && s.numel() > 0 && weight.numel() > 0 && weight.numel() % s.numel() == 0, "weight ", weight.sizes(), " with scale ",
                s.sizes());
    n = weight.size(0), k = weight.size(1), width = weight.numel() / s.numel();
    TORCH_CHECK(width % k == 0 || k % width == 0, "weight ", weight.sizes(), " with scale ", s.sizes());
    scale = masters(s, s.numel(), "weight scale");
    if (p) pre = masters(*p, s.numel(), "second weight scale");
    if (z) zero = masters(*z, s.numel(), "zero point");
  }

  int64_t scales() const { return n * k / width; }

  Grid grid(int64_t j) const {
    float post = on_grid(scale[j]), z = 0;
    if (zero) z = CLAMP(ROUND(zero[j]), lo, hi);
    return {pre ? on_grid(pre[j]) : post, post, z, lo, hi};
  }

  static constexpr int64_t block = 4096;  // numbers at once: sums are added up block by block

  // values writes the quantized weight, [n, k].
  void values(const at::Tensor &out) const {
    Span y(out, "values");
    Pieces p(width, scales());
    at::parallel_for(0, p.count, p.grain(), [&](int64_t i, int64_t end) {
      float from[block], to[block];
      for (; i < end; i++) {
        Grid d = grid(p.group(i));
        for (int64_t at = p.begin(i), stop = at + p.size(i); at < stop; at += block) {
          int64_t m = std::min(block, stop - at);
          float *v = y.place(at, to);
          loops().values(v, w.read(at, m, from), m, d);
          y.write(at, m, v);
        }
      }
    });
  }

  // gradients turns g, the gradient of the values, into that of the weight (gw may be g), writes the values on the way
  // (out may be undefined) and returns one Slopes a scale: the sums do not depend on the threads.
  std::vector<Slopes> gradients(const at::Tensor &gw, const at::Tensor &g, const at::Tensor &out) const {
    Span to(gw, "gradient"), from(g, "gradient"), y;
    if (out.defined()) y = Span(out, "values");
    Pieces p(width, scales());
    std::vector<Slopes> parts(p.count), sums(scales());
    auto pass = pre ? loops().dual : loops().single;
    at::parallel_for(0, p.count, p.grain(), [&](int64_t i, int64_t end) {
      float a[block], b[block], c[block], e[block];
      for (; i < end; i++) {
        Grid d = grid(p.group(i));
        for (int64_t at = p.begin(i), stop = at + p.size(i); at < stop; at += block) {
          int64_t m = std::min(block, stop - at);
          float *t = to.place(at, a), *v = out.defined() ? y.place(at, b) : nullptr;
          Slopes s;
          pass(t, v, from.read(at, m, c), w.read(at, m, e), m, d, &s);
          to.write(at, m, t);
          if (v) y.write(at, m, v);
          parts[i].scale += s.scale, parts[i].zero += s.zero, parts[i].pre += s.pre;
        }
      }
    });
    for (int64_t j = 0, i = 0; j < scales(); j++)  // pieces in order
      for (int64_t end = i + p.per_group(); i < end; i++) sums[j].scale += parts[i].scale, sums[j].zero += parts[i].zero, sums[j].pre += parts[i].pre;
    return sums;
  }

  // A group of a row, padded to a multiple of 4 columns.
  int64_t columns() const { return std::min(width, k); }
  int64_t span() const { return (columns() + 3) / 4 * 4; }
  int64_t groups() const { return k / columns(); }

  // panel quantizes rows [first, first + Panel::rows), those that there are, into the memory of store.
  struct Store {
    std::vector<uint8_t> row, codes;
    std::vector<float> wide, scale;
    std::vector<int32_t> zero;
  };
  Panel panel(int64_t first, Store &s) const {
    const int64_t R = Panel::rows, G = groups(), C = columns(), S = span();
    s.row.assign(G * S, 0), s.wide.resize(k);
    s.codes.resize(R * G * S), s.scale.assign(R * G, 0), s.zero.assign(R * G, 0);
    for (int64_t r = 0; r < R; r++) {
      if (first + r < n) {
        const float *v = w.read((first + r) * k, k, s.wide.data());
        for (int64_t g = 0; g < G; g++) {
          Grid d = grid(((first + r) * k + g * C) / width);
          bool nan = loops().offsets(&s.row[g * S], v + g * C, C, d) != 0;
          s.scale[g * R + r] = nan ? NAN : d.post;
          s.zero[g * R + r] = (int32_t)(d.zero - lo);
        }
      } else {
        std::fill(s.row.begin(), s.row.end(), 0);
      }
      for (int64_t q = 0; q < G * S / 4; q++) std::memcpy(&s.codes[4 * (q * R + r)], &s.row[4 * q], 4);
    }
    return {G, S, s.codes.data(), s.scale.data(), s.zero.data(), (int)(hi - lo)};
  }
};
