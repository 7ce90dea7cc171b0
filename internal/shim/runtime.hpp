#pragma once
#include "shim.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <atomic>
#include <stdexcept>

// OpenMP keeps the number of threads per OS thread, and Go chooses among many: each takes it over when it enters.
static std::atomic<int> wanted{0};
static thread_local int applied = 0, share = 0;  // share: of this thread alone, 0 for all

extern "C" {
int shim_seed(uint64_t seed, char **err) {
  return guard(err, [&] { at::manual_seed(seed); });
}

int shim_set_threads(int n, char **err) {
  return guard(err, [&] {
    TORCH_CHECK(n > 0, "number of threads is ", n, ", want at least 1");
    wanted = n;
    shim_enter();
  });
}

int shim_threads(void) { return at::get_num_threads(); }

uintptr_t shim_enter(void) {
  int n = share ? share : wanted.load(std::memory_order_relaxed);
  if (applied != n && n) {
    at::set_num_threads(n);
    applied = n;
  }
  return shim_thread();
}

int shim_share_threads(int n) {
  int was = share;
  share = n;
  shim_enter();
  return was;
}

uintptr_t shim_thread(void) { return reinterpret_cast<uintptr_t>(&applied); }

int shim_load_cuda(char **err) {
  return guard(err, [] {
    if (!dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) throw std::runtime_error(dlerror());
  });
}
}
