// The codes of bitsandbytes' dynamic map: seven decades below 1, each with twice the values of the one below it, spread
// evenly, and 0 and 1 (Dettmers 2016, "8-Bit Approximations for Parallelism in Deep Learning"). The arithmetic follows
// its Python, rounding for rounding.
#include <math.h>
#include <string.h>

#include "adamw.h"

adamw_codes adamw_book;

static uint32_t bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

// Magnitudes in ascending order: 0, the decades of which the highest has values of them, 1.
static int magnitudes(int values, float *out) {
  static const float power[7] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1};
  int n = 0;
  out[n++] = 0;
  for (int decade = 0; decade < 7; decade++) {
    const int items = values >> (6 - decade);
    const float step = (1 - 0.1f) / items; // of items+1 points from 0.1 to 1, from both ends, fused as in its linspace
    float edge[129];
    for (int i = 0; i <= items; i++) edge[i] = i < (items + 1) / 2 ? fmaf(step, i, 0.1f) : fmaf(-step, items - i, 1);
    for (int i = 0; i < items; i++) out[n++] = power[decade] * ((edge[i] + edge[i + 1]) / 2);
  }
  out[n++] = 1;
  return n;
}

// A magnitude belongs to the code whose value is nearest, and to the smaller one at equal distances. Pieces are so small
// that none holds two of the bounds between codes: sort has the code below a piece's bound, and what must be added to the
// lower half of the bits so that they carry above it. code is the first: that of the smallest magnitude above 0.
static void sorted(const float *m, int n, int code, uint32_t *sort) {
  for (int piece = 0; piece < ADAMW_PIECES; piece++) {
    const uint32_t first = (uint32_t)(piece + ADAMW_LOW) << 16;
    const uint32_t bound = code + 1 < n ? bits((m[code] + m[code + 1]) / 2) : UINT32_MAX;
    const int here = bound - first < 0x10000;
    sort[piece] = (uint32_t)code << 16 | (here ? 0xffff - (bound - first) : 0);
    code += here;
  }
}

void adamw_init(void) {
  float m[129], v[257];
  const int nm = magnitudes(64, m), nv = magnitudes(128, v);
  for (int i = 0; i < 256; i++) {
    adamw_book.value[0][i] = i < 127 ? -m[127 - i] : m[i - 127];
    adamw_book.value[1][i] = v[i];
  }
  sorted(m, nm, 0, adamw_book.sort[0]);
  sorted(v, nv, 1, adamw_book.sort[1]);
}
