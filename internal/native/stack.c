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
void nat_stack_norm(nat_stack *s, const float *gain) {
  memcpy(s->norm, gain, sizeof(float) * (size_t)s->shape.width);
  s->noted = 0; // the layers are new too
}
void nat_stack_rotation(nat_stack *s, const nat_transform *t) { s->rotation = t; }

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

// What the layers' products take of the desk.
static void note(nat_stack *s, int M) {
  if (M == s->noted) return;
  nat_desk *d = nat_pool_desk(s->pool);
  for (int i = 0; i < s->shape.layers; i++) {
    const nat_layer *l = &s->layer[i];
    const nat_matrix *gained[] = {&l->q, &l->k, &l->v, &l->gate, &l->up}, *other[] = {&l->o, &l->down};
    for (int k = 0; k < 5; k++) nat_desk_need(d, gained[k], M, 1);
    for (int k = 0; k < 2; k++) nat_desk_need(d, other[k], M, 0);
  }
  s->noted = M;
}

// nat_stack_room makes room for passes of M rows, of sequences of up to S.
int nat_stack_room(nat_stack *s, int M, int S) {
  const nat_shape *n = &s->shape;
  size_t m = (size_t)M, T = (size_t)s->threads;
  size_t q = (size_t)(n->heads * n->dim), kv = (size_t)(n->kv * n->dim), inner = (size_t)n->inner, width = (size_t)n->width;
  size_t group = (size_t)(n->heads / n->kv) * (size_t)S;
  size_t size = m * (width + 2 * q + 2 * kv + 2 * inner + (size_t)n->dim) + T * group;
  size += 16 * (8 + T); // each part begins on a line of the cache
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
  PART(s->q, m * q);
  PART(s->att, m * q);
  PART(s->k, m * kv);
  PART(s->v, m * kv);
  PART(s->gate, m * inner);
  PART(s->up, m * inner);
  PART(s->angle, m * (size_t)n->dim);
  s->each_score = at;
  s->each_score_size = (group + 15) / 16 * 16;
  note(s, M);
  return nat_desk_fit(nat_pool_desk(s->pool), s->threads, M) ? 0 : -1;
}

// The key heads of a thread: as many at a time as the rows of q, k and v can be cut at.
static void heads_of(const nat_stack *s, const nat_layer *l, int thread, int *from, int *to) {
  const nat_shape *n = &s->shape;
  const int D = n->dim, group = n->heads / n->kv;
  int step = 1;
  while (step < n->kv && (step * D % nat_grain(&l->k) || step * D % nat_grain(&l->v) || step * group * D % nat_grain(&l->q))) step *= 2;
  nat_share(n->kv, thread, s->threads, step, from, to);
}

// Queries, keys and values of a thread's key heads, and their attention.
static void attention(nat_stack *s, int layer, const nat_work *j, int M) {
  const nat_layer *l = &s->layer[layer];
  const nat_kernels *f = s->kernels;
  const nat_shape *n = &s->shape;
  const int D = n->dim, group = n->heads / n->kv, Q = n->heads * D, KV = n->kv * D;
  int from, to;
  heads_of(s, l, j->thread, &from, &to);
  nat_input x = {.x = s->x, .ldx = n->width, .M = M, .gain = l->input_norm, .eps = n->eps};
  nat_product(j, &x, &l->q, from * group * D, to * group * D, s->q, Q, 0);
  nat_product(j, &x, &l->k, from * D, to * D, s->k, KV, 0);
  nat_product(j, &x, &l->v, from * D, to * D, s->v, KV, 0);
  float *score = s->each_score + (size_t)j->thread * s->each_score_size;
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

// A thread's columns of silu(gate)·up.
static void gate_up(nat_stack *s, const nat_layer *l, const nat_work *j, int M) {
  const nat_shape *n = &s->shape;
  int from, to;
  nat_rows_of(&l->gate, &l->up, j->thread, s->threads, &from, &to);
  nat_input x = {.x = s->x, .ldx = n->width, .M = M, .gain = l->post_norm, .eps = n->eps};
  nat_product(j, &x, &l->gate, from, to, s->gate, n->inner, 0);
  nat_product(j, &x, &l->up, from, to, s->up, n->inner, 0);
  for (int m = 0; m < M; m++)
    s->kernels->swiglu(s->gate + (size_t)m * n->inner + from, s->up + (size_t)m * n->inner + from, to - from);
}

// x += from·Wᵀ, a thread's columns of it.
static void onto(nat_stack *s, const nat_work *j, const nat_matrix *w, const float *from, int M) {
  nat_input x = {.x = from, .ldx = w->cols, .M = M};
  int r0, r1;
  nat_rows_of(w, w, j->thread, s->threads, &r0, &r1);
  nat_product(j, &x, w, r0, r1, s->x, s->shape.width, 1);
}

// nat_stack_pass maps s->x [M, width] through all layers, on each thread of the pool's job; s->of says which row of
// which sequence each one is. The final norm is the caller's.
void nat_stack_pass(nat_stack *s, const nat_work *j, int M) {
  const nat_shape *n = &s->shape;
  const int thread = j->thread;
  nat_lap(s, thread, NAT_OUTSIDE);
  if (s->rotation) nat_pool_barrier(s->pool); // each thread has written some columns of a row
  for (int i = thread; i < M; i += s->threads) {
    float *x = s->x + (size_t)i * (size_t)n->width;
    if (s->rotation) nat_transform_row(s->rotation, x, n->width, x);
    for (int d = 0; d < n->dim / 2; d++) {
      float phase = (float)s->of[i].position * s->frequency[d];
      s->angle[(size_t)i * n->dim + d] = cosf(phase);
      s->angle[(size_t)i * n->dim + n->dim / 2 + d] = sinf(phase);
    }
  }
  nat_pool_barrier(s->pool);
  for (int i = 0; i < n->layers; i++) {
    const nat_layer *l = &s->layer[i];
    int from, to;
    attention(s, i, j, M);
    nat_rows_of(&l->o, &l->o, thread, s->threads, &from, &to);
    nat_fetch(&l->o, from);
    nat_pool_barrier(s->pool);
    nat_lap(s, thread, NAT_QKV);
    onto(s, j, &l->o, s->att, M);
    nat_rows_of(&l->gate, &l->up, thread, s->threads, &from, &to);
    nat_fetch(&l->gate, from);
    nat_pool_barrier(s->pool);
    nat_lap(s, thread, NAT_O);

    gate_up(s, l, j, M);
    nat_rows_of(&l->down, &l->down, thread, s->threads, &from, &to);
    nat_fetch(&l->down, from);
    nat_pool_barrier(s->pool);
    nat_lap(s, thread, NAT_GATE_UP);
    onto(s, j, &l->down, s->gate, M);
    if (i + 1 < n->layers) {
      heads_of(s, l + 1, thread, &from, &to);
      nat_fetch(&l[1].q, from * (n->heads / n->kv) * n->dim);
    }
    nat_pool_barrier(s->pool);
    nat_lap(s, thread, NAT_DOWN);
  }
}

// nat_stack_final is the final norm of row m of s->x, once after each pass: the row is turned back in place.
void nat_stack_final(nat_stack *s, int m, float *out) {
  float *x = s->x + (size_t)m * s->shape.width;
  if (s->rotation) nat_transform_row(s->rotation, x, s->shape.width, x);
  s->kernels->rmsnorm(x, s->norm, s->shape.width, s->shape.eps, out);
}

typedef struct {
  nat_stack *s;
  int M;
} pass;

static void pass_job(void *arg, int thread, int threads) {
  pass *p = arg;
  nat_work j = {p->s->pool, nat_pool_desk(p->s->pool), p->s->kernels, thread, threads};
  nat_stack_pass(p->s, &j, p->M);
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
