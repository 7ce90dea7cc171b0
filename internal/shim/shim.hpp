// Shared by the C++ files of the shim.
#pragma once
#include "shim.h"

#if !__has_include(<ATen/core/Tensor.h>)
#error "libtorch is not set up in this checkout: run make setup"
#endif
#include <ATen/core/Tensor.h>

#include <cstring>
#include <exception>
#include <utility>

inline at::Tensor &ref(T p) { return *static_cast<at::Tensor *>(p); }
inline T box(at::Tensor t) { return new at::Tensor(std::move(t)); }

// guard runs f and turns whatever it throws into a message: no exception may cross into Go.
template <class F>
int guard(char **err, F f) {
  try {
    f();
    return 0;
  } catch (const c10::Error &e) {
    *err = strdup(e.what_without_backtrace());
  } catch (const std::exception &e) {
    *err = strdup(e.what());
  } catch (...) {
    *err = strdup("unknown C++ exception");
  }
  return -1;
}
