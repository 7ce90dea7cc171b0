#pragma once
#include "shim.hpp"
#include "wide.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <vector>
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

using at::Tensor;

struct Coefficients {
  float grad_scale, keep1, keep2, decay, step_size, root2, eps;  // see adamw in shim.h
};

static Coefficients coefficients(const shim_adamw_args &a) {
  double c1 = 1 - std::pow(a.beta1, (double)a.step), c2 = 1 - std::pow(a.beta2, (double)a.step);
  return {(float)a.grad_scale,    (float)(1 - a.beta1), (float)(1 - a.beta2), (float)(1 - a.lr * a.weight_decay),
          (float)(a.lr / c1), (float)std::sqrt(c2), (float)a.eps};
}

// The compiler takes no square roots in a wide loop: the function may set errno.
static void roots(float *r, const float *v, int64_t n) {
  int64_t i = 0;
#if defined(__SSE2__)
  for (; i + 4 <= n; i += 4) _mm_storeu_ps(r + i, _mm_sqrt_ps(_mm_loadu_ps(v + i)));
#elif defined(__aarch64__)
  for (; i + 4 <= n; i += 4) vst1q_f32(r + i, vsqrtq_f32(vld1q_f32(v + i)));
#endif
  for (; i < n; i++) r[i] = std::sqrt(v[i]);
}

WIDE static void moments(float *__restrict m, float *__restrict v, const float *__restrict g, int64_t n, Coefficients c, float beta2) {
  for (int64_t i = 0; i < n; i++) {
    float d = g[i] * c.grad_scale;
    m[i] = m[i] + (d - m[i]) * c.keep1;
    v[i] = v[i] * beta2 + (d * d) * c.keep2;
  }
}

WIDE static void weights(float *__restrict p, const float *__restrict m, const float *__restrict r, int64_t n, Coefficients c) {
  for (int64_t i = 0; i < n; i++) p[i] = p[i] * c.decay - (m[i] * c.step_size) / (r[i] / c.root2 + c.eps);
}

static void update(float *p, float *m, float *v, const float *g, int64_t n, Coefficients c, float beta2) {
  constexpr int64_t piece = 512;  // stays in the cache between the loops
  float r[piece];
  for (int64_t i = 0; i < n; i += piece) {
    int64_t k = std::min(piece, n - i);
    moments(m + i, v + i, g + i, k, c, beta2);
    roots(r, v + i, k);
    weights(p + i, m + i, r, k, c);
  }
}

static float *floats(const Tensor &t, const Tensor &like, const char *what) {
  TORCH_CHECK(t.scalar_type() == at::kFloat && t.is_contiguous() && t.sizes() == like.sizes() && t.device() == like.device(), what, " is ",
              t.scalar_type(), " ", t.sizes(), " on ", t.device(), ", want contiguous Float ", like.sizes(), " on ", like.device());
  return t.data_ptr<float>();
}

// The same update as tensor operations, for devices whose memory the pass above cannot reach.
static void composite(Tensor p, Tensor m, Tensor v, Tensor g, Coefficients c, float beta2) {
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
    float *px = floats(x, p, master ? "master weight" : "parameter"), *pm = floats(ref(m), p, "exp_avg"), *pv = floats(ref(v), p, "exp_avg_sq");
    Coefficients c = coefficients(*a);
    float beta2 = (float)a->beta2;
    if (p.is_cpu() && !a->composite) {
      const float *pg = g.data_ptr<float>();
      at::parallel_for(0, p.numel(), 1 << 15, [&](int64_t i, int64_t end) { update(px + i, pm + i, pv + i, pg + i, end - i, c, beta2); });
      x.unsafeGetTensorImpl()->bump_version();  // a graph that saved the old value must notice
    } else {
      composite(x, ref(m), ref(v), g, c, beta2);
    }
    if (master) p.copy_(x);
  });
}

// Blocks are summed one by one and their sums in order: the result does not depend on the number of threads.
int shim_sum_squares(double *out, T t, char **err) {
  return guard(err, [&] {
    Tensor x = ref(t).detach();
    if (!x.is_cpu()) {
      *out = x.to(at::kDouble).square().sum().item<double>();
      return;
    }
    x = x.to(at::kFloat).contiguous();
    const float *p = x.data_ptr<float>();
    const int64_t n = x.numel(), block = 4096;
    std::vector<double> sums((n + block - 1) / block);
    at::parallel_for(0, (int64_t)sums.size(), 8, [&](int64_t i, int64_t end) {
      for (; i < end; i++) {
        double lanes[8] = {};
        int64_t from = i * block, to = std::min(n, from + block), k = from;
        for (; k + 8 <= to; k += 8)
          for (int j = 0; j < 8; j++) lanes[j] += (double)p[k + j] * (double)p[k + j];
        for (; k < to; k++) lanes[0] += (double)p[k] * (double)p[k];
        for (double l : lanes) sums[i] += l;
      }
    });
    *out = 0;
    for (double s : sums) *out += s;
  });
}
}
