// Products with many rows of x: prompts and batches. A panel of weights is unpacked once and meets all rows of x while it
// lies in the first cache; as many rows of x at once as half of a second cache holds. Before this is included, a set defines
//   PANEL      the most strips of a panel, COLS the most columns, a multiple of 128
//   panel      its type
//   unpack     fills it with strips s … s+n of groups g0 … g1
//   multiply   total[m][16·PANEL] += panel · rows of x, for M rows
#include "half.h"
#include "many.h"
#include "vectors.h"

enum {
  MANY_ROWS = 128,        // rows of x at once, and
  MANY_BYTES = 256 << 10, // the most bytes of their codes
};

// Rows of x that go together.
INLINE int many_rows(size_t bytes) {
  int n = (int)(MANY_BYTES / bytes) / 16 * 16;
  return n < 16 ? 16 : n > MANY_ROWS ? MANY_ROWS : n;
}

// y (+)= scale·total (+ bias), of the rows of w that there are. The scaled values are rounded: in a loop of their own, so
// that nothing is fused with them.
INLINE void many_finish(const nat_int4 *w, int r, int n, float *total, float scale, float *y, int add) {
  const vf s = scale - (vf){0};
  for (int i = 0; i < PANEL * INT4_STRIP; i += W) {
    const vf v = loadf(total + i) * s;
    memcpy(total + i, &v, sizeof v);
  }
  int i = 0;
  for (; i + W <= n; i += W) {
    vf v = loadf(total + i);
    if (w->bias) v += loadf(w->bias + r + i);
    if (add) v += loadf(y + r + i);
    memcpy(y + r + i, &v, sizeof v);
  }
  for (; i < n; i++) {
    const float v = w->bias ? total[i] + w->bias[r + i] : total[i];
    y[r + i] = add ? y[r + i] + v : v;
  }
}

static TARGET void many_a8(const nat_int4 *w, int r0, int r1, const void *room, int M, float *y, int ldy, int add) {
  const int4_rows all = int4_rows_in(w, M, (void *)(uintptr_t)room);
  const int groups = int4_groups(w), per = COLS / w->group, most = many_rows(all.codes);
  _Alignas(64) panel p;
  _Alignas(64) float total[MANY_ROWS * PANEL * INT4_STRIP];
  for (int m = 0; m < M; m += most) {
    const int n = M - m < most ? M - m : most;
    int4_rows x = all;
    x.scale += m, x.code += (size_t)m * x.codes, x.sum += (size_t)m * x.sums;
    for (int r = r0; r < r1; r += PANEL * INT4_STRIP) {
      const int rows = r1 - r < PANEL * INT4_STRIP ? r1 - r : PANEL * INT4_STRIP;
      const int strips = (rows + INT4_STRIP - 1) / INT4_STRIP;
      memset(total, 0, (size_t)n * PANEL * INT4_STRIP * sizeof *total);
      for (int g = 0; g < groups; g += per) {
        const int end = g + per < groups ? g + per : groups;
        unpack(w, r / INT4_STRIP, strips, g, end, &p);
        multiply(w, &p, strips, g, end, &x, n, total);
      }
      for (int i = 0; i < n; i++)
        many_finish(w, r, rows, total + i * PANEL * INT4_STRIP, x.scale[i], y + (size_t)(m + i) * (size_t)ldy, add);
    }
  }
}
