// A chain of causal convolutions, with SnakeBeta activations between them. Each step reads rows of elements and writes the
// rows that the next one reads, activation included, so that nothing passes through memory twice; sums that a residual
// connection needs are kept beside them in float32. Between two runs a signal's state has the last rows of each step's
// input that later moments still see.
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "wave.h"

struct nat_wave {
  const nat_wave_kernels *kernels;
  int steps;
  size_t room;       // rows·pitch that the two element buffers and the kept sums hold
  char *from, *to;   // elements: what a step reads, what it writes
  float *kept;
  nat_conv conv[];
};

const nat_wave_kernels *nat_wave_kernels_at(int bf16, int i) {
  const nat_wave_kernels *list[4] = {NULL};
  int n = 0;
  if (!bf16) list[n++] = &nat_wave_portable;
#if defined(__x86_64__)
  __builtin_cpu_init();
  int wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (bf16) {
    if (wide && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bf16"))
      list[n++] = &nat_wave_bf16;
  } else {
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) list[n++] = &nat_wave_avx2;
    if (wide) list[n++] = &nat_wave_avx512;
  }
#endif
  return i < n ? list[i] : NULL;
}

static void *aligned(size_t bytes) {
  void *p;
  if (posix_memalign(&p, 64, bytes + 64)) return NULL;
  memset(p, 0, bytes + 64);
  return p;
}

nat_wave *nat_wave_new(const nat_wave_kernels *k, int steps) {
  nat_wave *w = calloc(1, sizeof *w + (size_t)steps * sizeof(nat_conv));
  if (w != NULL) w->kernels = k, w->steps = steps;
  return w;
}

void nat_wave_free(nat_wave *w) {
  if (w == NULL) return;
  for (int i = 0; i < w->steps; i++) {
    free(w->conv[i].w);
    free(w->conv[i].bias);
    free(w->conv[i].frequency);
    free(w->conv[i].scale);
  }
  free(w->from);
  free(w->to);
  free(w->kept);
  free(w);
}

static float *padded(const float *v, int n) {
  float *p = aligned((size_t)wave_pitch(n) * sizeof *p);
  if (p != NULL) memcpy(p, v, (size_t)n * sizeof *p);
  return p;
}

int nat_wave_step(nat_wave *w, int i, const nat_conv *shape, const float *weight, const float *bias, const float *frequency, const float *scale) {
  nat_conv *c = &w->conv[i];
  *c = *shape;
  c->w = aligned(w->kernels->size(c));
  c->bias = padded(bias, c->out);
  c->frequency = frequency ? padded(frequency, c->out) : NULL;
  c->scale = scale ? padded(scale, c->out) : NULL;
  if (c->w == NULL || c->bias == NULL || (frequency && (c->frequency == NULL || c->scale == NULL))) return 0;
  w->kernels->pack(c, weight);
  return 1;
}

// Rows of a step's input that come before the piece.
static int before(const nat_conv *c) { return (c->taps - 1) * c->dilation; }

static size_t before_bytes(const nat_wave *w, int i) {
  return (size_t)before(&w->conv[i]) * wave_pitch(w->conv[i].in) * w->kernels->element;
}

size_t nat_wave_state(const nat_wave *w) {
  size_t n = 0;
  for (int i = 0; i < w->steps; i++) n += before_bytes(w, i);
  return n;
}

// Room for a piece in the buffers.
static int reserve(nat_wave *w, int rows) {
  size_t most = 0;
  for (int i = 0; i < w->steps; i++) {
    const nat_conv *c = &w->conv[i];
    size_t in = ((size_t)before(c) + rows) * wave_pitch(c->in), out = (size_t)rows * c->phases * wave_pitch(c->out);
    most = in > most ? in : most;
    most = out > most ? out : most;
    rows *= c->phases;
  }
  if (most <= w->room) return 1;
  free(w->from);
  free(w->to);
  free(w->kept);
  w->from = aligned(most * w->kernels->element);
  w->to = aligned(most * w->kernels->element);
  w->kept = aligned(most * sizeof *w->kept);
  w->room = w->from && w->to && w->kept ? most : 0;
  return w->room > 0;
}

typedef struct {
  nat_wave *w;
  nat_pool *pool;
  char *state;
  const float *x;
  int rows;
  atomic_int *taken; // tasks of each step
} piece;

enum { MOMENTS = 256 }; // of a task

static void work(void *arg, int thread, int threads) {
  piece *p = arg;
  nat_wave *w = p->w;
  const size_t element = w->kernels->element;
  char *from = w->from, *to = w->to, *state = p->state;
  int rows = p->rows;
  (void)threads;
  for (int i = 0; i < w->steps; i++) {
    const nat_conv *c = &w->conv[i];
    const int last = i + 1 == w->steps;
    const size_t old = before_bytes(w, i), ahead = last ? 0 : before_bytes(w, i + 1);
    if (thread == 0 && !last) memcpy(to, state + old, ahead); // the next step's past
    if (thread == 0) memcpy(state, from + (size_t)rows * wave_pitch(c->in) * element, old);
    nat_conv_rows r = {from, c->add ? w->kept : NULL, c->keep || last ? w->kept : NULL, last ? NULL : to + ahead};
    const int blocks = (wave_pitch(c->out) + w->kernels->columns - 1) / w->kernels->columns * c->phases;
    const int parts = (rows + MOMENTS - 1) / MOMENTS;
    for (int task; (task = atomic_fetch_add(&p->taken[i], 1)) < blocks * parts;) {
      int t0 = task % parts * MOMENTS, t1 = t0 + MOMENTS < rows ? t0 + MOMENTS : rows;
      w->kernels->run(c, &r, task / parts, t0, t1);
    }
    nat_pool_barrier(p->pool);
    char *swap = from;
    from = to, to = swap;
    state += old;
    rows *= c->phases;
  }
}

int nat_wave_run(nat_wave *w, nat_pool *pool, void *state, const float *x, int rows, float *out) {
  if (!reserve(w, rows)) return 0;
  atomic_int *taken = calloc((size_t)w->steps, sizeof *taken);
  if (taken == NULL) return 0;
  const nat_conv *first = &w->conv[0], *last = &w->conv[w->steps - 1];
  const int pitch = wave_pitch(first->in);
  memcpy(w->from, state, before_bytes(w, 0));
  for (int t = 0; t < rows; t++) {
    char *row = w->from + before_bytes(w, 0) + (size_t)t * pitch * w->kernels->element;
    memset(row, 0, (size_t)pitch * w->kernels->element);
    w->kernels->store(x + (size_t)t * first->in, first->in, row);
  }
  piece p = {w, pool, state, x, rows, taken};
  nat_pool_run(pool, work, &p);
  free(taken);
  for (int i = 0; i < w->steps; i++) rows *= w->conv[i].phases;
  for (int t = 0; t < rows; t++) memcpy(out + (size_t)t * last->out, w->kept + (size_t)t * wave_pitch(last->out), (size_t)last->out * sizeof *out);
  return 1;
}
