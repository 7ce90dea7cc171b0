// A decoder's memory, shared by stack.c, cache.c and frame.c.
#ifndef QAKD_STACK_H
#define QAKD_STACK_H

#include "product.h"

// The keys and values of one sequence: [layer][key head][2][room] rows of the shape's cache kind.
typedef struct {
  int rows, room;
  char data[];
} nat_cache;

typedef struct {
  int sequence, position;
} nat_place;

struct nat_stack {
  nat_pool *pool;
  const nat_kernels *kernels;
  nat_shape shape;
  int threads;
  nat_layer *layer;
  float *norm, *frequency;
  const nat_transform *rotation; // of the residual stream, or NULL

  int sequences, cache_size;
  nat_cache **cache; // [sequences]

  // The work of one pass, all in one piece of memory: [rows, ·].
  float *work;
  size_t work_size;
  float *x, *q, *att, *k, *v, *gate, *up, *angle;
  float *each_score; // of each thread
  size_t each_score_size;
  nat_place *of; // [rows]
  int of_size;

  int noted; // rows of a pass for which the desk has been fitted

  double spent[NAT_PHASES], clock; // seconds of thread 0
};

// nat_lap books the time since the last lap to a phase. Thread 0 only.
void nat_lap(nat_stack *s, int thread, int phase);

int nat_stack_room(nat_stack *s, int M, int S);
void nat_stack_pass(nat_stack *s, const nat_work *j, int M);
void nat_stack_final(nat_stack *s, int m, float *out);

int nat_caches_begin(nat_stack *s, const int32_t *rows, int sequences);
int nat_caches_next(nat_stack *s);

static inline size_t nat_cache_row(const nat_stack *s) {
  return (size_t)nat_row_bytes(s->shape.cache, s->shape.dim);
}

static inline char *nat_cache_keys(const nat_stack *s, nat_cache *c, int layer, int head) {
  return c->data + ((size_t)layer * (size_t)s->shape.kv + (size_t)head) * 2 * (size_t)c->room * nat_cache_row(s);
}

static inline char *nat_cache_values(const nat_stack *s, nat_cache *c, int layer, int head) {
  return nat_cache_keys(s, c, layer, head) + (size_t)c->room * nat_cache_row(s);
}

#endif
