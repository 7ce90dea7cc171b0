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

// libtorch sets MKL's threads for the process, so that one OS thread would change how another's products are split, and with
// that their last bits. MKL has a number of each OS thread as well, which goes before.
static void mkl_threads(int n) {
  static const auto set = reinterpret_cast<int (*)(int)>(dlsym(RTLD_DEFAULT, "MKL_Set_Num_Threads_Local"));
  if (set) set(n);
}

// The first parallel loop on an OS thread takes over the number that any thread set last, once for the loops in libtorch
// and once for those compiled here. first_loop has that behind it, so that it can't undo what is set afterwards.
static void first_loop() {
  (void)at::get_num_threads();
  at::internal::lazy_init_num_threads();
}

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
    if (!applied) first_loop();
    at::set_num_threads(n);
    mkl_threads(n);
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
