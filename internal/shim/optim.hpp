#pragma once
#include "shim.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

using at::Tensor;

struct Coefficients {
  float grad_scale, keep1, keep2, decay, step_size, root2, eps;  // see adamw in shim.h
};

static Coefficients coefficients(const shim_adamw_args &a) {
  double c1 = 1 - std::pow(a.beta1, (double)a.step), c2 = 1 - std::pow(a.beta2, (double)a.step);
  return {(float)a.grad_scale,    (float)(1 - a.beta1), (float)(1 - a.beta2), (float)(1 - a.lr * a.weight_decay),
          (float)(a.lr / c1), (float)std::sqrt(c2), (float)a.eps};
}

static void want_float(const Tensor &t, const Tensor &like, const char *what) {
  TORCH_CHECK(t.scalar_type() == at::kFloat && t.is_contiguous() && t.sizes() == like.sizes() && t.device() == like.device(), what, " is ",
              t.scalar_type(), " ", t.sizes(), " on ", t.device(), ", want contiguous Float ", like.sizes(), " on ", like.device());
}

static void update(Tensor p, Tensor m, Tensor v, Tensor g, Coefficients c, float beta2) {
  Tensor d = g * c.grad_scale;
  m.add_((d - m) * c.keep1);
  v.mul_(beta2).add_((d * d) * c.keep2);
  p.mul_(c.decay).sub_((m * c.step_size) / (v.sqrt() / c.root2 + c.eps));
}

extern "C" {
int shim_adamw(T param, T grad, T master, T m, T v, const shim_adamw_args *a, char **err) {
  return guard(err, [&] {
    at::AutoGradMode off(false);
    Tensor p = ref(param), x = master ? ref(master) : p, g = ref(grad);
    TORCH_CHECK(g.sizes() == p.sizes() && g.device() == p.device(), "gradient ", g.sizes(), " on ", g.device(), " of a parameter ", p.sizes(), " on ", p.device());
    g = g.to(at::kFloat).contiguous();
    want_float(x, p, master ? "master weight" : "parameter");
    want_float(ref(m), p, "exp_avg");
    want_float(ref(v), p, "exp_avg_sq");
    update(x, ref(m), ref(v), g, coefficients(*a), (float)a->beta2);
    if (master) p.copy_(x);
  });
}

int shim_sum_squares(double *out, T t, char **err) {
  return guard(err, [&] { *out = ref(t).detach().to(at::kDouble).square().sum().item<double>(); });
}
}
