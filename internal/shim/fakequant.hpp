#pragma once
#include "fakequant.h"
#include "quantcpu.hpp"
#include "shim.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

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
        loops().values(py + at, px + at, p.size(i), {ps[g], ps[g], pz ? pz[g] : 0.0f, (float)lo, (float)hi});
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
    std::vector<Slopes> sums(p.count);
    at::parallel_for(0, p.count, p.grain(), [&](int64_t i, int64_t end) {
      for (; i < end; i++) {
        int64_t k = p.group(i), at = p.begin(i);
        loops().single(pgx + at, nullptr, pg + at, px + at, p.size(i), {ps[k], ps[k], pz ? pz[k] : 0.0f, lo, hi}, &sums[i]);
      }
    });
    float *pgs = gs.data_ptr<float>(), *pgz = pz ? gz.data_ptr<float>() : nullptr;
    for (int64_t k = 0, i = 0; k < scale.numel(); k++) {  // pieces in order: the sum does not depend on the threads
      double s = 0, z = 0;
      for (int64_t j = 0; j < p.per_group(); j++, i++) s += sums[i].scale, z += sums[i].zero;
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
      std::vector<int8_t> q(n);
      for (; i < end; i++) {
        float s = token_scale(loops().largest(px + i * n, n), (float)qmax);
        loops().codes(q.data(), px + i * n, n, s, (float)qmax);
        loops().decode(py + i * n, q.data(), n, s);
      }
    });
    *out = box(y);
  });
}
}
