// The search; see kernel.h, which includes this file.

// What is tried on one unit.
typedef struct {
  float *inverse, *scale, *lo, *hi; // candidates, in the order of preference
  int32_t *zero;
  float *error;
  int n;
} lat_trials;

INLINE void propose(lat_trials *t, const lat_weight *w, float scale, int32_t zero) {
  t->inverse[t->n] = 1 / scale;
  t->scale[t->n] = scale;
  t->lo[t->n] = (float)(w->qmin - zero);
  t->hi[t->n] = (float)(w->qmax - zero);
  t->zero[t->n++] = zero;
}

// Σ h (w - value)² in float32, for the C candidates from c on. Products with 1/scale round other than quotients, but only
// where two codes are about equally far away.
INLINE void errors_of(const lat_search *s, const float *x, const float *h, long n, lat_trials *t, int c, int C) {
  const long span = n < s->w.k ? n : s->w.k;
  vf sum[4] = {{0}}, inverse[4], lo[4], hi[4];
  float tail[4] = {0};
#pragma GCC unroll 4
  for (int j = 0; j < C; j++) inverse[j] = fill(t->inverse[c + j]), lo[j] = fill(t->lo[c + j]), hi[j] = fill(t->hi[c + j]);
  for (long at = 0; at < n; at += span) {
    long i = 0;
    for (; i + W <= span; i += W) {
      const vf v = load(x + at + i), hv = load(h + i);
#pragma GCC unroll 4
      for (int j = 0; j < C; j++) {
        const vf q = v * inverse[j], d = q - ((MAX(MIN(q, hi[j]), lo[j]) + MAGIC) - MAGIC);
        sum[j] = FMA(hv * d, d, sum[j]);
      }
    }
    for (; i < span; i++)
      for (int j = 0; j < C; j++) {
        const float q = x[at + i] * t->inverse[c + j];
        float r = q > t->hi[c + j] ? t->hi[c + j] : q;
        r = r < t->lo[c + j] ? t->lo[c + j] : r;
        const float d = q - nearest_even(r);
        tail[j] += h[i] * d * d;
      }
  }
  for (int j = 0; j < C; j++) t->error[c + j] = (sum_of(sum[j]) + tail[j]) * t->scale[c + j] * t->scale[c + j];
}

// dᵀ B d of candidate c, B [n, n].
INLINE float form_of(const float *x, const float *B, long n, const lat_trials *t, int c, float *d) {
  lat_unit u = {t->scale[c], t->lo[c], t->hi[c], 0};
  for (long i = 0; i < n; i++) d[i] = x[i] - step_of(x[i], &u) * u.scale;
  double sum = 0;
  for (long i = 0; i < n; i++) {
    const float *row = B + i * n;
    vf v = {0};
    float tail = 0;
    long j = 0;
    for (; j + W <= n; j += W) v = FMA(load(row + j), load(d + j), v);
    for (; j < n; j++) tail += row[j] * d[j];
    sum += (double)d[i] * (sum_of(v) + tail);
  }
  return (float)sum;
}

// The error by the letter: float32 values as package quant has them, sums in float64, in order.
INLINE double exact_error(const float *x, const double *h, long n, long span, const lat_trials *t, int c, double least) {
  lat_unit u = {t->scale[c], t->lo[c], t->hi[c], 0};
  double e = 0;
  for (long at = 0; at < n; at += span)
    for (long i = 0; i < span; i++) {
      const double d = x[at + i] - step_of(x[at + i], &u) * u.scale;
      e += h[i] * (d * d);
      if ((i & 15) == 15 && e >= least) return e;
    }
  return e;
}

// A lower bound of the error at a scale: what the two extreme weights alone lose.
INLINE double clipping(const lat_weight *w, double lo, double hi, double hlo, double hhi, double scale) {
  if (w->symmetric) {
    double p = hi - scale * w->qmax, n = -lo + scale * w->qmin;
    p = p > 0 ? p : 0;
    n = n > 0 ? n : 0;
    return hhi * p * p + hlo * n * n;
  }
  // The zero point splits the excess e into x and e-x; h x² + g (e-x)² is least at e² h g / (h + g).
  double e = hi - lo - scale * w->qmax;
  if (e <= 0 || hlo + hhi <= 0) return 0;
  return e * e * hhi * hlo / (hlo + hhi);
}

// The candidates that the search has measured so far, four at a time. Those of the same unit that clip more than the best
// loses altogether are not worth it; least is that best.
INLINE void measure(const lat_search *s, const float *x, const float *h32, long unit, lat_trials *t, int from, float *d, float *least) {
  const long n = s->w.width;
  if (s->blocks) {
    const float *B = s->blocks + unit % (s->w.k / n) * n * n;
    for (int c = from; c < t->n; c++) t->error[c] = form_of(x, B, n, t, c, d);
  } else {
    int c = from;
    for (; c + 4 <= t->n; c += 4) errors_of(s, x, h32, n, t, c, 4);
    for (; c < t->n; c++) errors_of(s, x, h32, n, t, c, 1);
  }
  for (int c = from; c < t->n; c++)
    if (t->error[c] < *least) *least = t->error[c];
}

INLINE int choose(const lat_search *s, const float *x, const double *h, const float *h32, const lat_trials *t, float top) {
  const long n = s->w.width, span = n < s->w.k ? n : s->w.k;
  int best = -1, rivals = 0;
  float least = INFINITY, floor = 0;
  for (int c = 0; c < t->n; c++)
    if (t->error[c] < least) least = t->error[c], best = c;
  if (s->blocks) return best < 0 ? 0 : best;
  for (long i = 0; i < span; i++) floor += h32[i];
  // What float32 may be off by: a share of the error, and the rounding of quotients of up to qmax - qmin.
  floor *= (float)(n / span) * top * top * 1e-11f * (s->w.qmax > 100 ? 256 : 1);
  const float bound = least * 1.0001f + floor;
  if (!(least > 1e-30f && bound < 1e30f)) rivals = t->n;
  for (int c = 0; c < t->n && rivals < 2; c++) rivals += t->error[c] <= bound;
  if (rivals < 2) return best;
  double smallest = INFINITY;
  best = 0;
  for (int c = 0; c < t->n; c++) {
    if (rivals < t->n && !(t->error[c] <= bound)) continue;
    const double e = exact_error(x, h, n, span, t, c, smallest);
    if (e < smallest) smallest = e, best = c;
  }
  return best;
}

INLINE void one(const lat_search *s, long i, lat_trials *t, float *d, float *scale, int32_t *zero) {
  const lat_weight *w = &s->w;
  const float *x = w->w + i * w->width;
  const long offset = i * w->width % w->k, span = w->width < w->k ? w->width : w->k;
  const float *h32 = s->h32 + offset;
  const double *h = s->h + offset;
  float lo, hi, hlo = 0, hhi = 0, least = INFINITY, last = 0;
  span_of(x, w->width, &lo, &hi);
  for (long j = 0; j < w->width; j++) {
    if (x[j] == lo && hlo == 0) hlo = h32[j % span];
    if (x[j] == hi && hhi == 0) hhi = h32[j % span];
  }
  t->n = 0;
  if (w->symmetric) {
    for (int r = LAT_SIGNED_MAX; r >= LAT_ABSMAX; r--) propose(t, w, by_rule(w, r == 0 ? 0 : r, lo, hi).scale, 0);
  } else {
    lat_unit u = by_rule(w, LAT_MIN_MAX, lo, hi);
    propose(t, w, u.scale, u.zero);
  }
  float top = t->scale[0];
  const double full = w->symmetric ? (double)(-lo > hi ? -lo : hi) / w->qmax : ((double)hi - lo) / w->qmax;
  int done = 0;
  for (int g = 0; g < s->points; g++) {
    const double f = s->grid_max + (s->grid_min - s->grid_max) * g / (s->points - 1);
    const float c = on_grid((float)(f * full));
    if (c == last) continue; // neighbors that round to one point of the scale grid
    last = c;
    if (c > top) top = c;
    if (t->n - done >= 8) {
      measure(s, x, h32, i, t, done, d, &least);
      done = t->n;
    }
    if (!s->blocks && clipping(w, lo, hi, hlo, hhi, c) >= least * 1.001) break; // smaller scales clip more
    if (w->symmetric) {
      propose(t, w, c, 0);
      continue;
    }
    // The zero points that a clipped range leaves open: from all clipping at the high end to all at the low end.
    const int32_t a = limit(rintf(-lo / c), w->qmin, w->qmax), b = limit((float)w->qmax - rintf(hi / c), w->qmin, w->qmax);
    int32_t previous = -1;
    for (int j = 0; j < 5; j++) {
      const int32_t z = a + (b - a) * j / 4;
      if (z != previous) propose(t, w, c, z);
      previous = z;
    }
  }
  measure(s, x, h32, i, t, done, d, &least);
  const int best = choose(s, x, h, h32, t, top);
  scale[i] = t->scale[best];
  if (zero) zero[i] = t->zero[best];
}

static TARGET void search(const lat_search *s, long from, long to, float *scale, int32_t *zero) {
  const size_t most = 5 * (size_t)s->points + 4;
  float *room = malloc(sizeof(float) * (6 * most + s->w.width));
  lat_trials t = {room, room + most, room + 2 * most, room + 3 * most, (int32_t *)(room + 4 * most), room + 5 * most, 0};
  for (long i = from; i < to; i++) one(s, i, &t, room + 6 * most, scale, zero);
  free(room);
}
