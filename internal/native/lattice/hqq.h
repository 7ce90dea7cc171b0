// Half-quadratic quantization; see kernel.h, which includes this file.

// Σ |w - value|^p of one unit, where the shrunken error e is also made, unless it is NULL.
INLINE double loss_of(const lat_hqq *q, const float *x, const lat_unit *u, double beta, float *e) {
  double loss = 0;
  for (long i = 0; i < q->w.width; i++) {
    const float d = x[i] - step_of(x[i], u) * u->scale, a = fabsf(d);
    const float power = a > 0 ? powf(a, (float)q->p) : 0;
    loss += power;
    if (!e) continue;
    const float kept = a > 0 ? a - power / a / (float)beta : 0; // the proximal step of |e|^p
    e[i] = kept > 0 ? copysignf(kept, d) : 0;
  }
  return loss;
}

// The alternation from one start: the error e given the parameters, then the parameters of least squares given e.
INLINE void alternate(const lat_hqq *q, const float *x, double beta, lat_unit u, float *e, lat_unit *best, double *least) {
  const long n = q->w.width;
  for (int round = 0; round <= q->rounds; round++) {
    const double loss = loss_of(q, x, &u, beta, e);
    if (loss < *least) *least = loss, *best = u;
    if (round == q->rounds) break;
    double qq = 0, qt = 0, shift = 0;
    for (long j = 0; j < n; j++) {
      const double step = step_of(x[j], &u), target = x[j] - e[j];
      qq += step * step, qt += step * target;
      shift += step + u.zero - target / u.scale;
    }
    const float s = qq > 0 && qt > 0 ? on_grid((float)(qt / qq)) : u.scale;
    const int32_t z = limit(rintf((float)(shift / n)), q->w.qmin, q->w.qmax);
    if (s == u.scale && z == u.zero) break;
    u = unit_of(&q->w, s, z);
    beta *= q->growth;
  }
}

static TARGET void hqq(const lat_hqq *q, long from, long to, float *scale, int32_t *zero) {
  const long n = q->w.width;
  float *e = malloc(sizeof(float) * n);
  for (long i = from; i < to; i++) {
    const float *x = q->w.w + i * n;
    float lo, hi;
    span_of(x, n, &lo, &hi);
    // Weights are of any size, the parameters of the method are for those of one.
    const double size = -lo > hi ? -lo : hi, beta = q->beta / (size > 0 ? pow(size, 2 - q->p) : 1);
    lat_unit best = by_rule(&q->w, LAT_MIN_MAX, lo, hi);
    double least = INFINITY;
    for (int start = 0; start < q->starts && size > 0; start++) {
      const float f = (float)(1 - (1 - q->least) * start / (q->starts > 1 ? q->starts - 1 : 1));
      alternate(q, x, beta, by_rule(&q->w, LAT_MIN_MAX, lo * f, hi * f), e, &best, &least);
    }
    scale[i] = best.scale;
    zero[i] = best.zero;
  }
  free(e);
}
