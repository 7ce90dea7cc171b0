// Products within a job; see product.c.
#ifndef QAKD_PRODUCT_H
#define QAKD_PRODUCT_H

#include "native.h"

enum { EACH_ROWS = 8 }; // up to which each thread prepares all rows of an input for itself

// Where inputs are prepared: in one place for all threads, or one for each. It grows with what was ever needed.
typedef struct {
  int normed, turned; // floats of a row
  size_t each, many;  // bytes of a format's room, of few rows and of many
  size_t stride;      // from a thread's place to the next one's
  size_t size;
  char *data;
} nat_desk;

void nat_desk_need(nat_desk *d, const nat_matrix *w, int M, int gained);
int nat_desk_fit(nat_desk *d, int threads, int M);
void nat_desk_free(nat_desk *d);
nat_desk *nat_pool_desk(nat_pool *p);

// A thread of a job.
typedef struct {
  nat_pool *pool;
  nat_desk *desk;
  const nat_kernels *kernels;
  int thread, threads;
} nat_work;

// M rows that several matrices read, and what has been made of them so far. Each thread has its own, all alike.
typedef struct {
  const float *x;
  int ldx, M;
  const float *gain; // of the norm that comes first, or NULL
  float eps;

  int normed;
  const nat_transform *turned;
  const float *turned_x;
  const nat_matrix *made; // whose format's room it is
  const void *room;
} nat_input;

void nat_product(const nat_work *j, nat_input *in, const nat_matrix *w, int r0, int r1, float *y, int ldy, int add);
int nat_grain(const nat_matrix *w);
void nat_rows_of(const nat_matrix *a, const nat_matrix *b, int thread, int threads, int *from, int *to);
void nat_row(const nat_matrix *t, int i, float *to);

#endif
