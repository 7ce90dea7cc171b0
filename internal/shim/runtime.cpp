#include "shim.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <stdexcept>

extern "C" {
void shim_seed(uint64_t seed) { at::manual_seed(seed); }
void shim_set_threads(int n) { at::set_num_threads(n); }
int shim_threads(void) { return at::get_num_threads(); }

void shim_trim(void) {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

int shim_load_cuda(char **err) {
  return guard(err, [] {
    if (!dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) throw std::runtime_error(dlerror());
  });
}
}
