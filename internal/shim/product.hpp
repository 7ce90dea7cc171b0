// Products of matrices on CPUs where libtorch's default is slow.
#pragma once
#include "shim.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

// MKL runs at half the speed of AVX-512 on CPUs of other makers. oneDNN, which libtorch has too, does not ask who made it;
// its calls cost more, so small products stay.
static bool prefers_onednn(const at::Tensor &a, int64_t multiplications) {
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
  static const bool other = __builtin_cpu_supports("avx512f") && !__builtin_cpu_is("intel");
  return other && a.is_cpu() && a.scalar_type() == at::kFloat && multiplications >= 1 << 24;
#else
  return false;
#endif
}

// Without AVX-512, libtorch multiplies bf16 matrices one number at a time. In float32 it is the same product, rounded once, and
// tens of times as fast.
static bool widens(const at::Tensor &a) {
#if defined(__GNUC__) && defined(__x86_64__)
  static const bool narrow = !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq");
  return narrow && a.is_cpu() && a.scalar_type() == at::kBFloat16;
#else
  return false;
#endif
}

// product is a [M, K] · b [K, N].
static at::Tensor product(const at::Tensor &a, const at::Tensor &b) {
  using Linear = at::Tensor(const at::Tensor &, const at::Tensor &, const c10::optional<at::Tensor> &, c10::string_view,
                            c10::List<c10::optional<at::Scalar>>, c10::optional<c10::string_view>);
  static const auto linear = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (widens(a) && widens(b)) return at::mm(a.to(at::kFloat), b.to(at::kFloat)).to(at::kBFloat16);
  if (!linear || !prefers_onednn(a, a.size(0) * a.size(1) * b.size(1))) return at::mm(a, b);
  return linear->typed<Linear>().call(a, b.t(), c10::nullopt, "none", c10::List<c10::optional<at::Scalar>>(), c10::nullopt);
}

static at::Tensor rows(const at::Tensor &x) { return x.reshape({-1, x.size(-1)}); }

// ProductLinear is x [..., K] · w [N, K] transposed by product.
struct ProductLinear : torch::autograd::Function<ProductLinear> {
  static at::Tensor forward(torch::autograd::AutogradContext *ctx, const at::Tensor &x, const at::Tensor &w) {
    ctx->save_for_backward({x, w});
    auto shape = x.sizes().vec();
    shape.back() = w.size(0);
    return product(rows(x), w.t()).view(shape);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *ctx, torch::autograd::variable_list grad) {
    auto in = ctx->get_saved_variables();
    at::Tensor x = in[0].detach(), w = in[1].detach(), gy = rows(grad[0]), gx, gw;
    if (ctx->needs_input_grad(0)) gx = product(gy, w).view(x.sizes());
    if (ctx->needs_input_grad(1)) gw = product(gy.t(), rows(x));
    return {gx, gw};
  }
};

// fast_linear is at::linear, to the bit where libtorch's default serves.
static at::Tensor fast_linear(const at::Tensor &x, const at::Tensor &w, const c10::optional<at::Tensor> &bias) {
  bool fits = x.dim() > 0 && w.dim() == 2 && x.size(-1) == w.size(1) && x.scalar_type() == w.scalar_type() && x.device() == w.device();
  if (fits && !bias && (widens(x) || prefers_onednn(x, x.numel() * w.size(0)))) return ProductLinear::apply(x, w);
  if (fits && bias && widens(x)) return at::linear(x.to(at::kFloat), w.to(at::kFloat), bias->to(at::kFloat)).to(at::kBFloat16);
  return at::linear(x, w, bias);
}

extern "C" int shim_linear(T *out, T x, T w, T bias, char **err) {
  return guard(err, [&] { *out = box(fast_linear(ref(x), ref(w), bias ? c10::optional<at::Tensor>(ref(bias)) : c10::nullopt)); });
}
