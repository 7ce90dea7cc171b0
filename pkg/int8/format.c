// A packed weight as a matrix of internal/native: data is a nat_int8 whose kernels are set.
#include "format.h"

static const nat_int8 *of(const nat_matrix *w) { return w->data; }

static size_t room(const nat_matrix *w, int M) { return of(w)->input.mode == NAT_INPUT_FLOAT ? 0 : int8_room(of(w), M); }

static void prepare(const nat_matrix *w, const float *x, int ldx, int M, int m0, int m1, void *room) {
  of(w)->kernels->quantize(of(w), x, ldx, M, m0, m1, room);
}

static void product(const nat_matrix *w, int r0, int r1, const float *x, int ldx, const void *room, int M, float *y, int ldy, int add) {
  const nat_int8 *d = of(w);
  if (d->input.mode == NAT_INPUT_FLOAT)
    d->kernels->floating(d, r0, r1, x, ldx, M, w->bias, y, ldy, add);
  else
    d->kernels->integer(d, r0, r1, room, M, w->bias, y, ldy, add);
}

// Codes lie alike where groups need no padding, or the same.
static int shares(const nat_matrix *a, const nat_matrix *b) {
  const nat_int8 *v = of(a), *w = of(b);
  return v->cols == w->cols && (v->group == w->group || (v->group % 2 == 0 && w->group % 2 == 0)) && nat_activation_equal(&v->input, &w->input);
}

static void row(const nat_matrix *w, int r, float *out) { int8_dequantize(of(w), r, r + 1, out); }

const nat_format int8_format = {"int8", INT8_STRIP, room, prepare, product, shares, row};
