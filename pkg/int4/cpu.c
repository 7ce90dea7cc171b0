#include "many.h"

const int4_kernels *int4_kernels_at(int i) {
#if defined(__x86_64__)
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const int vnni = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  const int amx = vnni && int4_tiles_permitted();
  const int4_kernels *all[] = {&int4_portable, avx2 ? &int4_avx2 : NULL, vnni ? &int4_avx512vnni : NULL, amx ? &int4_amx : NULL, NULL};
#else
  const int4_kernels *all[] = {&int4_portable, NULL};
#endif
  return i < (int)(sizeof all / sizeof *all) ? all[i] : NULL;
}
