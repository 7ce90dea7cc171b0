// AMX written out, in the place of ../tiles.h: a thread's eight tiles, their configuration, and what the instructions do to
// them by Intel's manual. What would fault there stops here.
#ifndef QAKD_INT4_TILES_H
#define QAKD_INT4_TILES_H

#include <stdint.h>
#include <string.h>

typedef struct {
  uint8_t palette, start, unused[14];
  uint16_t bytes[16];
  uint8_t rows[16];
} tile_config;

static _Thread_local tile_config tiles_now;
static _Thread_local uint8_t tile_data[8][16][64];

static inline void demand(int what) {
  if (!what) __builtin_trap();
}

static inline void tiles_configure(const tile_config *c) {
  demand(c->palette == 1 && c->start == 0);
  for (int t = 0; t < 16; t++) {
    demand(c->rows[t] <= 16 && c->bytes[t] <= 64 && (c->rows[t] == 0) == (c->bytes[t] == 0));
    demand(t < 8 || c->rows[t] == 0);
  }
  tiles_now = *c;
  memset(tile_data, 0, sizeof tile_data);
}

static inline void tiles_release(void) {
  memset(&tiles_now, 0, sizeof tiles_now);
  memset(tile_data, 0xa5, sizeof tile_data);
}

static inline void tile_zero(int t) {
  demand(tiles_now.rows[t]);
  memset(tile_data[t], 0, sizeof tile_data[t]);
}

static inline void tile_load(int t, const void *p, long stride) {
  tile_zero(t);
  for (int i = 0; i < tiles_now.rows[t]; i++) memcpy(tile_data[t][i], (const char *)p + i * stride, tiles_now.bytes[t]);
}

static inline void tile_store(int t, void *p, long stride) {
  demand(tiles_now.rows[t]);
  for (int i = 0; i < tiles_now.rows[t]; i++) memcpy((char *)p + i * stride, tile_data[t][i], tiles_now.bytes[t]);
}

static inline void tile_dot(int c, int a, int b) {
  const uint8_t *rows = tiles_now.rows;
  const uint16_t *bytes = tiles_now.bytes;
  demand(c != a && c != b && a != b && rows[c] && rows[a] == rows[c] && bytes[b] == bytes[c] && bytes[a] == 4 * rows[b]);
  for (int m = 0; m < rows[c]; m++)
    for (int n = 0; n < bytes[c] / 4; n++) {
      int32_t sum;
      memcpy(&sum, tile_data[c][m] + 4 * n, sizeof sum);
      for (int k = 0; k < bytes[a]; k++) sum += (int8_t)tile_data[a][m][k] * (int8_t)tile_data[b][k / 4][4 * n + k % 4];
      memcpy(tile_data[c][m] + 4 * n, &sum, sizeof sum);
    }
}

// Subnormal numbers are 0, as in TDPBF16PS.
static inline float tile_bf16(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, sizeof h);
  const uint32_t u = (h & 0x7f80) == 0 ? (uint32_t)(h & 0x8000) << 16 : (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

// Products of even and of odd numbers are summed apart, each in float32.
static inline void tile_dot_bf16(int c, int a, int b) {
  const uint8_t *rows = tiles_now.rows;
  const uint16_t *bytes = tiles_now.bytes;
  demand(c != a && c != b && a != b && rows[c] && rows[a] == rows[c] && bytes[b] == bytes[c] && bytes[a] == 4 * rows[b]);
  for (int m = 0; m < rows[c]; m++)
    for (int n = 0; n < bytes[c] / 4; n++) {
      float sum, even = 0, odd = 0;
      for (int k = 0; k < rows[b]; k++) {
        even += tile_bf16(tile_data[a][m] + 4 * k) * tile_bf16(tile_data[b][k] + 4 * n);
        odd += tile_bf16(tile_data[a][m] + 4 * k + 2) * tile_bf16(tile_data[b][k] + 4 * n + 2);
      }
      memcpy(&sum, tile_data[c][m] + 4 * n, sizeof sum);
      sum += even + odd;
      memcpy(tile_data[c][m] + 4 * n, &sum, sizeof sum);
    }
}

#define TILES_CONFIGURE(c) tiles_configure(c)
#define TILES_RELEASE() tiles_release()
#define TILE_ZERO(t) tile_zero(t)
#define TILE_LOAD(t, p, stride) tile_load(t, p, stride)
#define TILE_STORE(t, p, stride) tile_store(t, p, stride)
#define TILE_DOT(c, a, b) tile_dot(c, a, b)
#define TILE_DOT_BF16(c, a, b) tile_dot_bf16(c, a, b)

#endif
