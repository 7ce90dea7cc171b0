#include "int4.h"

void int4_apply(const int4_kernels *k, const nat_int4 *w, const float *x, int M, void *room, float *y) {
  if (w->activation == INT4_A16) {
    k->a16(w, 0, w->rows, x, w->cols, M, y, w->rows, 0);
    return;
  }
  k->quantize(w, x, w->cols, M, 0, M, room);
  k->a8(w, 0, w->rows, room, M, y, w->rows, 0);
}
