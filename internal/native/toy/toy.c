// A matrix format for tests: plain floats, of which every product rounds its input to multiples of 1/step first, into a
// room, or reads it as it is. Rows that are cut elsewhere than at the grain, or that were never prepared, give NaN.
#include "toy.h"

#include <math.h>
#include <stdatomic.h>
#include <stdint.h>

static atomic_long prepared;

long toy_prepared(void) { return atomic_load(&prepared); }

static const toy *of(const nat_matrix *w) { return w->data; }

enum { MARK = 0x70e1 }; // stands before each prepared row, with its step

static size_t row_size(const nat_matrix *w) { return ((size_t)w->cols + 2) * sizeof(int32_t); }

static size_t room(const nat_matrix *w, int M) { return of(w)->step ? row_size(w) * (size_t)M : 0; }

static void prepare(const nat_matrix *w, const float *x, int ldx, int M, int m0, int m1, void *to) {
  (void)M;
  for (int m = m0; m < m1; m++) {
    int32_t *row = (int32_t *)((char *)to + row_size(w) * (size_t)m);
    row[0] = MARK;
    row[1] = of(w)->step;
    for (int k = 0; k < w->cols; k++) row[k + 2] = (int32_t)lrintf(x[(long)m * ldx + k] * (float)of(w)->step);
    atomic_fetch_add(&prepared, 1);
  }
}

static void product(const nat_matrix *w, int r0, int r1, const float *x, int ldx, const void *from, int M, float *y, int ldy, int add) {
  const int step = of(w)->step, bad = r0 % w->format->grain || (r1 % w->format->grain && r1 != w->rows);
  for (int m = 0; m < M; m++) {
    const int32_t *row = (const int32_t *)((const char *)from + row_size(w) * (size_t)m);
    for (int r = r0; r < r1; r++) {
      double sum = bad || (step && (row[0] != MARK || row[1] != step)) ? NAN : w->bias ? w->bias[r] : 0;
      for (int k = 0; k < w->cols; k++) {
        double v = step ? (double)row[k + 2] / step : (double)x[(long)m * ldx + k];
        sum += v * (double)of(w)->w[(long)r * w->cols + k];
      }
      float *to = y + (long)m * ldy + r;
      *to = (float)(add ? *to + sum : sum);
    }
  }
}

static int shares(const nat_matrix *a, const nat_matrix *b) { return of(a)->step == of(b)->step; }

static void row(const nat_matrix *w, int r, float *out) {
  for (int k = 0; k < w->cols; k++) out[k] = of(w)->w[(long)r * w->cols + k];
}

static const nat_format rounding = {"toy", 32, room, prepare, product, shares, row};
static const nat_format plain = {"plain toy", 4, room, prepare, product, shares, row};

const nat_format *toy_format(int step) { return step ? &rounding : &plain; }
