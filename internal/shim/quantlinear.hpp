// A linear layer, or several of one input, of fake-quantized input and weights as one autograd function. It keeps the
// masters and the input's int8 codes; no float copy of either outlives a pass.
#pragma once
#include "product.hpp"
#include "quantweight.hpp"

#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// QuantLinearPlan says which of the flat list of tensors are whose.
struct QuantLinearPlan : torch::CustomClassHolder {
  struct Weight {
    int w, scale, pre = -1, zero = -1, bias = -1;
    double qmin, qmax, factor;
  };
  std::vector<Weight> weights;
  int mode, static_scale = -1;
  double qmax, factor;
  bool integer, bf16_backward, records;

  Quantizer quantizer(const Weight &l, const variable_list &t) const {
    return {t[l.w], t[l.scale], l.pre < 0 ? nullptr : &t[l.pre], l.zero < 0 ? nullptr : &t[l.zero], l.qmin, l.qmax};
  }
};

// QuantizedInput is x [M, K] as int8 codes with a scale a token.
struct QuantizedInput {
  Tensor codes, scale;

  QuantizedInput(const Tensor &x, double qmax, const float *fixed)
      : codes(at::empty_like(x, x.options().dtype(at::kChar))), scale(at::empty({x.size(0)}, x.options().dtype(at::kFloat))) {
    const int64_t k = x.size(1);
    Span from(x, "input");
    int8_t *q = codes.data_ptr<int8_t>();
    float *s = scale.data_ptr<float>();
    at::parallel_for(0, x.size(0), std::max<int64_t>(1, (1 << 14) / k), [&](int64_t i, int64_t end) {
      std::vector<float> room(from.h ? k : 0);
      for (; i < end; i++) {
        const float *v = from.read(i * k, k, room.data());
        float top = loops().largest(v, k);
        // A fixed scale clips infinity, but NaN must stay visible.
        s[i] = !fixed ? token_scale(top, (float)qmax) : top == top || none(v, k) ? *fixed : NAN;
        loops().codes(q + i * k, v, k, s[i], (float)qmax);
      }
    });
  }
  QuantizedInput(const Tensor &codes, const Tensor &scale) : codes(codes), scale(scale) {}

  static bool none(const float *v, int64_t n) {
    for (int64_t i = 0; i < n; i++)
      if (v[i] != v[i]) return false;
    return true;
  }

  // values is the quantized input in dtype.
  Tensor values(at::ScalarType dtype) const {
    Tensor out = at::empty_like(codes, codes.options().dtype(dtype));
    const int64_t k = codes.size(1);
    const int8_t *q = codes.data_ptr<int8_t>();
    const float *s = scale.data_ptr<float>();
    Span y(out, "values");
    at::parallel_for(0, codes.size(0), std::max<int64_t>(1, (1 << 14) / k), [&](int64_t i, int64_t end) {
      std::vector<float> room(y.h ? k : 0);
      for (; i < end; i++) {
        float *v = y.place(i * k, room.data());
        loops().decode(v, q + i * k, k, s[i]);
        y.write(i * k, k, v);
      }
    });
    return out;
  }
};

// IntegerProduct multiplies codes with weights; it holds the codes by the groups of one weight's scheme.
struct IntegerProduct {
  const QuantizedInput &x;
  int64_t columns = 0;
  std::vector<int8_t> padded;
  std::vector<int32_t> sums;

  void group(const Quantizer &w) {
    if (columns == w.columns()) return;
    columns = w.columns();
    const int64_t m = x.codes.size(0), k = x.codes.size(1), C = columns, S = w.span(), G = w.groups();
    const int8_t *q = x.codes.data_ptr<int8_t>();
    sums.resize(m * G);
    padded.assign(S == C ? 0 : m * G * S, 0);
    at::parallel_for(0, m, std::max<int64_t>(1, (1 << 14) / k), [&](int64_t i, int64_t end) {
      for (; i < end; i++)
        for (int64_t g = 0; g < G; g++) {
          const int8_t *from = q + i * k + g * C;
          int32_t sum = 0;
          for (int64_t c = 0; c < C; c++) sum += from[c];
          sums[i * G + g] = sum;
          if (S != C) std::copy_n(from, C, &padded[(i * G + g) * S]);
        }
    });
  }

  // operator() is y [M, N] in dtype, a panel of rows after the other.
  Tensor operator()(const Quantizer &w, const Tensor *bias, at::ScalarType dtype) {
    group(w);
    const int64_t m = x.codes.size(0), R = Panel::rows, block = 96;  // tokens whose results stay in the cache
    Tensor out = at::empty({m, w.n}, x.codes.options().dtype(dtype)), b;
    if (bias) b = bias->detach().to(at::kFloat).contiguous();
    Span y(out, "output");
    Tokens t{padded.empty() ? x.codes.data_ptr<int8_t>() : padded.data(), sums.data(), x.scale.data_ptr<float>()};
    const float *add = bias ? b.data_ptr<float>() : nullptr;
    at::parallel_for(0, (w.n + R - 1) / R, 1, [&](int64_t i, int64_t end) {
      Quantizer::Store store;
      std::vector<float> tile(block * R);
      for (; i < end; i++) {
        Panel p = w.panel(i * R, store);
        const int64_t rows = std::min(R, w.n - i * R);
        for (int64_t from = 0; from < m; from += block) {
          const int64_t to = std::min(m, from + block);
          kernels->dots(tile.data() - from * R, R, p, t, from, to);
          for (int64_t j = from; j < to; j++) {
            float *v = &tile[(j - from) * R];
            if (add)
              for (int64_t r = 0; r < rows; r++) v[r] = v[r] + add[i * R + r];
            const int64_t at = j * w.n + i * R;
            if (y.f) std::copy_n(v, rows, y.f + at);
            else loops().narrow(y.h + at, v, rows);
          }
        }
      }
    });
    return out;
  }
};

struct QuantLinear : torch::autograd::Function<QuantLinear> {
  using Plan = c10::intrusive_ptr<QuantLinearPlan>;

  // in is x [..., K], then the tensors that the plan numbers.
  static variable_list forward(AutogradContext *ctx, at::TensorList in, Plan plan) {
    const variable_list t = in.vec();
    const Tensor &x = t[0];
    const auto dtype = x.scalar_type();
    const int64_t k = x.size(-1);
    Tensor flat = x.reshape({-1, k}).contiguous(), xq = flat;
    std::vector<QuantizedInput> codes;  // none or one
    float fixed = 0;
    if (plan->mode == SHIM_INPUT_STATIC) fixed = on_grid(*masters(t[plan->static_scale], 1, "input scale"));
    if (plan->mode == SHIM_INPUT_TOKEN || plan->mode == SHIM_INPUT_STATIC) {
      codes.emplace_back(flat, plan->qmax, plan->mode == SHIM_INPUT_STATIC ? &fixed : nullptr);
      if (!plan->integer) xq = codes[0].values(dtype);
    }
    variable_list outs;
    auto shape = x.sizes().vec();
    std::vector<IntegerProduct> product;
    if (plan->integer) product.push_back({codes[0]});
    for (auto &l : plan->weights) {
      Quantizer w = plan->quantizer(l, t);
      TORCH_CHECK(w.k == k, "input ", x.sizes(), " of a weight ", t[l.w].sizes());
      TORCH_CHECK(l.bias < 0 || t[l.bias].numel() == w.n, "bias ", t[l.bias < 0 ? 0 : l.bias].sizes(), " of a weight ", t[l.w].sizes());
      shape.back() = w.n;
      if (plan->integer) {
        outs.push_back(product[0](w, l.bias < 0 ? nullptr : &t[l.bias], dtype).view(shape));
        continue;
      }
      Tensor wq = at::empty({w.n, w.k}, x.options());
      w.values(wq);
      c10::optional<Tensor> bias;
      if (l.bias >= 0) bias = t[l.bias].to(dtype);
      outs.push_back(fast_linear(xq.view(x.sizes()), wq, bias));
    }
    if (plan->records) {
      variable_list kept = t;
      if (plan->mode == SHIM_INPUT_TOKEN) kept[0] = codes[0].codes, kept.push_back(codes[0].scale);
      ctx->save_for_backward(kept);
      ctx->saved_data["plan"] = c10::IValue::make_capsule(plan);
      ctx->saved_data["shape"] = x.sizes().vec();
      ctx->saved_data["dtype"] = (int64_t)dtype;
    }
    return outs;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grad) {
    const variable_list t = ctx->get_saved_variables();
    const auto &plan = *static_cast<QuantLinearPlan *>(ctx->saved_data["plan"].toCapsule().get());
    const auto shape = ctx->saved_data["shape"].toIntVector();
    const auto dtype = (at::ScalarType)ctx->saved_data["dtype"].toInt(), compute = plan.bf16_backward ? at::kBFloat16 : dtype;
    const int64_t k = shape.back();
    const bool input = ctx->needs_input_grad(0) || plan.static_scale >= 0 && ctx->needs_input_grad(plan.static_scale);
    variable_list result(t.size() - (plan.mode == SHIM_INPUT_TOKEN) + 1);  // none for the plan

    Tensor xq, gx;  // [M, K]
    auto quantized_input = [&]() -> const Tensor & {
      if (xq.defined()) return xq;
      if (plan.mode == SHIM_INPUT_FLOAT) return xq = t[0].detach().reshape({-1, k}).contiguous().to(compute);
      if (plan.mode == SHIM_INPUT_TOKEN) return xq = QuantizedInput(t[0], t.back()).values(compute);
      float fixed = on_grid(*masters(t[plan.static_scale], 1, "input scale"));
      xq = QuantizedInput(t[0].detach().reshape({-1, k}).contiguous(), plan.qmax, &fixed).values(compute);
      return xq;
    };
    for (int i = (int)plan.weights.size() - 1; i >= 0; i--) {
      if (!grad[i].defined()) continue;
      auto &l = plan.weights[i];
      Quantizer w = plan.quantizer(l, t);
      Tensor gy = grad[i].reshape({-1, w.n}).contiguous().to(compute), wq;
      if (input) wq = at::empty({w.n, k}, gy.options());
      bool masters = ctx->needs_input_grad(l.w) || ctx->needs_input_grad(l.scale) || l.pre >= 0 && ctx->needs_input_grad(l.pre) ||
                     l.zero >= 0 && ctx->needs_input_grad(l.zero);
      if (masters) {
        Tensor g = product(gy.t(), quantized_input()).contiguous(), gw = g;  // [N, K]
        if (g.scalar_type() != t[l.w].scalar_type()) gw = at::empty_like(t[l.w]);
        auto sums = w.gradients(gw, g, wq);
        result[l.w] = gw;
        auto put = [&](int at, double Slopes::*part) {
          if (at < 0) return;
          Tensor out = at::empty_like(t[at]);
          float *p = out.data_ptr<float>(), factor = (float)l.factor;
          for (size_t j = 0; j < sums.size(); j++) p[j] = (float)(sums[j].*part) * factor;
          result[at] = out;
        };
        put(l.scale, &Slopes::scale), put(l.pre, &Slopes::pre), put(l.zero, &Slopes::zero);
      } else if (input) {
        w.values(wq);
      }
      if (l.bias >= 0) result[l.bias] = grad[i].reshape({-1, w.n}).sum(0).to(t[l.bias].scalar_type());
      if (!input) continue;
      Tensor part = product(gy, wq).to(dtype);
      gx = gx.defined() ? gx.add_(part) : part;
    }
    if (!gx.defined()) return result;
    if (plan.mode == SHIM_INPUT_STATIC) gx = clipped(plan, t, gx, result);
    result[0] = gx.view(shape);
    return result;
  }

  // clipped is the gradient of the input under a static scale, with that of the scale in result.
  static Tensor clipped(const QuantLinearPlan &plan, const variable_list &t, const Tensor &g, variable_list &result) {
    Tensor x = t[0].detach().reshape({1, -1}).contiguous(), gx = at::empty_like(x);
    Quantizer q(x, t[plan.static_scale], nullptr, nullptr, -plan.qmax - 1, plan.qmax);
    auto sums = q.gradients(gx, g, Tensor());
    Tensor gs = at::empty_like(t[plan.static_scale]);
    *gs.data_ptr<float>() = (float)sums[0].scale * (float)plan.factor;
    result[plan.static_scale] = gs;
    return gx;
  }
};

extern "C" int shim_quant_linear(T *outs, T x, const shim_quant_input *in, const shim_quant_weight *weights, int n, char **err) {
  return guard(err, [&] {
    auto plan = c10::make_intrusive<QuantLinearPlan>();
    variable_list tensors{ref(x)};
    TORCH_CHECK(ref(x).dim() > 0 && ref(x).numel() > 0, "input ", ref(x).sizes(), " has no elements");
    auto add = [&](T p) {
      if (!p) return -1;
      tensors.push_back(ref(p));
      return (int)tensors.size() - 1;
    };
    plan->mode = in->mode, plan->qmax = in->qmax, plan->factor = in->factor, plan->integer = in->integer, plan->bf16_backward = in->bf16_backward;
    TORCH_CHECK(!plan->integer || plan->mode != SHIM_INPUT_FLOAT, "the integer product of an input that is not quantized");
    if (in->mode == SHIM_INPUT_STATIC) plan->static_scale = add(in->scale);
    for (int i = 0; i < n; i++) {
      const auto &w = weights[i];
      QuantLinearPlan::Weight l;
      l.w = add(w.w), l.scale = add(w.scale), l.pre = add(w.pre), l.zero = add(w.zero), l.bias = add(w.bias);
      l.qmin = w.qmin, l.qmax = w.qmax, l.factor = w.factor;
      plan->weights.push_back(l);
    }
    plan->records = at::GradMode::is_enabled();
    auto y = QuantLinear::apply(at::TensorList(tensors), plan);
    for (int i = 0; i < n; i++) outs[i] = box(y[i]);
  });
}
