// A decoder: all layers of one pass over some rows, in one job of the pool.
//
// The heads of a thread's own key heads need nobody else's rows of q, k and v, so a layer has four barriers:
//
//	norm · q k v · rotate · attend | o, add | norm · gate up · silu | down, add |
//
// More threads than key heads wait for these in the first part.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stack.h"

const double *nat_stack_spent(const nat_stack *s) { return s->spent; }

void nat_lap(nat_stack *s, int thread, int phase) {
  if (thread != 0) return;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double t = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
  if (phase != NAT_OUTSIDE) s->spent[phase] += t - s->clock;
  s->clock = t;
}

int nat_stack_sequences(const nat_stack *s) { return s->sequences; }
nat_layer *nat_stack_layers(nat_stack *s) { return s->layer; }
void nat_stack_norm(nat_stack *s, const float *gain) { memcpy(s->norm, gain, sizeof(float) * (size_t)s->shape.width); }

nat_stack *nat_stack_new(nat_pool *pool, const nat_kernels *kernels, const nat_shape *shape, const float *frequency) {
  nat_stack *s = calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->pool = pool;
  s->kernels = kernels;
  s->shape = *shape;
  s->threads = nat_pool_threads(pool);
  s->layer = calloc((size_t)shape->layers, sizeof *s->layer);
  s->norm = calloc((size_t)shape->width, sizeof(float));
  s->frequency = calloc((size_t)shape->dim / 2 + 1, sizeof(float));
  if (s->layer == NULL || s->norm == NULL || s->frequency == NULL) {
    nat_stack_free(s);
    return NULL;
  }
  memcpy(s->frequency, frequency, sizeof(float) * (size_t)(shape->dim / 2));
  return s;
}

void nat_stack_free(nat_stack *s) {
  if (s == NULL) return;
  nat_caches_clear(s);
  free(s->layer);
  free(s->norm);
  free(s->frequency);
  free(s->work);
  free(s->of);
  free(s);
}

// nat_stack_room makes room for passes of M rows, of sequences of up to S.
int nat_stack_room(nat_stack *s, int M, int S) {
  const nat_shape *n = &s->shape;
  size_t m = (size_t)M, T = (size_t)s->threads;
  size_t q = (size_t)(n->heads * n->dim), kv = (size_t)(n->kv * n->dim), inner = (size_t)n->inner, width = (size_t)n->width;
  size_t private = m <= NORM_EACH ? m : 0;
  size_t group = (size_t)(n->heads / n->kv) * (size_t)S;
  size_t size = m * (2 * width + 2 * q + 2 * kv + 2 * inner + (size_t)n->dim) + T * (private * width + group);
  size += 16 * (8 + 2 * T); // each part begins on a line of the cache
  if (size > s->work_size) {
    free(s->work);
    s->work = NULL;
    s->work_size = 0;
    if (posix_memalign((void **)&s->work, 64, size * sizeof(float))) return -1;
    s->work_size = size;
  }
  if (M > s->of_size) {
    free(s->of);
    s->of_size = 0;
    if ((s->of = malloc(sizeof *s->of * m)) == NULL) return -1;
    s->of_size = M;
  }
  float *at = s->work;
#define PART(name, n_) (name = at, at += ((n_) + 15) / 16 * 16)
  PART(s->x, m * width);
  PART(s->h, m * width);
  PART(s->q, m * q);
  PART(s->att, m * q);
  PART(s->k, m * kv);
  PART(s->v, m * kv);
  PART(s->gate, m * inner);
  PART(s->up, m * inner);
  PART(s->angle, m * (size_t)n->dim);
  s->each_h = at;
  s->each_h_size = (private * width + 15) / 16 * 16;
  s->each_score = at + T * s->each_h_size;
  s->each_score_size = (group + 15) / 16 * 16;
  return 0;
}

// The normed rows: of few rows each thread makes its own, which is faster than a barrier.
static const float *normed(nat_stack *s, int thread, int M, const float *gain) {
  const int width = s->shape.width;
  int from = 0, to = M;
  float *h = s->each_h + (size_t)thread * s->each_h_size;
  if (M > NORM_EACH) {
    h = s->h;
    nat_share(M, thread, s->threads, 1, &from, &to);
  }
  for (int m = from; m < to; m++) s->kernels->rmsnorm(s->x + (size_t)m * width, gain, width, s->shape.eps, h + (size_t)m * width);
  if (M > NORM_EACH) nat_pool_barrier(s->pool);
  return h;
}

// Queries, keys and values of key heads from … to, and their attention.
static void attention(nat_stack *s, int layer, const float *h, int thread, int M) {
  const nat_layer *l = &s->layer[layer];
  const nat_kernels *f = s->kernels;
  const nat_shape *n = &s->shape;
  const int D = n->dim, group = n->heads / n->kv, Q = n->heads * D, KV = n->kv * D;
  int from, to;
  nat_share(n->kv, thread, s->threads, 1, &from, &to);
  if (from == to) return;
  f->matmul(&l->q, from * group * D, to * group * D, h, n->width, M, s->q, Q, 0);
  f->matmul(&l->k, from * D, to * D, h, n->width, M, s->k, KV, 0);
  f->matmul(&l->v, from * D, to * D, h, n->width, M, s->v, KV, 0);
  float *score = s->each_score + (size_t)thread * s->each_score_size;
  for (int m = 0; m < M; m++) {
    const float *cosine = s->angle + (size_t)m * D, *sine = cosine + D / 2;
    nat_cache *cache = s->cache[s->of[m].sequence];
    const int position = s->of[m].position;
    for (int head = from; head < to; head++) {
      float *q = s->q + (size_t)m * Q + head * group * D, *k = s->k + (size_t)m * KV + head * D;
      for (int g = 0; g < group; g++) {
        f->rmsnorm(q + g * D, l->q_norm, D, n->eps, q + g * D);
        f->rotate(q + g * D, cosine, sine, D);
      }
      f->rmsnorm(k, l->k_norm, D, n->eps, k);
      f->rotate(k, cosine, sine, D);
      char *keys = nat_cache_keys(s, cache, layer, head), *values = nat_cache_values(s, cache, layer, head);
      const size_t row = nat_cache_row(s) * (size_t)position;
      f->store(k, D, n->cache, keys + row);
      f->store(s->v + (size_t)m * KV + head * D, D, n->cache, values + row);
      f->attend(q, group, D, keys, values, n->cache, position + 1, score, s->att + (size_t)m * Q + head * group * D);
    }
  }
}

// nat_stack_pass maps s->x [M, width] through all layers, on each thread of the pool's job; s->of says which row of
// which sequence each one is. The final norm is the caller's.
void nat_stack_pass(nat_stack *s, int thread, int M) {
  const nat_kernels *f = s->kernels;
  const nat_shape *n = &s->shape;
  int from, to;
  nat_lap(s, thread, NAT_OUTSIDE);
  for (int i = thread; i < M; i += s->threads) {
    for (int d = 0; d < n->dim / 2; d++) {
      float phase = (float)s->of[i].position * s->frequency[d];
      s->angle[(size_t)i * n->dim + d] = cosf(phase);
      s->angle[(size_t)i * n->dim + n->dim / 2 + d] = sinf(phase);
    }
  }
  nat_pool_barrier(s->pool);
  for (int i = 0; i < n->layers; i++) {
    const nat_layer *l = &s->layer[i];
    attention(s, i, normed(s, thread, M, l->input_norm), thread, M);
    nat_share(n->width, thread, s->threads, 16, &from, &to);
    nat_fetch(&l->o, from);
    nat_pool_barrier(s->pool);
    nat_lap(s, thread, NAT_QKV);
    f->matmul(&l->o, from, to, s->att, n->heads * n->dim, M, s->x, n->width, 1);
    nat_share(n->inner, thread, s->threads, 16, &from, &to);
    nat_fetch(&l->gate, from);
    nat_pool_barrier(s->pool);
    nat_lap(s, thread, NAT_O);

    const float *h = normed(s, thread, M, l->post_norm);
    f->matmul(&l->gate, from, to, h, n->width, M, s->gate, n->inner, 0);
    f->matmul(&l->up, from, to, h, n->width, M, s->up, n->inner, 0);
    for (int m = 0; m < M; m++) f->swiglu(s->gate + (size_t)m * n->inner + from, s->up + (size_t)m * n->inner + from, to - from);
    nat_share(n->width, thread, s->threads, 16, &from, &to);
    nat_fetch(&l->down, from);
    nat_pool_barrier(s->pool);
    nat_lap(s, thread, NAT_GATE_UP);
    f->matmul(&l->down, from, to, s->gate, n->inner, M, s->x, n->width, 1);
    if (i + 1 < n->layers) {
      nat_share(n->kv, thread, s->threads, 1, &from, &to);
      nat_fetch(&s->layer[i + 1].q, from * (n->heads / n->kv) * n->dim);
    }
    nat_pool_barrier(s->pool);
    nat_lap(s, thread, NAT_DOWN);
  }
}

// nat_stack_final is the final norm of row m of s->x.
void nat_stack_final(nat_stack *s, int m, float *out) {
  s->kernels->rmsnorm(s->x + (size_t)m * s->shape.width, s->norm, s->shape.width, s->shape.eps, out);
}

typedef struct {
  nat_stack *s;
  int M;
} pass;

static void pass_job(void *arg, int thread, int threads) {
  (void)threads;
  nat_stack_pass(((pass *)arg)->s, thread, ((pass *)arg)->M);
}

// nat_stack_prefill forgets all sequences and reads rows[b] rows of each new one, x [Σ rows, width]; out
// [sequences, width] is the final-normed state of each one's last row. -1: no memory.
int nat_stack_prefill(nat_stack *s, const float *x, const int32_t *rows, int sequences, float *out) {
  int M = nat_caches_begin(s, rows, sequences);
  if (M < 0) return -1;
  memcpy(s->x, x, sizeof(float) * (size_t)M * (size_t)s->shape.width);
  pass p = {s, M};
  nat_pool_run(s->pool, pass_job, &p);
  for (int b = 0, last = -1; b < sequences; b++) nat_stack_final(s, last += rows[b], out + (size_t)b * s->shape.width);
  return 0;
}

// nat_stack_step reads one row of each sequence, x [sequences, width]. -1: no memory.
int nat_stack_step(nat_stack *s, const float *x, float *out) {
  int M = nat_caches_next(s);
  if (M < 0) return -1;
  memcpy(s->x, x, sizeof(float) * (size_t)M * (size_t)s->shape.width);
  pass p = {s, M};
  nat_pool_run(s->pool, pass_job, &p);
  for (int b = 0; b < M; b++) nat_stack_final(s, b, out + (size_t)b * s->shape.width);
  return 0;
}
