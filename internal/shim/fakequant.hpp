#pragma once
#include "fakequant.h"
#include "shim.hpp"
#include "wide.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <vector>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Adding and subtracting 1.5 * 2^23 rounds half to even for |v| < 2^22; beyond, the value stays far outside every code
// range and is clamped.
static const float rounder = 12582912.0f;
#define ROUND(v) (((v) + rounder) - rounder)
#define CLAMP(q, lo, hi) ((q) < (lo) ? (lo) : (q) > (hi) ? (hi) : (q))  // keeps NaN

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

WIDE static void values(float *__restrict y, const float *__restrict x, int64_t n, float s, float z, float lo, float hi) {
  for (int64_t i = 0; i < n; i++) {
    float q = ROUND(x[i] / s) + z;
    float c = CLAMP(q, lo, hi);
    y[i] = ((c - z) + 0.0f) * s;  // + 0 makes -0 a +0, as a stored code has no sign of zero
  }
}

// gx = g * mask; sums[0] += g * ((q - z) - x/s in range, q - z outside); sums[1] += g * (0 in range, -s outside).
WIDE static void slopes(float *__restrict gx, const float *__restrict g, const float *__restrict x, int64_t n, float s, float z, float lo,
                        float hi, double *sums) {
  for (int64_t from = 0; from < n; from += 4096) {
    int64_t to = std::min(n, from + 4096), whole = from + (to - from) / 8 * 8, i = from;
    float ds[8] = {}, dz[8] = {};
    for (; i < whole; i += 8)
      for (int j = 0; j < 8; j++) {
        float e = x[i + j] / s, q = ROUND(e) + z, c = CLAMP(q, lo, hi);
        float in = q == c ? g[i + j] : 0.0f, d = c - z;
        gx[i + j] = in;
        ds[j] += g[i + j] * (q == c ? d - e : d);
        dz[j] += g[i + j] - in;
      }
    for (; i < to; i++) {
      float e = x[i] / s, q = ROUND(e) + z, c = CLAMP(q, lo, hi);
      float in = q == c ? g[i] : 0.0f, d = c - z;
      gx[i] = in;
      ds[0] += g[i] * (q == c ? d - e : d);
      dz[0] += g[i] - in;
    }
    for (int j = 0; j < 8; j++) sums[0] += ds[j], sums[1] -= (double)dz[j] * s;
  }
}

WIDE static void token(float *__restrict y, const float *__restrict x, int64_t n, float hi) {
  float top[8] = {};
  int64_t whole = n / 8 * 8, i = 0;
  for (; i < whole; i += 8)
    for (int j = 0; j < 8; j++) {
      float a = std::fabs(x[i + j]);
      top[j] = a > top[j] ? a : top[j];
    }
  for (; i < n; i++) top[0] = std::max(top[0], std::fabs(x[i]));
  for (int j = 1; j < 8; j++) top[0] = std::max(top[0], top[j]);
  float s = std::max(top[0] / hi, 0x1p-126f), lo = -hi - 1;
  for (i = 0; i < n; i++) {
    float q = ROUND(x[i] / s);
    y[i] = (CLAMP(q, lo, hi) + 0.0f) * s;
  }
}

static const float *floats(const Tensor &t, const char *what) {
  TORCH_CHECK(t.is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous(), what, " is ", t.scalar_type(), " ", t.sizes(), " on ", t.device(),
              ", want contiguous Float on the CPU");
  return t.data_ptr<float>();
}

// apply cannot take an undefined tensor, so a symmetric scheme passes its scale in the place of zero points, unused.
struct FakeQuantize : torch::autograd::Function<FakeQuantize> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &scale, const Tensor &zero, bool symmetric, double lo, double hi) {
    const float *px = floats(x, "x"), *ps = floats(scale, "scale"), *pz = symmetric ? nullptr : floats(zero, "zero point");
    TORCH_CHECK(scale.numel() > 0 && x.numel() % scale.numel() == 0 && (!pz || zero.numel() == scale.numel()), "x ", x.sizes(), " with scale ",
                scale.sizes());
    Tensor y = at::empty_like(x);
    float *py = y.data_ptr<float>();
    Pieces p(x.numel() / scale.numel(), scale.numel());
    at::parallel_for(0, p.count, p.grain(), [&](int64_t i, int64_t end) {
      for (; i < end; i++) {
        int64_t g = p.group(i), at = p.begin(i);
        values(py + at, px + at, p.size(i), ps[g], pz ? pz[g] : 0.0f, (float)lo, (float)hi);
      }
    });
    ctx->save_for_backward({x, scale, zero});
    ctx->saved_data["symmetric"] = symmetric;
    ctx->saved_data["lo"] = lo;
    ctx->saved_data["hi"] = hi;
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grad) {
    auto in = ctx->get_saved_variables();
    bool symmetric = ctx->saved_data["symmetric"].toBool();
    Tensor x = in[0].detach(), scale = in[1].detach(), zero = in[2].detach(), g = grad[0].contiguous();
    float lo = (float)ctx->saved_data["lo"].toDouble(), hi = (float)ctx->saved_data["hi"].toDouble();
    Tensor gx = at::empty_like(x), gs = at::zeros_like(scale), gz = symmetric ? Tensor() : at::zeros_like(zero);
    const float *px = floats(x, "x"), *pg = floats(g, "gradient"), *ps = scale.data_ptr<float>(), *pz = symmetric ? nullptr : zero.data_ptr<float>();
    float *pgx = gx.data_ptr<float>();
    Pieces p(x.numel() / scale.numel(), scale.numel());
    std::vector<double> sums(2 * p.count);
    at::parallel_for(0, p.count, p.grain(), [&](int64_t i, int64_t end) {
      for (; i < end; i++) {
        int64_t k = p.group(i), at = p.begin(i);
        slopes(pgx + at, pg + at, px + at, p.size(i), ps[k], pz ? pz[k] : 0.0f, lo, hi, &sums[2 * i]);
      }
    });
    float *pgs = gs.data_ptr<float>(), *pgz = pz ? gz.data_ptr<float>() : nullptr;
    for (int64_t k = 0, i = 0; k < scale.numel(); k++) {  // pieces in order: the sum does not depend on the threads
      double s = 0, z = 0;
      for (int64_t j = 0; j < p.per_group(); j++, i++) s += sums[2 * i], z += sums[2 * i + 1];
      pgs[k] = (float)s;
      if (pgz) pgz[k] = (float)z;
    }
    return {gx, gs, gz, Tensor(), Tensor(), Tensor()};
  }
};

extern "C" {
int shim_fake_quantize(T *out, T x, T scale, T zero, double qmin, double qmax, char **err) {
  return guard(err, [&] { *out = box(FakeQuantize::apply(ref(x), ref(scale), ref(zero ? zero : scale), zero == nullptr, qmin, qmax)); });
}

int shim_quantize_tokens(T *out, T t, double qmax, char **err) {
  return guard(err, [&] {
    Tensor x = ref(t).detach();
    TORCH_CHECK(x.dim() > 0 && x.size(-1) > 0, "x ", x.sizes(), " has no features");
    const float *px = floats(x, "x");
    Tensor y = at::empty_like(x);
    float *py = y.data_ptr<float>();
    int64_t n = x.size(-1);
    at::parallel_for(0, x.numel() / n, std::max<int64_t>(1, (1 << 14) / n), [&](int64_t i, int64_t end) {
      for (; i < end; i++) token(py + i * n, px + i * n, n, (float)qmax);
    });
    *out = box(y);
  });
}
}
