#include "native.h"

const nat_kernels *nat_kernels_at(int i) {
#if defined(__x86_64__)
  int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  int bf16 = avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_is("amd");
  const nat_kernels *all[] = {&nat_portable, avx2 ? &nat_avx2 : NULL, avx512 ? &nat_avx512 : NULL,
                              bf16 ? &nat_avx512bf16 : NULL, NULL};
#else
  const nat_kernels *all[] = {&nat_portable, NULL};
#endif
  return i < (int)(sizeof all / sizeof *all) ? all[i] : NULL;
}
