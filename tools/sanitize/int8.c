// The kernels of pkg/int8 against loops, of quantized inputs to the bit, else in double: random shapes, rows, schemes and
// activations, each in memory of exactly its size, split between the threads of a pool. For the sanitizers (run.sh); the Go
// tests hold values to pkg/quant.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "draw.h"
#include "native.h"

// The source of the AVX-512 set, for any CPU.
#define W 16
#define TARGET
#define HOLD(v) __asm__("" : "+m"(v))
#define ORDER(v)
#include "product.h"

static const int8_kernels wide = {"16 lanes", quantize, integer, floating};

typedef struct {
  const int8_kernels *set;
  nat_int8 w;
  int M, add;
  float *x, *y, *bias;
  void *room;
} product;

static void prepare(void *arg, int thread, int threads) {
  product *p = arg;
  int from, to;
  nat_share(p->M, thread, threads, 1, &from, &to);
  p->set->quantize(&p->w, p->x, p->w.cols, p->M, from, to, p->room);
}

static void multiply(void *arg, int thread, int threads) {
  product *p = arg;
  int from, to;
  nat_share(p->w.rows, thread, threads, INT8_STRIP, &from, &to);
  if (from >= to) return;
  if (p->w.input.mode == NAT_INPUT_FLOAT)
    p->set->floating(&p->w, from, to, p->x, p->w.cols, p->M, p->bias, p->y, p->w.rows, p->add);
  else
    p->set->integer(&p->w, from, to, p->room, p->M, p->bias, p->y, p->w.rows, p->add);
}

// A weight of random words, zero points and scales; a scale in seven is 0. code gets the codes less zero points [rows, cols],
// by the scales [rows, groups].
static void fill(nat_int8 *w, int bits, int asym, int each, int32_t *code, float *by) {
  const size_t per = 32 / (size_t)bits, width = ((size_t)w->cols + per - 1) / per, words = (size_t)w->rows * width;
  const size_t n = each ? (size_t)w->rows : 1, groups = (size_t)int8_groups(w);
  uint32_t *word = room_for(4 * words);
  float *scale = room_for(4 * n * groups);
  int32_t *zero = room_for(4 * n * groups);
  uint8_t *strips = room_for(int8_size(w));
  for (size_t i = 0; i < words; i++) word[i] = draw(0x10000) << 16 | draw(0x10000);
  for (size_t i = 0; i < n * groups; i++) {
    zero[i] = asym ? (int32_t)draw(1u << bits) : 1 << (bits - 1);
    scale[i] = draw(7) ? ldexpf((float)(128 + draw(128)), -14 - (int)draw(3)) : 0;
  }
  int8_from_words(w, bits, strips, word, scale, asym ? zero : NULL, each, 0, (int)int8_strips(w));
  w->strips = strips;
  for (size_t r = 0; r < (size_t)w->rows; r++)
    for (size_t k = 0; k < (size_t)w->cols; k++) {
      const size_t at = (each ? r * groups : 0) + k / (size_t)w->group;
      code[r * (size_t)w->cols + k] = (int32_t)(word[r * width + k / per] >> (k % per * (size_t)bits) & ((1u << bits) - 1)) - zero[at];
      by[r * groups + k / (size_t)w->group] = scale[at];
    }
  free(word), free(scale), free(zero);
}

static void check(nat_pool *pool, const int8_kernels *set, uint64_t seed) {
  state = seed * 0x9e3779b97f4a7c15ull + 1;
  const int bits = draw(2) ? 4 : 8, asym = (int)draw(2);
  nat_int8 w = {.rows = 1 + (int)draw(70), .group = 1 + (int)draw(draw(2) ? 40 : 300), .asym = asym && bits == 8};
  w.input = (nat_activation){(int)draw(3), draw(2) ? 7 : 127, 1.0f / 64};
  w.cols = w.group * (1 + (int)draw(5));
  product p = {.set = set, .M = 1 + (int)draw(20), .add = (int)draw(2)};
  const size_t rows = (size_t)w.rows, cols = (size_t)w.cols, M = (size_t)p.M;
  float *bias = room_for(4 * rows), *have = room_for(4 * rows * cols), *before = room_for(4 * M * rows);
  const size_t group = (size_t)w.group, groups = cols / group, step = 2 * int8_lines(&w);
  int32_t *code = room_for(4 * rows * cols);
  float *scale = room_for(4 * rows * groups);
  fill(&w, bits, asym, groups > 1 || draw(2), code, scale);
  int8_dequantize(&w, 0, w.rows, have);
  p.x = room_for(4 * M * cols), p.y = room_for(4 * M * rows), p.room = room_for(int8_room(&w, p.M));
  for (size_t i = 0; i < rows; i++) bias[i] = (float)draw(100) / 64;
  for (size_t i = 0; i < M * cols; i++) p.x[i] = (float)((int)draw(2001) - 1000) / 500;
  for (size_t i = 0; i < M * rows; i++) p.y[i] = before[i] = p.add ? (float)draw(100) / 16 : NAN;
  if (draw(2)) p.bias = bias;
  p.w = w;
  if (w.input.mode != NAT_INPUT_FLOAT) nat_pool_run(pool, prepare, &p);
  nat_pool_run(pool, multiply, &p);
  const int8_rows codes = int8_rows_in(&w, p.M, p.room);
  for (size_t i = 0; i < rows * cols; i++)
    if (have[i] != (float)code[i] * scale[i / group]) {
      printf("%s, seed %d: weight %zu is %g, want %d by %g\n", set->name, (int)seed, i, have[i], code[i], scale[i / group]);
      exit(1);
    }
  for (size_t m = 0; m < M; m++)
    for (size_t r = 0; r < rows; r++) {
      double want = p.bias ? bias[r] : 0, size = 0;
      volatile float exact = 0; // rounded after every step
      for (size_t g = 0; g < groups; g++) {
        int32_t sum = 0;
        for (size_t c = 0; c < group; c++) {
          const double term = (double)p.x[m * cols + g * group + c] * have[r * cols + g * group + c];
          want += term, size += fabs(term);
          if (w.input.mode != NAT_INPUT_FLOAT) sum += codes.code[m * codes.codes + g * step + c] * code[r * cols + g * group + c];
        }
        const volatile float scaled = (float)sum * scale[r * groups + g];
        exact += scaled;
      }
      if (w.input.mode != NAT_INPUT_FLOAT) {
        exact *= codes.scale[m];
        if (p.bias) exact += bias[r];
      }
      if (p.add) want += before[m * rows + r], exact += before[m * rows + r];
      if (w.input.mode != NAT_INPUT_FLOAT) want = exact, size = 0;
      const double got = p.y[m * rows + r];
      if (!(fabs(got - want) <= 1e-6 * size)) {
        printf("%s, seed %d: %d×%d of %d bits in groups of %d, asymmetric %d, activation %d, row %zu of %d: y[%zu] is %g, want %g\n",
               set->name, (int)seed, w.rows, w.cols, bits, w.group, asym, w.input.mode, m, p.M, r, got, want);
        exit(1);
      }
    }
  free((void *)w.strips), free(bias), free(code), free(scale), free(have), free(before), free(p.x), free(p.y), free(p.room);
}

int main(void) {
  const int8_kernels *sets[16] = {&wide};
  for (int i = 0, n = 1; (sets[n] = int8_kernels_at(i)) != NULL; i++) n++;
  nat_pool *pool = nat_pool_new(3);
  if (pool == NULL) return 2;
  for (int i = 0; sets[i]; i++) {
    for (uint64_t seed = 1; seed <= 100; seed++) check(pool, sets[i], seed);
    printf("int8 %s: ok\n", sets[i]->name);
  }
  nat_pool_free(pool);
}
