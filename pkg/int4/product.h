// Products for any CPU, in 16-bit lanes: a lane is one (row, column mod 4) of a quarter of a strip, and sums the columns
// of up to 32 in a group, which fit it (8 · 15 · 128).
#include "half.h"
#include "int4.h"
#include "vectors.h"

typedef uint8_t q8 __attribute__((vector_size(16)));
typedef int8_t s8 __attribute__((vector_size(16)));
typedef int16_t q16 __attribute__((vector_size(32)));
typedef int32_t q32 __attribute__((vector_size(32)));
typedef int64_t q64 __attribute__((vector_size(32)));

// Four columns' codes of x in each quarter.
INLINE q16 spread4(const int8_t *x) {
  int32_t four;
  memcpy(&four, x, sizeof four);
  const int32_t all[4] = {four, four, four, four};
  s8 v;
  memcpy(&v, all, sizeof v);
  return __builtin_convertvector(v, q16);
}

// Sums of the four columns of each row: lanes are halved twice, in whatever order the machine has its bytes.
INLINE void across(q16 v, int32_t *row) {
  q32 two = ((q32)v << 16 >> 16) + ((q32)v >> 16);
  q64 four = ((q64)two << 32 >> 32) + ((q64)two >> 32);
  for (int i = 0; i < 4; i++) row[i] += (int32_t)four[i];
}

INLINE void finish(const nat_int4 *w, int r, int r1, const float *v, float *y, int add) {
  for (int i = 0; i < INT4_STRIP && r + i < r1; i++) {
    float s = w->bias ? v[i] + w->bias[r + i] : v[i];
    y[r + i] = add ? y[r + i] + s : s;
  }
}

static TARGET void a8(const nat_int4 *w, int r0, int r1, const void *room, int M, float *y, int ldy, int add) {
  const int4_rows x = int4_rows_in(w, M, (void *)(uintptr_t)room);
  const int groups = int4_groups(w), lines = w->group / 8;
  const size_t block = int4_block(w), head = int4_head(w);
  for (int r = r0; r < r1; r += INT4_STRIP)
    for (int m = 0; m < M; m++) {
      const uint8_t *p = w->strips + (size_t)(r / INT4_STRIP) * int4_strip(w);
      const int8_t *code = x.code + (size_t)m * x.codes;
      float total[INT4_STRIP] = {0};
      for (int g = 0; g < groups; g++, p += block) {
        int32_t dot[INT4_STRIP] = {0};
        for (int j = 0; j < lines; j += 4) {
          q16 acc[4] = {{0}};
          for (int u = 0; u < 4; u++, code += 8) {
            const q16 low = spread4(code), high = spread4(code + 4);
            for (int i = 0; i < 4; i++) {
              q8 v;
              memcpy(&v, p + head + (j + u) * INT4_LINE + 16 * i, sizeof v);
              acc[i] += __builtin_convertvector(v & 15, q16) * low + __builtin_convertvector(v >> 4, q16) * high;
            }
          }
          for (int i = 0; i < 4; i++) across(acc[i], dot + 4 * i);
        }
        const int32_t sum = x.sum[(size_t)m * x.sums + (size_t)g];
        for (int i = 0; i < INT4_STRIP; i++)
          total[i] += (float)(dot[i] - sum * (w->asym ? p[32 + i] : 8)) * int4_half(p + 2 * i);
      }
      for (int i = 0; i < INT4_STRIP; i++) total[i] *= x.scale[m];
      finish(w, r, r1, total, y + (size_t)m * (size_t)ldy, add);
    }
}

static TARGET void a16(const nat_int4 *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add) {
  const int groups = int4_groups(w), lines = w->group / 8;
  const size_t block = int4_block(w), head = int4_head(w);
  typedef float f16 __attribute__((vector_size(64)));
  for (int r = r0; r < r1; r += INT4_STRIP)
    for (int m = 0; m < M; m++) {
      const uint8_t *p = w->strips + (size_t)(r / INT4_STRIP) * int4_strip(w);
      const float *row = x + (size_t)m * (size_t)ldx;
      float total[INT4_STRIP] = {0};
      for (int g = 0; g < groups; g++, p += block) {
        f16 dot[4] = {{0}};
        for (int i = 0; i < 4; i++) {
          f16 zero;
          for (int l = 0; l < 16; l++) zero[l] = (float)(w->asym ? p[32 + 4 * i + l / 4] : 8);
          for (int j = 0; j < lines; j++) {
            q8 v;
            memcpy(&v, p + head + j * INT4_LINE + 16 * i, sizeof v);
            const float *k = row + g * w->group + 8 * j;
            const f16 low = {k[0], k[1], k[2], k[3], k[0], k[1], k[2], k[3], k[0], k[1], k[2], k[3], k[0], k[1], k[2], k[3]};
            const f16 high = {k[4], k[5], k[6], k[7], k[4], k[5], k[6], k[7], k[4], k[5], k[6], k[7], k[4], k[5], k[6], k[7]};
            dot[i] += (__builtin_convertvector(v & 15, f16) - zero) * low + (__builtin_convertvector(v >> 4, f16) - zero) * high;
          }
          for (int l = 0; l < 4; l++)
            total[4 * i + l] += ((dot[i][4 * l] + dot[i][4 * l + 1]) + (dot[i][4 * l + 2] + dot[i][4 * l + 3])) * int4_half(p + 2 * (4 * i + l));
        }
      }
      finish(w, r, r1, total, y + (size_t)m * (size_t)ldy, add);
    }
}
