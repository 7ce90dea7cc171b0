// Tables of 4- or 8-bit codes in words, as checkpoints store them: rows are looked up, products are there but slow.
#include "table.h"

#include <stdlib.h>

static void row(const nat_matrix *w, int r, float *out) {
  const nat_table *t = w->data;
  const int per = 32 / t->bits, mask = (1 << t->bits) - 1, half = 1 << (t->bits - 1), width = w->cols / t->groups;
  const uint32_t *word = t->words + (size_t)r * (size_t)((w->cols + per - 1) / per);
  const float *scale = t->scale + (size_t)r * (size_t)t->groups;
  for (int k = 0; k < w->cols; k++) out[k] = (float)((int)(word[k / per] >> (k % per * t->bits) & (uint32_t)mask) - half) * scale[k / width];
}

static size_t room(const nat_matrix *w, int M) {
  (void)M;
  (void)w;
  return 0;
}

static void prepare(const nat_matrix *w, const float *x, int ldx, int M, int m0, int m1, void *to) {
  (void)w, (void)x, (void)ldx, (void)M, (void)m0, (void)m1, (void)to;
}

static int shares(const nat_matrix *a, const nat_matrix *b) {
  (void)a, (void)b;
  return 1;
}

static void product(const nat_matrix *w, int r0, int r1, const float *x, int ldx, const void *from, int M, float *y, int ldy, int add) {
  (void)from;
  float line[w->cols];
  for (int r = r0; r < r1; r++) {
    row(w, r, line);
    for (int m = 0; m < M; m++) {
      float sum = w->bias ? w->bias[r] : 0, *to = y + (size_t)m * (size_t)ldy + r;
      for (int k = 0; k < w->cols; k++) sum += line[k] * x[(size_t)m * (size_t)ldx + k];
      *to = add ? *to + sum : sum;
    }
  }
}

const nat_format nat_table_format = {"table", 1, room, prepare, product, shares, row};
