// GPTQ within one block of columns; see kernel.h, which includes this file.

// Rows in a tile, so many lanes that the chain of one column's operations does not wait.
#define TILE (2 * W)

// n ≤ TILE rows from r on: t [b, TILE] are their weights, column by column.
INLINE void tile(const lat_gptq *g, long r, long n, float *t, float *e) {
  for (long i = 0; i < n; i++) {
    const float *x = g->w + (r + i) * g->k + g->at;
    for (long j = 0; j < g->b; j++) t[j * TILE + i] = x[j];
    if (g->earlier)
      for (long j = 0; j < g->b; j++) t[j * TILE + i] -= g->earlier[(r + i) * g->b + j];
  }
  for (long j = 0; j < g->b; j++) {
    const float *u = g->u + j * g->ldu;
    float scale[TILE], lo[TILE], hi[TILE];
    for (long i = 0; i < TILE; i++) {
      const long p = (r + (i < n ? i : 0)) * g->units + g->unit[j];
      const int32_t z = g->zero ? g->zero[p] : 0;
      scale[i] = g->scale[p], lo[i] = (float)(g->qmin - z), hi[i] = (float)(g->qmax - z);
    }
    const vf diagonal = fill(u[j]);
    vf err[2];
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
      const vf v = load(t + j * TILE + half * W), s = load(scale + half * W), low = load(lo + half * W);
      const vf q = steps_of(v, s, low, load(hi + half * W));
      err[half] = (v - q * s) / diagonal;
      store(e + half * W, err[half]);
      store(scale + half * W, q - low);
    }
    for (long i = 0; i < n; i++) {
      g->codes[(r + i) * g->k + g->at + j] = (uint8_t)scale[i];
      g->err[(r + i) * g->k + g->at + j] = e[i];
    }
    for (long c = j + 1; c < g->b; c++) {
      const vf f = fill(u[c]);
      float *to = t + c * TILE;
      store(to, load(to) - err[0] * f);
      store(to + W, load(to + W) - err[1] * f);
    }
  }
}

static TARGET void gptq(const lat_gptq *g, long from, long to) {
  float *room = calloc(g->b * TILE + TILE, sizeof(float));
  for (long r = from; r < to; r += TILE) tile(g, r, to - r < TILE ? to - r : TILE, room, room + g->b * TILE);
  free(room);
}
