// Between the layout of doc.go and others.
#include "half.h"
#include "int4.h"

// The nibbles 0…3 of v as bytes.
static inline uint32_t spread(uint32_t v) {
  v &= 0xffff;
  v = (v | v << 8) & 0x00ff00ff;
  return (v | v << 4) & 0x0f0f0f0f;
}

static inline uint32_t gather(uint32_t v) {
  v &= 0x0f0f0f0f;
  v = (v | v >> 4) & 0x00ff00ff;
  return (v | v >> 8) & 0xffff;
}

// A word of pkg/quant holds column 8c+j in bits 4j: four bytes of a line.
static inline void put4(uint8_t *p, uint32_t word) {
  uint32_t v = spread(word) | spread(word >> 16) << 4;
  p[0] = (uint8_t)v, p[1] = (uint8_t)(v >> 8), p[2] = (uint8_t)(v >> 16), p[3] = (uint8_t)(v >> 24);
}

static inline uint32_t get4(const uint8_t *p) {
  uint32_t v = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
  return gather(v) | gather(v >> 4) << 16;
}

void int4_from_words(const nat_int4 *w, uint8_t *strips, const uint32_t *word, const float *scale, const uint8_t *zero, int s0, int s1) {
  const size_t block = int4_block(w), head = int4_head(w), groups = (size_t)int4_groups(w), lines = (size_t)w->group / 8;
  const size_t words = (size_t)w->cols / 8;
  for (int s = s0; s < s1; s++)
    for (size_t g = 0; g < groups; g++) {
      uint8_t *p = strips + (size_t)s * int4_strip(w) + g * block;
      for (int i = 0; i < INT4_STRIP; i++) {
        const size_t r = (size_t)s * INT4_STRIP + (size_t)i;
        const int real = r < (size_t)w->rows;
        int4_put_half(p + 2 * i, real ? scale[r * groups + g] : 0);
        if (w->asym) p[32 + i] = real ? zero[r * groups + g] : 8;
        for (size_t j = 0; j < lines; j++)
          put4(p + head + j * INT4_LINE + 4 * i, real ? word[r * words + g * lines + j] : 0x88888888u);
      }
    }
}

void int4_to_words(const nat_int4 *w, uint32_t *word, float *scale, uint8_t *zero) {
  const size_t block = int4_block(w), head = int4_head(w), groups = (size_t)int4_groups(w), lines = (size_t)w->group / 8;
  for (size_t r = 0; r < (size_t)w->rows; r++)
    for (size_t g = 0; g < groups; g++) {
      const uint8_t *p = w->strips + r / INT4_STRIP * int4_strip(w) + g * block;
      const size_t i = r % INT4_STRIP;
      scale[r * groups + g] = int4_half(p + 2 * i);
      if (w->asym) zero[r * groups + g] = p[32 + i];
      for (size_t j = 0; j < lines; j++) word[(r * groups + g) * lines + j] = get4(p + head + j * INT4_LINE + 4 * i);
    }
}

void int4_dequantize(const nat_int4 *w, int r0, int r1, float *out) {
  const size_t block = int4_block(w), head = int4_head(w);
  for (int r = r0; r < r1; r++) {
    const int i = r % INT4_STRIP;
    const uint8_t *p = w->strips + (size_t)(r / INT4_STRIP) * int4_strip(w);
    for (int g = 0; g < int4_groups(w); g++, p += block) {
      const float scale = int4_half(p + 2 * i);
      const int zero = w->asym ? p[32 + i] : 8;
      for (int j = 0; j < w->group / 8; j++, out += 8)
        for (int k = 0; k < 4; k++) {
          const uint8_t b = p[head + (size_t)j * INT4_LINE + (size_t)(4 * i + k)];
          out[k] = (float)((b & 15) - zero) * scale;
          out[4 + k] = (float)((b >> 4) - zero) * scale;
        }
    }
  }
}
