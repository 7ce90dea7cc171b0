// A packed weight as a matrix of internal/native: data is a nat_int4 whose kernels are set; the bias is the matrix's.
#include "format.h"

static const nat_int4 *of(const nat_matrix *w) { return w->data; }

static size_t room(const nat_matrix *w, int M) { return of(w)->input.mode == NAT_INPUT_FLOAT ? 0 : int4_room(of(w), M); }

static void prepare(const nat_matrix *w, const float *x, int ldx, int M, int m0, int m1, void *room) {
  of(w)->kernels->quantize(of(w), x, ldx, M, m0, m1, room);
}

static void product(const nat_matrix *w, int r0, int r1, const float *x, int ldx, const void *room, int M, float *y, int ldy, int add) {
  nat_int4 with = *of(w);
  with.bias = w->bias;
  int4_product(with.kernels, &with, r0, r1, x, ldx, room, M, y, ldy, add);
}

// What is prepared depends on all that is compared here; sums of codes belong to a group.
static int shares(const nat_matrix *a, const nat_matrix *b) {
  const nat_int4 *v = of(a), *w = of(b);
  return v->cols == w->cols && v->group == w->group && nat_activation_equal(&v->input, &w->input);
}

static void row(const nat_matrix *w, int r, float *out) { int4_dequantize(of(w), r, r + 1, out); }

const nat_format int4_format = {"int4", INT4_STRIP, room, prepare, product, shares, row};
