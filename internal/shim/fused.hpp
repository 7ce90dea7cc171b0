// The autograd functions of fused.h.
#pragma once
#include "fused.h"
#include "fusedpass.hpp"
#include "shim.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// About as many elements are worth a thread's start.
static int64_t grain(int64_t n) { return std::max<int64_t>(1, (1 << 13) / std::max<int64_t>(n, 1)); }

static uint16_t *half(const Tensor &t) { return reinterpret_cast<uint16_t *>(t.data_ptr()); }
static bool is_half(const Tensor &t) { return t.scalar_type() == at::kBFloat16; }

struct RMSNorm : torch::autograd::Function<RMSNorm> {
  static constexpr int64_t chunk = 256;  // rows whose share of the gain's gradient is one sum: the same for any number of threads

  static Tensor forward(AutogradContext *ctx, const Tensor &from, const Tensor &gain, double eps) {
    Tensor x = from.contiguous(), w = gain.contiguous(), y = at::empty_like(x);
    const int64_t n = w.numel(), rows = x.numel() / n;
    Tensor r = at::empty({rows}, x.options().dtype(at::kFloat));
    float *to = r.data_ptr<float>();
    at::parallel_for(0, rows, grain(n), [&](int64_t i, int64_t end) {
      for (; i < end; i++)
        to[i] = is_half(x) ? fused().norm16(half(y) + i * n, half(x) + i * n, half(w), n, (float)eps)
                           : fused().norm(y.data_ptr<float>() + i * n, x.data_ptr<float>() + i * n, w.data_ptr<float>(), n, (float)eps);
    });
    ctx->save_for_backward({x, w, r});
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grad) {
    auto saved = ctx->get_saved_variables();
    Tensor x = saved[0], w = saved[1], r = saved[2], g = grad[0].contiguous(), gx = at::empty_like(x);
    const int64_t n = w.numel(), rows = r.numel(), parts = (rows + chunk - 1) / chunk;
    Tensor sums = at::zeros({parts, n}, r.options()), gw = at::zeros({n}, r.options());
    const float *factor = r.data_ptr<float>();
    at::parallel_for(0, parts, std::max<int64_t>(1, grain(n) / chunk), [&](int64_t p, int64_t end) {
      for (; p < end; p++) {
        float *to = sums.data_ptr<float>() + p * n;
        for (int64_t i = p * chunk; i < std::min(rows, (p + 1) * chunk); i++)
          if (is_half(x))
            fused().norm_back16(half(gx) + i * n, to, half(g) + i * n, half(x) + i * n, half(w), n, factor[i]);
          else
            fused().norm_back(gx.data_ptr<float>() + i * n, to, g.data_ptr<float>() + i * n, x.data_ptr<float>() + i * n, w.data_ptr<float>(), n, factor[i]);
      }
    });
    float *total = gw.data_ptr<float>();
    for (int64_t p = 0; p < parts; p++)
      for (int64_t i = 0; i < n; i++) total[i] += sums.data_ptr<float>()[p * n + i];
    return {gx, gw.to(w.scalar_type()), Tensor()};
  }
};

struct Gated : torch::autograd::Function<Gated> {
  static constexpr int64_t piece = 1 << 13;  // elements

  // each calls f with pieces of n elements.
  template <class F>
  static void each(int64_t n, F f) {
    at::parallel_for(0, (n + piece - 1) / piece, 1, [&](int64_t i, int64_t end) {
      for (; i < end; i++) f(i * piece, std::min(piece, n - i * piece));
    });
  }

  static Tensor forward(AutogradContext *ctx, const Tensor &gate, const Tensor &up) {
    Tensor a = gate.contiguous(), b = up.contiguous(), y = at::empty_like(a);
    each(a.numel(), [&](int64_t i, int64_t n) {
      if (is_half(a))
        fused().gate16(half(y) + i, half(a) + i, half(b) + i, n);
      else
        fused().gate(y.data_ptr<float>() + i, a.data_ptr<float>() + i, b.data_ptr<float>() + i, n);
    });
    ctx->save_for_backward({a, b});
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grad) {
    auto saved = ctx->get_saved_variables();
    Tensor a = saved[0], b = saved[1], g = grad[0].contiguous(), ga = at::empty_like(a), gb = at::empty_like(b);
    each(a.numel(), [&](int64_t i, int64_t n) {
      if (is_half(a))
        fused().gate_back16(half(ga) + i, half(gb) + i, half(g) + i, half(a) + i, half(b) + i, n);
      else
        fused().gate_back(ga.data_ptr<float>() + i, gb.data_ptr<float>() + i, g.data_ptr<float>() + i, a.data_ptr<float>() + i, b.data_ptr<float>() + i, n);
    });
    return {ga, gb};
  }
};

struct RowDivergence : torch::autograd::Function<RowDivergence> {
  static Tensor forward(AutogradContext *ctx, const Tensor &teacher, const Tensor &student, double f) {
    Tensor t = teacher.contiguous(), s = student.contiguous();
    const int64_t n = s.size(-1), rows = s.numel() / n;
    Tensor kl = at::empty(s.sizes().slice(0, s.dim() - 1), s.options()), stats = at::empty({rows, 2}, s.options());
    float *to = kl.data_ptr<float>(), *stat = stats.data_ptr<float>();
    at::parallel_for(0, rows, grain(n), [&](int64_t i, int64_t end) {
      for (; i < end; i++) {
        const float *a = t.data_ptr<float>() + i * n, *b = s.data_ptr<float>() + i * n;
        stat[2 * i] = fused().lse(a, n, (float)f), stat[2 * i + 1] = fused().lse(b, n, (float)f);
        to[i] = fused().divergence(a, b, n, (float)f, stat[2 * i], stat[2 * i + 1]);
      }
    });
    ctx->save_for_backward({t, s, stats});
    ctx->saved_data["f"] = f;
    return kl;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grad) {
    auto saved = ctx->get_saved_variables();
    Tensor t = saved[0], s = saved[1], stats = saved[2], g = grad[0].contiguous(), gs = at::empty_like(s);
    const int64_t n = s.size(-1), rows = s.numel() / n;
    const float f = (float)ctx->saved_data["f"].toDouble(), *stat = stats.data_ptr<float>(), *scale = g.data_ptr<float>();
    at::parallel_for(0, rows, grain(n), [&](int64_t i, int64_t end) {
      for (; i < end; i++)
        fused().divergence_back(gs.data_ptr<float>() + i * n, scale[i] * f, t.data_ptr<float>() + i * n, s.data_ptr<float>() + i * n, n, f, stat[2 * i],
                                stat[2 * i + 1]);
    });
    return {Tensor(), gs, Tensor()};
  }
};

// HeadAttention keeps its inputs and two numbers a row and head; scores are computed again in the backward pass.
struct HeadAttention : torch::autograd::Function<HeadAttention> {
  static Attended attended(const variable_list &in, int64_t heads, int64_t kvs, double eps) {
    Attended m{};
    m.B = in[0].size(0), m.T = in[0].size(1), m.heads = heads, m.kvs = kvs, m.D = in[3].numel(), m.eps = (float)eps;
    m.q = in[0].data_ptr<float>(), m.k = in[1].data_ptr<float>(), m.v = in[2].data_ptr<float>();
    m.wq = in[3].data_ptr<float>(), m.wk = in[4].data_ptr<float>();
    m.cos = in[5].data_ptr<float>(), m.sin = in[6].data_ptr<float>(), m.angles = in[5].size(0);
    if (in.size() > 7) m.mask = in[7].data_ptr<float>(), m.masks = in[7].size(0);
    return m;
  }

  static Tensor forward(AutogradContext *ctx, at::TensorList list, int64_t heads, int64_t kvs, double eps, bool records) {
    variable_list in;
    for (auto &t : list) in.push_back(t.contiguous());
    Attended m = attended(in, heads, kvs, eps);
    Tensor y = at::empty_like(in[0]), stats;
    m.o = y.data_ptr<float>();
    if (records) {
      stats = at::empty({m.B, heads, m.T, 2}, y.options());
      m.stats = stats.data_ptr<float>();
    }
    at::parallel_for(0, m.B * kvs, 1, [&](int64_t i, int64_t end) {
      for (; i < end; i++) fused().attend(m, i / kvs, i % kvs);
    });
    if (records) {
      in.push_back(stats);
      ctx->save_for_backward(in);
      ctx->saved_data["heads"] = heads, ctx->saved_data["kvs"] = kvs, ctx->saved_data["eps"] = eps;
    }
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grad) {
    auto in = ctx->get_saved_variables();
    Tensor stats = in.back(), go = grad[0].contiguous();
    in.pop_back();
    const int64_t heads = ctx->saved_data["heads"].toInt(), kvs = ctx->saved_data["kvs"].toInt();
    Attended m = attended(in, heads, kvs, ctx->saved_data["eps"].toDouble());
    m.stats = stats.data_ptr<float>();
    Tensor gq = at::empty_like(in[0]), gk = at::empty_like(in[1]), gv = at::empty_like(in[2]);
    const int64_t units = m.B * kvs;
    Tensor sums = at::zeros({2, units, m.D}, go.options()), gw = at::zeros({2, m.D}, go.options());
    AttendedBack g{go.data_ptr<float>(), gq.data_ptr<float>(), gk.data_ptr<float>(), gv.data_ptr<float>()};
    float *part = sums.data_ptr<float>(), *total = gw.data_ptr<float>();
    at::parallel_for(0, units, 1, [&](int64_t i, int64_t end) {
      for (; i < end; i++) fused().attend_back(m, g, i / kvs, i % kvs, part + i * m.D, part + (units + i) * m.D);
    });
    for (int64_t w = 0; w < 2; w++)
      for (int64_t i = 0; i < units; i++)
        for (int64_t d = 0; d < m.D; d++) total[w * m.D + d] += part[(w * units + i) * m.D + d];
    variable_list result(in.size() + 4);
    result[0] = gq, result[1] = gk, result[2] = gv, result[3] = gw[0], result[4] = gw[1];
    return result;
  }
};

extern "C" {
int shim_fuses(T *tensors, int n, int half) {
  for (int i = 0; i < n; i++) {
    const Tensor &t = ref(tensors[i]);
    if (!t.is_cpu() || t.scalar_type() != ref(tensors[0]).scalar_type() || t.numel() == 0) return 0;
    if (t.scalar_type() != at::kFloat && !(half && is_half(t))) return 0;
  }
  return 1;
}

int shim_rms_norm(T *out, T x, T w, double eps, char **err) {
  return guard(err, [&] {
    TORCH_CHECK(ref(w).dim() == 1 && ref(x).dim() > 0 && ref(x).size(-1) == ref(w).size(0), "gain ", ref(w).sizes(), " of rows ", ref(x).sizes());
    *out = box(RMSNorm::apply(ref(x), ref(w), eps));
  });
}

int shim_gated(T *out, T a, T b, char **err) {
  return guard(err, [&] {
    TORCH_CHECK(ref(a).sizes() == ref(b).sizes(), "gate ", ref(a).sizes(), " of ", ref(b).sizes());
    *out = box(Gated::apply(ref(a), ref(b)));
  });
}

int shim_divergence(T *out, T teacher, T student, double f, char **err) {
  return guard(err, [&] {
    TORCH_CHECK(ref(student).dim() > 0 && ref(teacher).sizes() == ref(student).sizes(), "logits ", ref(student).sizes(), " beside ", ref(teacher).sizes());
    *out = box(RowDivergence::apply(ref(teacher), ref(student), f));
  });
}

int shim_attention(T *out, const shim_attention_args *a, char **err) {
  return guard(err, [&] {
    variable_list in;
    for (T t : {a->q, a->k, a->v, a->wq, a->wk, a->cos, a->sin, a->mask})
      if (t) in.push_back(ref(t));
    const Tensor &q = in[0];
    TORCH_CHECK(q.dim() == 3 && in[3].dim() == 1, "queries ", q.sizes(), " with gain ", in[3].sizes());
    const int64_t B = q.size(0), S = q.size(1), D = in[3].size(0);
    auto want = [&](const char *what, const Tensor &t, at::IntArrayRef shape, bool shared) {
      auto alike = shape.vec();
      alike[0] = 1;
      TORCH_CHECK(t.sizes() == shape || (shared && t.sizes() == at::IntArrayRef(alike)), what, " ", t.sizes(), ", want ", shape);
    };
    want("queries", q, {B, S, a->heads * D}, false);
    want("keys", in[1], {B, S, a->kvs * D}, false);
    want("values", in[2], {B, S, a->kvs * D}, false);
    want("gain of the keys", in[4], {D}, false);
    want("cosines", in[5], {B, 1, S, D}, true);
    want("sines", in[6], in[5].sizes(), false);
    if (in.size() > 7) want("mask", in[7], {B, 1, S, S}, true);
    TORCH_CHECK(a->kvs > 0 && a->heads % a->kvs == 0 && D % 2 == 0, a->heads, " heads of ", a->kvs, " key heads with ", D, " dimensions");
    bool records = at::GradMode::is_enabled();
    *out = box(HeadAttention::apply(at::TensorList(in), a->heads, a->kvs, a->eps, records));
  });
}
}
