// Rows of x as codes, in a room.
#define CODE int8_t
#include "int4.h"
#include "quantize.h"

static TARGET void quantize(const nat_int4 *w, const float *x, int ldx, int M, int m0, int m1, void *room) {
  const int4_rows to = int4_rows_in(w, M, room);
  for (int m = m0; m < m1; m++)
    quantize_row(&w->input, x + (size_t)m * (size_t)ldx, w->cols, w->group, to.scale + m, to.code + (size_t)m * to.codes, (size_t)w->group,
                 to.codes, to.sum + (size_t)m * to.sums);
}
