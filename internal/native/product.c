// Products within a job. What several matrices read is normed, transformed and prepared once for all that can share it:
// of few rows each thread makes its own, which is faster than a barrier; of many each thread makes some.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "product.h"

static size_t lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

static size_t rows_size(const nat_desk *d, int M) { return lines(sizeof(float) * (size_t)M * ((size_t)d->normed + (size_t)d->turned)); }

// nat_desk_need notes what products of w with M rows take, of which gained ones are normed first.
void nat_desk_need(nat_desk *d, const nat_matrix *w, int M, int gained) {
  if (gained && w->cols > d->normed) d->normed = (w->cols + 15) / 16 * 16;
  if (w->transform && w->cols > d->turned) d->turned = (w->cols + 15) / 16 * 16;
  if (w->kind != NAT_FOREIGN) return;
  size_t room = lines(w->format->room(w, M));
  size_t *most = M <= EACH_ROWS ? &d->each : &d->many;
  if (room > *most) *most = room;
}

// nat_desk_fit makes room for what was noted; 0 where memory is short.
int nat_desk_fit(nat_desk *d, int threads, int M) {
  d->stride = rows_size(d, EACH_ROWS) + d->each;
  size_t size = d->stride * (size_t)threads, many = rows_size(d, M) + d->many;
  if (many > size) size = many;
  if (size <= d->size) return 1;
  free(d->data);
  d->data = NULL;
  d->size = 0;
  if (posix_memalign((void **)&d->data, 64, size)) return 0;
  d->size = size;
  return 1;
}

void nat_desk_free(nat_desk *d) { free(d->data); }

// What stands between x and w's product, in one go over a thread's rows.
static void ready(const nat_work *j, nat_input *in, const nat_matrix *w) {
  const int norm = in->gain && !in->normed, turn = w->transform && w->transform != in->turned;
  const int foreign = w->kind == NAT_FOREIGN && w->format->room(w, in->M) > 0;
  const int prepare = foreign && (in->made == NULL || in->made->transform != w->transform || in->made->cols != w->cols ||
                                  in->made->format != w->format || !w->format->shares(in->made, w));
  if (!norm && !turn && !prepare) return;
  const int each = in->M <= EACH_ROWS;
  nat_desk *d = j->desk;
  char *at = d->data + (each ? d->stride * (size_t)j->thread : 0);
  float *normed = (float *)at, *turned = normed + (size_t)in->M * (size_t)d->normed;
  void *room = at + rows_size(d, each ? EACH_ROWS : in->M);
  int from = 0, to = in->M;
  if (!each) {
    if (in->normed || in->turned || in->made) nat_pool_barrier(j->pool); // others may still read what is replaced
    nat_share(in->M, j->thread, j->threads, 1, &from, &to);
  }
  if (norm) {
    for (int m = from; m < to; m++)
      j->kernels->rmsnorm(in->x + (size_t)m * (size_t)in->ldx, in->gain, w->cols, in->eps, normed + (size_t)m * (size_t)w->cols);
    in->x = normed;
    in->ldx = w->cols;
    in->normed = 1;
  }
  if (turn) {
    for (int m = from; m < to; m++)
      nat_transform_row(w->transform, in->x + (size_t)m * (size_t)in->ldx, w->cols, turned + (size_t)m * (size_t)w->cols);
    in->turned = w->transform;
    in->turned_x = turned;
    in->made = NULL;
  }
  if (prepare) {
    w->format->prepare(w, w->transform ? turned : in->x, w->transform ? w->cols : in->ldx, in->M, from, to, room);
    in->made = w;
    in->room = room;
  }
  if (!each) nat_pool_barrier(j->pool);
}

// nat_product is rows r0 … r1 of y = x·Wᵀ (+ bias), or of y += x·Wᵀ. All threads of the job call it, each with its rows,
// which may be none, and for each matrix that reads the input in the same order.
void nat_product(const nat_work *j, nat_input *in, const nat_matrix *w, int r0, int r1, float *y, int ldy, int add) {
  ready(j, in, w);
  if (r0 >= r1) return;
  const float *x = w->transform ? in->turned_x : in->x;
  const int ldx = w->transform ? w->cols : in->ldx;
  if (w->kind == NAT_FOREIGN)
    w->format->product(w, r0, r1, x, ldx, in->room, in->M, y, ldy, add);
  else
    j->kernels->matmul(w, r0, r1, x, ldx, in->M, y, ldy, add);
}

int nat_grain(const nat_matrix *w) { return w->kind == NAT_FOREIGN ? w->format->grain : 1; }

// nat_rows_of is a thread's part of the rows of two matrices of one size, where both can be cut; lines of the cache are
// not shared either.
void nat_rows_of(const nat_matrix *a, const nat_matrix *b, int thread, int threads, int *from, int *to) {
  int grain = 16;
  if (nat_grain(a) > grain) grain = nat_grain(a);
  if (nat_grain(b) > grain) grain = nat_grain(b);
  nat_share(a->rows, thread, threads, grain, from, to);
}

// nat_row is row i of a matrix, as floats.
void nat_row(const nat_matrix *t, int i, float *to) {
  const size_t n = (size_t)t->cols;
  if (t->kind == NAT_FOREIGN) {
    t->format->row(t, i, to);
    return;
  }
  if (t->kind == NAT_F32) {
    memcpy(to, (const float *)t->data + (size_t)i * n, sizeof(float) * n);
    return;
  }
  const uint16_t *from = (const uint16_t *)t->data + (size_t)i * n;
  for (size_t k = 0; k < n; k++) {
    uint32_t bits = (uint32_t)from[k] << 16;
    memcpy(to + k, &bits, sizeof bits);
  }
}

typedef struct {
  const nat_kernels *kernels;
  const nat_matrix *w;
  const float *x;
  int M;
  float *y;
  nat_pool *pool;
} product;

static void product_job(void *arg, int thread, int threads) {
  product *p = arg;
  nat_work j = {p->pool, nat_pool_desk(p->pool), p->kernels, thread, threads};
  nat_input in = {.x = p->x, .ldx = p->w->cols, .M = p->M};
  int from, to;
  nat_rows_of(p->w, p->w, thread, threads, &from, &to);
  nat_product(&j, &in, p->w, from, to, p->y, p->w->rows, 0);
}

// nat_apply is y = x·Wᵀ (+ bias) of M rows on all threads; 0 where memory is short.
int nat_apply(nat_pool *pool, const nat_kernels *kernels, const nat_matrix *w, const float *x, int M, float *y) {
  nat_desk *d = nat_pool_desk(pool);
  nat_desk_need(d, w, M, 0);
  if (!nat_desk_fit(d, nat_pool_threads(pool), M)) return 0;
  product p = {kernels, w, x, M, y, pool};
  nat_pool_run(pool, product_job, &p);
  return 1;
}
