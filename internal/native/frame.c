// Codes 1 … G-1 of one frame of each sequence, in one job: G-1 passes through the code predictor's decoder, each with a
// head, a draw and the lookup of what it drew.
#include <stdlib.h>
#include <string.h>

#include "stack.h"

typedef struct {
  nat_stack *s;
  const nat_predictor *p;
  const nat_sampling *how;
  const float *hidden;
  const int32_t *code0;
  const double *u;
  int n; // sequences
  int32_t *codes;
  float *total;
  int32_t *bad;

  float *row;    // [2n, H] inputs at the talker's width
  float *state;  // [n, Hp]
  float *logits; // [n, V]
  void *room;
  int failed, memory;
} frame;

// The inputs of step j; one thread.
static void prepare(frame *f, int j) {
  const int H = f->p->width, n = f->n;
  int32_t two[n];
  for (int b = 0; b < n; b++) two[b] = 2;
  int M = j == 0 ? nat_caches_begin(f->s, two, n) : nat_caches_next(f->s);
  if (M < 0) {
    f->failed = f->memory = 1;
    return;
  }
  float *row = f->p->adapter.data ? f->row : f->s->x;
  for (int b = 0; b < n; b++) {
    float *to = row + (size_t)b * H;
    if (j == 0) {
      to = row + (size_t)(2 * b) * H;
      memcpy(to, f->hidden + (size_t)b * H, sizeof(float) * (size_t)H);
      nat_row(&f->p->table[0], f->code0[b], to += H);
      memcpy(f->total + (size_t)b * H, to, sizeof(float) * (size_t)H);
    } else {
      nat_row(&f->p->table[j], f->codes[(j - 1) * n + b], to);
      for (int k = 0; k < H; k++) f->total[(size_t)b * H + k] += to[k];
    }
  }
}

// Codes j+1 from the logits; one thread.
static void draw(frame *f, int j) {
  const int V = f->p->codebook;
  for (int b = 0; b < f->n && !f->failed; b++) {
    int code = nat_draw(f->logits + (size_t)b * V, V, f->how, f->u ? f->u[j * f->n + b] : 0, f->room);
    if (code < 0) {
      f->failed = 1;
      f->bad[0] = b;
      f->bad[1] = j;
      f->bad[2] = -1 - code;
      return;
    }
    f->codes[j * f->n + b] = code;
  }
}

static void frame_job(void *arg, int thread, int threads) {
  frame *f = arg;
  nat_stack *s = f->s;
  const nat_predictor *p = f->p;
  const int width = s->shape.width;
  const nat_work work = {s->pool, nat_pool_desk(s->pool), s->kernels, thread, threads};
  int from, to;
  for (int j = 0; j < p->heads; j++) {
    nat_lap(s, thread, NAT_OUTSIDE);
    if (thread == 0) {
      if (j > 0) draw(f, j - 1);
      if (!f->failed) prepare(f, j);
    }
    nat_lap(s, thread, NAT_DRAWS);
    nat_pool_barrier(s->pool);
    if (f->failed) return;
    const int M = j == 0 ? 2 * f->n : f->n;
    if (p->adapter.data) {
      nat_input x = {.x = f->row, .ldx = p->width, .M = M};
      nat_rows_of(&p->adapter, &p->adapter, thread, threads, &from, &to);
      nat_product(&work, &x, &p->adapter, from, to, s->x, width, 0);
      // the pass begins with a barrier
    }
    nat_stack_pass(s, &work, M);
    if (thread == 0)
      for (int b = 0; b < f->n; b++) nat_stack_final(s, j == 0 ? 2 * b + 1 : b, f->state + (size_t)b * width);
    nat_pool_barrier(s->pool);
    nat_input x = {.x = f->state, .ldx = width, .M = f->n};
    nat_rows_of(&p->head[j], &p->head[j], thread, threads, &from, &to);
    nat_product(&work, &x, &p->head[j], from, to, f->logits, p->codebook, 0);
    nat_pool_barrier(s->pool);
    nat_lap(s, thread, NAT_HEADS);
  }
  if (thread == 0) {
    const int j = p->heads;
    draw(f, j - 1);
    for (int b = 0; b < f->n && !f->failed; b++) { // the last codes are no input here, but the talker's
      nat_row(&p->table[j], f->codes[(j - 1) * f->n + b], f->row);
      for (int k = 0; k < p->width; k++) f->total[(size_t)b * p->width + k] += f->row[k];
    }
  }
}

// nat_frame decodes one frame of each sequence: hidden [n, H] are the talker's states, code0 [n] the first codes,
// u [G-1][n] the points to draw at (NULL where the best is taken). codes [G-1][n] and total [n, H], the sum of all
// embeddings, are the results. 0: done; -1: no memory; 1: a logit is not a number: bad = sequence, step, place.
int nat_frame(nat_stack *s, const nat_predictor *p, const nat_sampling *how, const float *hidden, const int32_t *code0,
              const double *u, int sequences, int32_t *codes, float *total, int32_t *bad) {
  const size_t n = (size_t)sequences, H = (size_t)p->width, V = (size_t)p->codebook;
  frame f = {.s = s, .p = p, .how = how, .hidden = hidden, .code0 = code0, .u = u, .n = sequences, .codes = codes,
             .total = total, .bad = bad};
  f.row = malloc(sizeof(float) * 2 * n * H);
  f.state = malloc(sizeof(float) * n * (size_t)s->shape.width);
  f.logits = malloc(sizeof(float) * n * V);
  f.room = malloc(nat_draw_room(p->codebook));
  nat_desk *desk = nat_pool_desk(s->pool);
  if (p->adapter.data)
    for (int M = sequences; M <= 2 * sequences; M += sequences) nat_desk_need(desk, &p->adapter, M, 0);
  for (int j = 0; j < p->heads; j++) nat_desk_need(desk, &p->head[j], sequences, 0);
  int status = -1;
  if (nat_desk_fit(desk, s->threads, 2 * sequences) && f.row != NULL && f.state != NULL && f.logits != NULL && f.room != NULL) {
    nat_pool_run(s->pool, frame_job, &f);
    status = f.memory ? -1 : f.failed;
  }
  free(f.row);
  free(f.state);
  free(f.logits);
  free(f.room);
  return status;
}
