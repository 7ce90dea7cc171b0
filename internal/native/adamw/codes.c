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

// Within a decade the code is a straight line over the magnitude that reaches a whole number at each bound. From a decade's
// edge on it is a fifth as steep as below, and so is l/5 + 4b/5, which meets l = b there. The first bound of a decade alone
// is off the line: it lies a step of the decade below above the edge, where l - 1 reaches b. So b - 1/2 holds l back from the
// edge on until l - 1 takes over, until the line of the decade does. An octave without an edge has its line and b far away.
static void lines(const float *m, int n, int values, adamw_lines *out) {
  const double zero = values == 64 ? (double)m[1] / 2 : 0; // the bound below the first code
  double slope[7], edge[7], base[7];
  for (int d = 0, code = 1; d < 7; d++) {
    const int items = values >> (6 - d);
    edge[d] = pow(10, d - 7);
    slope[d] = items / (9 * edge[d]);
    base[d] = code;
    code += items;
  }
  for (int octave = 0; octave < 32; octave++) {
    const double from = ldexp(1, octave - 31), to = 2 * from;
    double line[2] = {0, zero > 0 ? 0.5 : 1.5}, first = 1e9; // below all decades
    if (zero > from && zero < to) line[0] = 1 / zero, line[1] = 0;
    if (from >= 1) line[1] = n - 1.5;
    for (int d = 0; d < 7 && from < 1; d++)
      if (from >= edge[d] && from >= zero) line[0] = slope[d], line[1] = base[d] - edge[d] * slope[d];
    for (int d = 1; d < 7; d++)
      if (edge[d] < to && edge[d] + 1 / slope[d - 1] > from) {
        line[0] = slope[d - 1], line[1] = base[d - 1] - edge[d - 1] * slope[d - 1];
        first = base[d];
      }
    for (int i = 0; i < 2; i++) out->line[i][octave] = (float)line[i];
    out->first[octave] = (float)first;
  }
  out->top = bits((m[n - 2] + m[n - 1]) / 2);
  out->near = 1 / 16384.0f; // a quarter of it gives every float32 its code
}

void adamw_init(void) {
  float m[129], v[257];
  const int nm = magnitudes(64, m), nv = magnitudes(128, v);
  for (int i = 0; i < 256; i++) {
    adamw_book.value[0][i] = i < 127 ? -m[127 - i] : m[i - 127];
    adamw_book.value[1][i] = v[i];
    for (int kind = 0; kind < 2; kind++)
      for (int byte = 0; byte < 4; byte++) adamw_book.byte[kind][byte][i] = (uint8_t)(bits(adamw_book.value[kind][i]) >> 8 * byte);
  }
  sorted(m, nm, 0, adamw_book.sort[0]);
  sorted(v, nv, 1, adamw_book.sort[1]);
  lines(m, nm, 64, &adamw_book.lines[0]);
  lines(v, nv, 128, &adamw_book.lines[1]);
}
