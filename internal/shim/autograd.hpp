#pragma once
#include "shim.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <stdexcept>
#include <string>
#include <vector>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

static variable_list list(T *p, int n) {
  variable_list v;
  for (int i = 0; i < n; i++) v.push_back(p && p[i] ? ref(p[i]) : Tensor());
  return v;
}

// StraightThrough returns value bit for bit and hands the whole gradient to proxy, whose own graph says where it goes.
struct StraightThrough : torch::autograd::Function<StraightThrough> {
  static Tensor forward(AutogradContext *, const Tensor &value, const Tensor &proxy) {
    TORCH_CHECK(value.sizes() == proxy.sizes(), "straight-through: value ", value.sizes(), " and proxy ", proxy.sizes(), " differ in shape");
    return value.view_as(value);
  }
  static variable_list backward(AutogradContext *, variable_list grad) { return {Tensor(), grad[0]}; }
};

// Checkpoint runs a Go segment without a graph and runs it again in the backward pass.
extern "C" int goSegment(uintptr_t handle, T *ins, int nin, T *outs, int nout, char **err);
extern "C" void goSegmentFree(uintptr_t handle);

struct Segment : torch::CustomClassHolder {
  uintptr_t handle;
  explicit Segment(uintptr_t h) : handle(h) {}
  ~Segment() override { goSegmentFree(handle); }
};

static variable_list call(uintptr_t handle, const variable_list &in, int nout) {
  std::vector<T> pin, pout(nout, nullptr);
  for (auto &t : in) pin.push_back(box(t));  // Go takes ownership
  char *err = nullptr;
  if (goSegment(handle, pin.data(), (int)pin.size(), pout.data(), nout, &err)) {
    std::string message = err ? err : "unknown failure";
    free(err);
    throw std::runtime_error(message);
  }
  variable_list out;
  for (auto p : pout) {
    out.push_back(std::move(ref(p)));
    delete static_cast<Tensor *>(p);
  }
  return out;
}

struct Checkpoint : torch::autograd::Function<Checkpoint> {
  // The inputs must be an at::TensorList: Function::apply does not look for tensors inside a std::vector. The last one is
  // empty and requires a gradient, so that there is a graph also where only the segment's parameters need one.
  static variable_list forward(AutogradContext *ctx, at::TensorList in, c10::intrusive_ptr<Segment> seg, int64_t nout) {
    ctx->save_for_backward(in.vec());
    ctx->saved_data["segment"] = c10::IValue::make_capsule(seg);  // the segment dies with the graph node
    ctx->saved_data["nout"] = nout;
    variable_list detached;
    for (size_t i = 0; i + 1 < in.size(); i++) detached.push_back(in[i].detach());
    return call(seg->handle, detached, (int)nout);  // Function::apply has switched recording off
  }
  static variable_list backward(AutogradContext *ctx, variable_list grad) {
    auto in = ctx->get_saved_variables();
    auto handle = static_cast<Segment *>(ctx->saved_data["segment"].toCapsule().get())->handle;
    variable_list leaves;
    for (size_t i = 0; i + 1 < in.size(); i++) leaves.push_back(in[i].detach().set_requires_grad(in[i].requires_grad()));
    at::AutoGradMode on(true);
    auto out = call(handle, leaves, (int)ctx->saved_data["nout"].toInt());
    variable_list roots, seeds;
    for (size_t i = 0; i < out.size(); i++)
      if (out[i].requires_grad() && grad[i].defined()) roots.push_back(out[i]), seeds.push_back(grad[i]);
    if (!roots.empty()) torch::autograd::backward(roots, seeds);
    variable_list result;
    for (auto &l : leaves) result.push_back(l.grad());
    result.resize(in.size() + 2);  // none for the last input and for the two other arguments
    return result;
  }
};

extern "C" {
void shim_free(T t) { delete static_cast<Tensor *>(t); }
T shim_clone(T t) { return box(ref(t)); }

int shim_backward(T *outs, T *grads, int n, int retain, int create, T *inputs, int ni, char **err) {
  return guard(err, [&] {
    torch::autograd::backward(list(outs, n), grads ? list(grads, n) : variable_list{}, retain != 0, create != 0, list(inputs, ni));
  });
}

int shim_gradient(T *out, T t, char **err) {
  return guard(err, [&] {
    auto g = ref(t).grad();
    *out = g.defined() ? box(g) : nullptr;
  });
}

int shim_set_gradient(T t, T g, char **err) {
  return guard(err, [&] {
    TORCH_CHECK(!g || ref(g).sizes() == ref(t).sizes(), "gradient ", ref(g).sizes(), " of a tensor ", ref(t).sizes());
    ref(t).mutable_grad() = g ? ref(g) : Tensor();
  });
}

int shim_grad_mode(int on) {
  int was = at::GradMode::is_enabled();
  at::GradMode::set_enabled(on != 0);
  return was;
}
int shim_grad_enabled(void) { return at::GradMode::is_enabled(); }

int shim_straight_through(T *out, T value, T proxy, char **err) {
  return guard(err, [&] { *out = box(StraightThrough::apply(ref(value), ref(proxy))); });
}

int shim_checkpoint(T *outs, int nout, uintptr_t handle, T *ins, int nin, char **err) {
  return guard(err, [&] {
    auto seg = c10::make_intrusive<Segment>(handle);  // frees the Go side on every path
    auto in = list(ins, nin);
    in.push_back(at::empty({0}).requires_grad_());
    auto out = Checkpoint::apply(at::TensorList(in), seg, (int64_t)nout);
    for (int i = 0; i < nout; i++) outs[i] = box(out[i]);
  });
}
}
