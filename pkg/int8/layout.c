// The layout of doc.go.
#include <string.h>

#include "int8.h"

void int8_from_words(const nat_int8 *w, int bits, uint8_t *strips, const uint32_t *word, const float *scale, const int32_t *zero, int each, int s0, int s1) {
  const int per = 32 / bits, half = 1 << (bits - 1), groups = int8_groups(w);
  const uint32_t mask = (1u << bits) - 1;
  const size_t words = ((size_t)w->cols + (size_t)per - 1) / (size_t)per, head = int8_head(w), block = int8_block(w);
  uint8_t *p = strips + (size_t)s0 * int8_strip(w);
  for (int s = s0; s < s1; s++)
    for (int g = 0; g < groups; g++, p += block) {
      memset(p, 0, block);
      for (int i = 0; i < INT8_STRIP && s * INT8_STRIP + i < w->rows; i++) {
        const size_t r = (size_t)s * INT8_STRIP + (size_t)i, at = (each ? r * (size_t)groups : 0) + (size_t)g;
        memcpy(p + 4 * i, scale + at, sizeof *scale);
        // Codes of 8 bits and their zero points become signed by the same offset; 4 bits have room for the difference.
        const int less = !zero || w->asym ? half : zero[at];
        if (w->asym) {
          const int16_t z = (int16_t)(zero[at] - half);
          memcpy(p + 64 + 2 * i, &z, sizeof z);
        }
        const int col = g * w->group;
        const uint32_t *from = word + r * words + (size_t)(col / per);
        int shift = col % per * bits;
        uint8_t *to = p + head + 2 * i;
        for (int k = 0; k < w->group; k++) {
          to[k % 2] = (uint8_t)((int)(*from >> shift & mask) - less);
          if (k % 2) to += INT8_LINE;
          if ((shift += bits) == 32) shift = 0, from++;
        }
      }
    }
}

void int8_dequantize(const nat_int8 *w, int r0, int r1, float *out) {
  const size_t head = int8_head(w), block = int8_block(w);
  for (int r = r0; r < r1; r++) {
    const int i = r % INT8_STRIP;
    const uint8_t *p = w->strips + (size_t)(r / INT8_STRIP) * int8_strip(w);
    for (int g = 0; g < int8_groups(w); g++, p += block) {
      float scale;
      int16_t zero = 0;
      memcpy(&scale, p + 4 * i, sizeof scale);
      if (w->asym) memcpy(&zero, p + 64 + 2 * i, sizeof zero);
      for (int k = 0; k < w->group; k++) *out++ = (float)((int8_t)p[head + (size_t)(k / 2) * INT8_LINE + (size_t)(2 * i + k % 2)] - zero) * scale;
    }
  }
}
