// Half-quadratic quantization; see kernel.h, which includes this file.

// a^p for a ≥ 0, within 1e-5: 2^(p·log2 a), with log2 of the mantissa m as a series in (m-1)/(m+1), and a polynomial for
// the fraction of the exponent. 0 stays about 0.
INLINE vf power_of(vf a, float p) {
  a = MAX(a, fill(0x1p-100f));
  vi bits = (vi)a, e = ((bits - 0x3f3504f3) >> 23); // the mantissa within 0.707 … 1.414
  const vf m = (vf)(bits - (e << 23)), t = (m - 1) / (m + 1), t2 = t * t;
  const vf log2 = __builtin_convertvector(e, vf) +
                  t * (2.885390082f + t2 * (0.961796694f + t2 * (0.577078016f + t2 * (0.412198583f + t2 * 0.3205989f))));
  const vf x = MAX(log2 * p, fill(-120)), whole = (x + MAGIC) - MAGIC, f = (x - whole) * 0.693147181f;
  const vf y = 1 + f * (1 + f * (0.5f + f * (0.166666667f + f * (0.0416666667f + f * 0.00833333333f))));
  return (vf)((vi)y + (__builtin_convertvector(whole, vi) << 23));
}

typedef struct {
  double norm, squares; // Σ h |w - value|^p, Σ h (w - value)²
} lat_loss;

// What one unit loses, and the shrunken errors e. The weights h of a term do not matter for the latter.
INLINE lat_loss loss_of(const lat_hqq *q, const float *x, const float *h, const lat_unit *u, double beta, float *e) {
  const long n = q->w.width;
  const vf scale = fill(u->scale), lo = fill(u->lo), hi = fill(u->hi);
  const float inverse = (float)(1 / beta), p = (float)q->p;
  vf norm = {0}, squares = {0};
  for (long i = 0; i < n; i += W) {
    float rest[W] = {0}; // zeros lose nothing
    const float *from = x + i;
    if (i + W > n) from = memcpy(rest, from, sizeof(float) * (n - i));
    const vf v = load(from), d = v - steps_of(v, scale, lo, hi) * scale, a = MAX(d, -d);
    const vf power = pick(a > 0, power_of(a, p), (vf){0});
    const vf weight = load(h + i);
    norm += weight * power;
    squares += weight * d * d;
    const vf kept = MAX(a - pick(a > 0, power / a, (vf){0}) * inverse, (vf){0}); // the proximal step of |e|^p
    store(e + i, pick(d < 0, -kept, kept));
  }
  return (lat_loss){sum_of(norm), sum_of(squares)};
}

// The alternation from one start: the error e given the parameters, then the parameters of least squares given e.
// Neither measure may be above that of the whole range; their product, each as a length, decides.
INLINE void alternate(const lat_hqq *q, const float *x, const float *h, double beta, lat_unit u, float *e, lat_loss most, lat_unit *best, double *least) {
  const long n = q->w.width;
  for (int round = 0; round <= q->rounds; round++) {
    const lat_loss loss = loss_of(q, x, h, &u, beta, e);
    const double score = pow(loss.norm, 2 / q->p) * loss.squares;
    if (loss.squares <= most.squares && loss.norm <= most.norm && score < *least) *least = score, *best = u;
    if (round == q->rounds) break;
    double qq = 0, qt = 0, shift = 0, sum = 0;
    for (long j = 0; j < n; j++) {
      const double step = step_of(x[j], &u), target = x[j] - e[j];
      qq += h[j] * step * step, qt += h[j] * step * target;
      shift += h[j] * (step + u.zero - target / u.scale), sum += h[j];
    }
    const float s = qq > 0 && qt > 0 ? on_grid((float)(qt / qq)) : u.scale;
    const int32_t z = limit(rintf((float)(shift / sum)), q->w.qmin, q->w.qmax);
    if (s == u.scale && z == u.zero) break;
    u = unit_of(&q->w, s, z);
    beta *= q->growth;
  }
}

static TARGET void hqq(const lat_hqq *q, long from, long to, float *scale, int32_t *zero) {
  const long n = q->w.width;
  float *e = malloc(sizeof(float) * (n + W));
  for (long i = from; i < to; i++) {
    const float *x = q->w.w + i * n, *h = q->h + (n < q->w.k ? i * n % q->w.k : 0);
    float lo, hi;
    span_of(x, n, &lo, &hi);
    // Weights are of any size, the parameters of the method are for those of one.
    const double size = -lo > hi ? -lo : hi, beta = q->beta / (size > 0 ? pow(size, 2 - q->p) : 1);
    lat_unit best = by_rule(&q->w, LAT_MIN_MAX, lo, hi);
    const lat_loss whole = loss_of(q, x, h, &best, beta, e);
    double least = pow(whole.norm, 2 / q->p) * whole.squares;
    for (int start = 0; start < q->starts && size > 0; start++) {
      const float f = (float)(1 - (1 - q->least) * start / (q->starts > 1 ? q->starts - 1 : 1));
      alternate(q, x, h, beta, by_rule(&q->w, LAT_MIN_MAX, lo * f, hi * f), e, whole, &best, &least);
    }
    scale[i] = best.scale;
    zero[i] = best.zero;
  }
  free(e);
}
