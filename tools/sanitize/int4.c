// The kernels of pkg/int4, emulated ones too, against loops in double: random shapes, rows, schemes and activations, each
// in memory of exactly its size, split between the threads of a pool. For the sanitizers (run.sh); the Go tests hold
// values to pkg/quant.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "emulated/sets.h"
#include "int4.h"
#include "native.h"

typedef struct {
  const int4_kernels *set;
  nat_int4 w;
  int M, add;
  float *x, *y;
  void *room;
} product;

static void quantize(void *arg, int thread, int threads) {
  product *p = arg;
  int from, to;
  nat_share(p->M, thread, threads, 1, &from, &to);
  p->set->quantize(&p->w, p->x, p->w.cols, p->M, from, to, p->room);
}

static void multiply(void *arg, int thread, int threads) {
  product *p = arg;
  int from, to;
  nat_share(p->w.rows, thread, threads, INT4_STRIP, &from, &to);
  if (from < to) int4_product(p->set, &p->w, from, to, p->x, p->w.cols, p->room, p->M, p->y, p->w.rows, p->add);
}

// A weight of random codes and zero points; a scale in seven is 0.
static void fill(nat_int4 *w) {
  const size_t size = int4_size(w), words = (size_t)w->rows * (size_t)w->cols / 8, groups = (size_t)w->rows * (size_t)int4_groups(w);
  uint32_t *word = room_for(4 * words), *back = room_for(4 * words);
  float *scale = room_for(4 * groups), *scale_back = room_for(4 * groups);
  uint8_t *zero = room_for(groups), *zero_back = room_for(groups), *strips = room_for(size);
  for (size_t i = 0; i < words; i++) word[i] = draw(0x10000) << 16 | draw(0x10000);
  for (size_t i = 0; i < groups; i++) {
    zero[i] = (uint8_t)draw(16);
    scale[i] = draw(7) ? ldexpf((float)(128 + draw(128)), -14 - (int)draw(3)) : 0;
  }
  int4_from_words(w, strips, word, scale, w->asym ? zero : NULL, 0, (int)int4_strips(w));
  w->strips = strips;
  int4_to_words(w, back, scale_back, w->asym ? zero_back : NULL);
  if (memcmp(word, back, 4 * words) || memcmp(scale, scale_back, 4 * groups) || (w->asym && memcmp(zero, zero_back, groups))) {
    printf("int4 %d×%d: the layout does not give back what went in\n", w->rows, w->cols);
    exit(1);
  }
  free(word), free(back), free(scale), free(scale_back), free(zero), free(zero_back);
}

static void check(nat_pool *pool, const int4_kernels *set, uint64_t seed) {
  state = seed * 0x9e3779b97f4a7c15ull + 1;
  nat_int4 w = {.rows = 1 + (int)draw(90), .group = draw(2) ? 32 : 128, .asym = (int)draw(2), .input = {(int)draw(3), draw(2) ? 7 : 127, 1.0f / 64}};
  w.cols = w.group * (1 + (int)draw(9));
  product p = {.set = set, .M = 1 + (int)draw(40), .add = (int)draw(2)};
  fill(&w);
  const size_t rows = (size_t)w.rows, cols = (size_t)w.cols, M = (size_t)p.M;
  float *bias = room_for(4 * rows), *dense = room_for(4 * rows * cols), *before = room_for(4 * M * rows);
  p.x = room_for(4 * M * cols), p.y = room_for(4 * M * rows), p.room = room_for(int4_room(&w, p.M));
  for (size_t i = 0; i < rows; i++) bias[i] = (float)draw(100) / 64;
  for (size_t i = 0; i < M * cols; i++) p.x[i] = (float)((int)draw(2001) - 1000) / 500;
  for (size_t i = 0; i < M * rows; i++) p.y[i] = before[i] = p.add ? (float)draw(100) / 16 : NAN;
  if (draw(2)) w.bias = bias;
  p.w = w;
  if (w.input.mode != NAT_INPUT_FLOAT) nat_pool_run(pool, quantize, &p);
  nat_pool_run(pool, multiply, &p);
  int4_dequantize(&w, 0, w.rows, dense);
  const int4_rows codes = int4_rows_in(&w, p.M, p.room);
  for (size_t m = 0; m < M; m++)
    for (size_t r = 0; r < rows; r++) {
      double want = w.bias ? bias[r] : 0, size = 0;
      for (size_t k = 0; k < cols; k++) {
        const double x = w.input.mode == NAT_INPUT_FLOAT ? p.x[m * cols + k] : (double)codes.code[m * codes.codes + k] * codes.scale[m];
        want += x * dense[r * cols + k], size += fabs(x * dense[r * cols + k]);
      }
      if (p.add) want += before[m * rows + r];
      const double got = p.y[m * rows + r];
      if (!(fabs(got - want) <= 1e-6 * (size + fabs(want)))) {
        printf("%s, seed %d: %d×%d in groups of %d, asymmetric %d, activation %d, row %zu of %d: y[%zu] is %g, want %g\n", set->name,
               (int)seed, w.rows, w.cols, w.group, w.asym, w.input.mode, m, p.M, r, got, want);
        exit(1);
      }
    }
  free((void *)w.strips), free(bias), free(dense), free(before), free(p.x), free(p.y), free(p.room);
}

int main(void) {
  const int4_kernels *sets[16] = {&int4_emulated_avx512vnni, &int4_emulated_amx};
  for (int i = 0, n = 2; (sets[n] = int4_kernels_at(i)) != NULL; i++) n++;
  nat_pool *pool = nat_pool_new(3);
  if (pool == NULL) return 2;
  for (int i = 0; sets[i]; i++) {
    for (uint64_t seed = 1; seed <= 60; seed++) check(pool, sets[i], seed);
    printf("int4 %s: ok\n", sets[i]->name);
  }
  nat_pool_free(pool);
}
