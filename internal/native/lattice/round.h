// A step of rounding by signed gradients; see kernel.h, which includes this file.

INLINE float sign_of(float x) { return (float)((x > 0) - (x < 0)); }

INLINE float within(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }

// The unit's parameters: its range, each end times its factor.
INLINE lat_unit factored(const lat_round *r, long i, float lo, float hi) {
  return by_rule(&r->w, r->w.symmetric ? LAT_ABSMAX_HALF : LAT_MIN_MAX, lo * r->lo[i], hi * r->hi[i]);
}

static TARGET void round_step(const lat_round *r, long from, long to) {
  const long n = r->w.width;
  for (long i = from; i < to; i++) {
    const float *x = r->w.w + i * n;
    float *v = r->v + i * n, *d = r->d + i * n;
    float lo, hi;
    span_of(x, n, &lo, &hi);
    if (r->g) {
      // The error is dᵀ H d with d = w - value: its slope in value is -2 g. value = s·clamp(round(w/s + v)) with the
      // straight-through gradients s inside for v, and the code less w/s (outside: the code) for s.
      const float *g = r->g + i * n;
      const lat_unit u = factored(r, i, lo, hi);
      const vf s = fill(u.scale), ulo = fill(u.lo), uhi = fill(u.hi), step = fill(r->step), half = fill(0.5f);
      double slope = 0;
      long j = 0;
      vf sums = {0};
      for (; j + W <= n; j += W) {
        const vf t = load(x + j) / s, a = t + load(v + j), q = (a + MAGIC) - MAGIC, c = MAX(MIN(q, uhi), ulo), gj = load(g + j);
        const vi inside = q == c;
        sums += gj * (c - pick(inside, t, (vf){0}));
        const vf move = pick(gj > 0, step, pick(gj < 0, -step, (vf){0}));
        store(v + j, MAX(MIN(load(v + j) + pick(inside, move, (vf){0}), half), -half));
      }
      slope = sum_of(sums);
      for (; j < n; j++) {
        const float t = x[j] / u.scale, q = nearest_even(t + v[j]), c = within(q, u.lo, u.hi);
        slope += g[j] * (c - (q == c ? t : 0));
        if (q == c) v[j] = within(v[j] + r->step * sign_of(g[j]), -0.5f, 0.5f);
      }
      // The scale grows with the end that makes it, in an asymmetric scheme with both.
      const float grow = r->step * sign_of((float)slope), least = 1 - r->most, most = 1 + r->most;
      if (!r->w.symmetric || hi >= -lo) r->hi[i] = within(r->hi[i] + grow, least, most);
      if (!r->w.symmetric || hi < -lo) r->lo[i] = within(r->lo[i] + grow, least, most);
    }
    const lat_unit u = factored(r, i, lo, hi);
    r->scale[i] = u.scale;
    if (r->zero) r->zero[i] = u.zero;
    const vf s = fill(u.scale), ulo = fill(u.lo), uhi = fill(u.hi);
    long j = 0;
    for (; j + W <= n; j += W) {
      const vf q = MAX(MIN((load(x + j) / s + load(v + j) + MAGIC) - MAGIC, uhi), ulo);
      store(d + j, load(x + j) - q * s);
      vb b = __builtin_convertvector(__builtin_convertvector(q - ulo, vi), vb);
      memcpy(r->codes + i * n + j, &b, sizeof b);
    }
    for (; j < n; j++) {
      const float q = within(nearest_even(x[j] / u.scale + v[j]), u.lo, u.hi);
      d[j] = x[j] - q * u.scale;
      r->codes[i * n + j] = (uint8_t)(q - u.lo);
    }
  }
}
