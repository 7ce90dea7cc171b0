#include "int4.h"

void int4_product(const int4_kernels *k, const nat_int4 *w, int r0, int r1, const float *x, int ldx, const void *room, int M,
                  float *y, int ldy, int add) {
  const int many = M > INT4_FEW;
  if (w->input.mode == NAT_INPUT_FLOAT)
    (many && k->a16_many ? k->a16_many : k->a16)(w, r0, r1, x, ldx, M, y, ldy, add);
  else
    (many && k->a8_many ? k->a8_many : k->a8)(w, r0, r1, room, M, y, ldy, add);
}

void int4_apply(const int4_kernels *k, const nat_int4 *w, const float *x, int M, void *room, float *y) {
  if (w->input.mode != NAT_INPUT_FLOAT) k->quantize(w, x, w->cols, M, 0, M, room);
  int4_product(k, w, 0, w->rows, x, w->cols, room, M, y, w->rows, 0);
}
