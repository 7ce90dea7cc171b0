// fp16 scales. Those that the package writes are normal numbers or 0; others, in a file of somebody else, are read right too.
#ifndef QAKD_INT4_HALF_H
#define QAKD_INT4_HALF_H

#include <stdint.h>
#include <string.h>

static inline float int4_half(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, sizeof h);
  uint32_t u = ((uint32_t)(h & 0x7fff) << 13) + (((h & 0x7c00) == 0x7c00) ? 0x70000000u : 0);
  float f;
  memcpy(&f, &u, sizeof f);
  f *= 0x1p112f; // subnormal ones become normal; infinities and NaN stay
  return h & 0x8000 ? -f : f;
}

// Of a number on the scale grid, or 0: exact.
static inline void int4_put_half(uint8_t *p, float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  uint16_t h = u == 0 ? 0 : (uint16_t)((u >> 13) - (112u << 10));
  memcpy(p, &h, sizeof h);
}

#endif
