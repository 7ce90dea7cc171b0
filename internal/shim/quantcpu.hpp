// Which of the quantization kernels run: the best that the CPU has, or a set chosen by name.
#pragma once
#include "quantlinear.h"
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define VECTORS 1
#endif
#include "int8dot.hpp"

struct Kernels {
  const char *name;
  const Loops *loops;
  Dots dots;
};

static bool runs(const Kernels &k) {
#ifdef VECTORS
  bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("avx512dq");
  if (k.loops == &avx512) return wide && (k.dots != avx512vnni_dots || __builtin_cpu_supports("avx512vnni"));
  if (k.loops == &avx2) return __builtin_cpu_supports("avx2") && (k.dots != avxvnni_dots || __builtin_cpu_supports("avxvnni"));
#endif
  return true;
}

static const Kernels sets[] = {  // best first
#ifdef VECTORS
    {"avx512vnni", &avx512, avx512vnni_dots},
    {"avxvnni", &avx2, avxvnni_dots},
    {"avx512", &avx512, avx2_dots},
    {"avx2", &avx2, avx2_dots},
#endif
    {"portable", &portable, portable_dots},
};

static const Kernels *best() {
  for (auto &k : sets)
    if (runs(k)) return &k;
  return nullptr;  // the last one runs everywhere
}

static const Kernels *kernels = best();

static const Loops &loops() { return *kernels->loops; }

extern "C" {
const char *shim_quant_kernels(void) { return kernels->name; }

int shim_set_quant_kernels(const char *name) {
  if (!*name) {
    kernels = best();
    return 0;
  }
  for (auto &k : sets)
    if (!std::strcmp(k.name, name) && runs(k)) {
      kernels = &k;
      return 0;
    }
  return -1;
}
}
