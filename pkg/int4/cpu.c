#include "int4.h"

const int4_kernels *int4_kernels_at(int i) {
#if defined(__x86_64__)
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const int4_kernels *all[] = {&int4_portable, avx2 ? &int4_avx2 : NULL, NULL};
#else
  const int4_kernels *all[] = {&int4_portable, NULL};
#endif
  return i < (int)(sizeof all / sizeof *all) ? all[i] : NULL;
}
