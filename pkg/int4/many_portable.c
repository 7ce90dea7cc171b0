// Many rows of x for any CPU, in 16-bit lanes of rows: 16 columns of u - z and codes of x fit them (16 · 15 · 128). This is
// what NEON's mla by a lane does.
#define W 4
#define TARGET
#define FLOAT_PANEL 1
#define FLOAT_ROWS 2
#include "many_a16.h"

#define PANEL 1
#define COLS 512

typedef int16_t l16 __attribute__((vector_size(16)));
typedef int32_t l32 __attribute__((vector_size(32)));

typedef struct {
  int16_t code[COLS][INT4_STRIP]; // u - z
  float scale[COLS / 32][INT4_STRIP];
} panel;

static TARGET void unpack(const nat_int4 *w, int s, int n, int g0, int g1, panel *to) {
  const size_t block = int4_block(w), head = int4_head(w);
  const uint8_t *p = w->strips + (size_t)s * int4_strip(w) + (size_t)g0 * block;
  int16_t(*code)[INT4_STRIP] = to->code;
  for (int g = 0; g < g1 - g0; g++, p += block) {
    int16_t zero[INT4_STRIP];
    for (int i = 0; i < INT4_STRIP; i++) {
      to->scale[g][i] = int4_half(p + 2 * i);
      zero[i] = w->asym ? p[32 + i] : 8;
    }
    for (const uint8_t *line = p + head; line < p + block; line += INT4_LINE, code += 8)
      for (int k = 0; k < 4; k++)
        for (int i = 0; i < INT4_STRIP; i++) {
          code[k][i] = (int16_t)((line[4 * i + k] & 15) - zero[i]);
          code[k + 4][i] = (int16_t)((line[4 * i + k] >> 4) - zero[i]);
        }
  }
}

// M is a constant where this is called.
INLINE void lanes(const panel *p, int groups, int group, const int8_t *x, size_t ldx, int M, float *total) {
  const int16_t(*code)[INT4_STRIP] = p->code;
  for (int g = 0; g < groups; g++) {
    l32 dot[4][2] = {{{0}}};
    for (int k = 0; k < group; k += 16, x += 16, code += 16) {
      l16 acc[4][2] = {{{0}}};
      for (int j = 0; j < 16; j++) {
        l16 a, b;
        memcpy(&a, code[j], sizeof a);
        memcpy(&b, code[j] + 8, sizeof b);
#pragma GCC unroll 4
        for (int m = 0; m < M; m++) {
          const l16 v = x[(size_t)m * ldx + (size_t)j] - (l16){0};
          acc[m][0] += a * v;
          acc[m][1] += b * v;
        }
      }
#pragma GCC unroll 4
      for (int m = 0; m < M; m++)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) dot[m][h] += __builtin_convertvector(acc[m][h], l32);
    }
#pragma GCC unroll 4
    for (int m = 0; m < M; m++)
      for (int i = 0; i < INT4_STRIP; i++) total[m * INT4_STRIP + i] += (float)dot[m][i / 8][i % 8] * p->scale[g][i];
  }
}

static TARGET void multiply(const nat_int4 *w, const panel *p, int n, int g0, int g1, const int4_rows *x, int M, float *total) {
  int m = 0;
#define BLOCKS(rows)                                                                                                  \
  for (; m + (rows) <= M; m += (rows))                                                                                \
    lanes(p, g1 - g0, w->group, x->code + (size_t)m * x->codes + (size_t)g0 * (size_t)w->group, x->codes, rows,        \
          total + m * INT4_STRIP);
  BLOCKS(4)
  BLOCKS(1)
#undef BLOCKS
}

#include "many_a8.h"

INT4_A8(int4_many_a8_portable) { many_a8(w, r0, r1, room, M, y, ldy, add); }
INT4_A16(int4_many_a16_portable) { many_a16(w, r0, r1, x, ldx, M, y, ldy, add); }
