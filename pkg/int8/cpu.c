#include "int8.h"

const int8_kernels *int8_kernels_at(int i) {
#if defined(__x86_64__)
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vl");
  const int8_kernels *all[] = {&int8_portable, avx2 ? &int8_avx2 : NULL, avx512 ? &int8_avx512 : NULL, NULL};
#else
  const int8_kernels *all[] = {&int8_portable, NULL};
#endif
  return i < (int)(sizeof all / sizeof *all) ? all[i] : NULL;
}
