// Several products of one input in one job of the pool.
#include "group.h"
#include "product.h"

typedef struct {
  nat_pool *pool;
  const nat_kernels *kernels;
  const nat_matrix *w;
  int n;
  const float *x;
  int M;
  float *y;
} group;

static void group_job(void *arg, int thread, int threads) {
  group *p = arg;
  nat_work j = {p->pool, nat_pool_desk(p->pool), p->kernels, thread, threads};
  nat_input in = {.x = p->x, .ldx = p->w->cols, .M = p->M};
  float *y = p->y;
  for (const nat_matrix *w = p->w; w < p->w + p->n; w++) {
    int from, to;
    nat_rows_of(w, w, thread, threads, &from, &to);
    nat_product(&j, &in, w, from, to, y, w->rows, 0);
    y += (size_t)p->M * (size_t)w->rows;
  }
}

int nat_apply_group(nat_pool *pool, const nat_kernels *kernels, const nat_matrix *w, int n, const float *x, int M, float *y) {
  nat_desk *d = nat_pool_desk(pool);
  for (int i = 0; i < n; i++) nat_desk_need(d, w + i, M, 0);
  if (!nat_desk_fit(d, nat_pool_threads(pool), M)) return 0;
  group p = {pool, kernels, w, n, x, M, y};
  nat_pool_run(pool, group_job, &p);
  return 1;
}
