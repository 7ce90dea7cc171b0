// The compiler's own vector types, W floats wide, for the packages that bring matrix formats. Whoever includes this defines W
// and TARGET first, the attributes of every function that let the compiler use the instructions.
#ifndef QAKD_VECTORS_H
#define QAKD_VECTORS_H

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef int8_t vb __attribute__((vector_size(W)));

INLINE vf loadf(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}

// a where the mask is set, else b.
INLINE vf choose(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }

INLINE vf larger(vf a, vf b) { return choose(a > b, a, b); }
INLINE vf smaller(vf a, vf b) { return choose(a < b, a, b); }

// To the nearest, ties to even, of numbers under 2²².
INLINE vf rounded(vf v) { return (v + 12582912.0f) - 12582912.0f; }

#endif
