#include "int4.h"

const int4_kernels *int4_kernels_at(int i) {
  const int4_kernels *all[] = {&int4_portable, NULL};
  return i < (int)(sizeof all / sizeof *all) ? all[i] : NULL;
}
