// Rounding by signed gradients; see kernel.h, which includes this file.

INLINE float sign_of(float x) { return (float)((x > 0) - (x < 0)); }

INLINE float within(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }

// out [n] += sum of coef[i]·m[which[i]] over count rows of m, [n] each.
static TARGET void add_rows(float *out, const float *m, long n, long count, const int32_t *which, const float *coef) {
  long i = 0;
  for (; i + 4 <= count; i += 4) {
    const float *a = m + which[i] * n, *b = m + which[i + 1] * n, *c = m + which[i + 2] * n, *d = m + which[i + 3] * n;
    const vf fa = fill(coef[i]), fb = fill(coef[i + 1]), fc = fill(coef[i + 2]), fd = fill(coef[i + 3]);
    long j = 0;
    for (; j + W <= n; j += W)
      store(out + j, FMA(fd, load(d + j), FMA(fc, load(c + j), FMA(fb, load(b + j), FMA(fa, load(a + j), load(out + j))))));
    for (; j < n; j++) out[j] += coef[i] * a[j] + coef[i + 1] * b[j] + coef[i + 2] * c[j] + coef[i + 3] * d[j];
  }
  for (; i < count; i++) {
    const float *a = m + which[i] * n;
    const vf fa = fill(coef[i]);
    long j = 0;
    for (; j + W <= n; j += W) store(out + j, FMA(fa, load(a + j), load(out + j)));
    for (; j < n; j++) out[j] += coef[i] * a[j];
  }
}

// A unit's range, the factors of its ends, and the parameters that these make.
typedef struct {
  float lo, hi, flo, fhi;
  lat_unit u;
} round_unit;

INLINE void factored(const lat_round *r, round_unit *p) {
  p->u = by_rule(&r->w, r->w.symmetric ? LAT_ABSMAX_HALF : LAT_MIN_MAX, p->lo * p->flo, p->hi * p->fhi);
}

// The values that a row of the search works on, in the room that lat_round_room counts.
typedef struct {
  float *wh, *ch, *c;  // of all rows: w·H [k], codes·H by unit [units, k], codes less zero points [k]
  float *v, *g;        // offsets [k] in -1/2 … 1/2, and (w - value)·H [k]
  float *minus, *by;   // -scale [units]; the changes of a unit's codes [width]
  int32_t *all, *which; // 0, 1 … k-1; where the changes are [width]
  round_unit *unit;
} round_room;

_Static_assert(sizeof(round_unit) == LAT_ROUND_UNIT * sizeof(float), "lat_round_room counts other sizes");

INLINE round_room room_of(float *room, long k, long n, long rows) {
  const long units = k / n;
  round_room m;
  m.wh = room;
  m.ch = m.wh + rows * k;
  m.c = m.ch + rows * units * k;
  m.v = m.c + rows * k;
  m.g = m.v + k;
  m.minus = m.g + k;
  m.by = m.minus + units;
  m.all = (int32_t *)(m.by + n);
  m.which = m.all + k;
  m.unit = (round_unit *)(m.which + n);
  return m;
}

// The codes of a unit's values x less its zero point in c: how many change, which (as columns, the first being at), by what.
INLINE long recode(const float *x, const float *v, float *c, long n, const lat_unit *u, long at, int32_t *which, float *by) {
  const vf s = fill(u->scale), lo = fill(u->lo), hi = fill(u->hi);
  long count = 0;
  for (long j = 0; j < n;) {
    float q[W], was[W];
    const long m = j + W <= n ? W : n - j;
    if (m == W) {
      const vf old = load(c + j), now = MAX(MIN((load(x + j) / s + load(v + j) + MAGIC) - MAGIC, hi), lo);
      const vi differ = now != old;
      uint64_t any[W / 2], one = 0;
      memcpy(any, &differ, sizeof any);
      for (int i = 0; i < W / 2; i++) one |= any[i];
      if (!one) {
        j += W;
        continue;
      }
      store(q, now);
      store(was, old);
      store(c + j, now);
    } else {
      for (long i = 0; i < m; i++) {
        q[i] = within(nearest_even(x[j + i] / u->scale + v[j + i]), u->lo, u->hi);
        was[i] = c[j + i];
        c[j + i] = q[i];
      }
    }
    for (long i = 0; i < m; i++) {
      which[count] = (int32_t)(at + j + i);
      by[count] = q[i] - was[i];
      count += q[i] != was[i];
    }
    j += m;
  }
  return count;
}

// One step of a unit: offsets v and factors move by step against the signs of their slopes. The error is dᵀ H d with
// d = w - value: its slope in value is -2 g. With the straight-through gradient of rounding, value = s·(w/s + v) has the slope
// s in v and c - w/s in the scale s, or none in v and c in s where the code c is clamped.
INLINE void descend(const lat_round *r, round_unit *p, const float *x, float *v, const float *c, const float *g, long n, float by) {
  const lat_unit u = p->u;
  const vf s = fill(u.scale), step = fill(by), half = fill(0.5f), none = {0};
  vf within_sum = none, above_sum = none, below_sum = none;
  long j = 0;
  for (; j + W <= n; j += W) {
    const vf t = load(x + j) / s, q = (t + load(v + j) + MAGIC) - MAGIC, cj = load(c + j), gj = load(g + j);
    const vi inside = q == cj;
    within_sum += pick(inside, gj * (cj - t), none);
    above_sum += pick(q > cj, gj, none);
    below_sum += pick(q < cj, gj, none);
    const vf move = pick(gj > 0, step, pick(gj < 0, -step, none));
    store(v + j, MAX(MIN(load(v + j) + pick(inside, move, none), half), -half));
  }
  double inside = sum_of(within_sum), above = sum_of(above_sum), below = sum_of(below_sum);
  for (; j < n; j++) {
    const float t = x[j] / u.scale, q = nearest_even(t + v[j]);
    if (q > c[j]) above += g[j];
    if (q < c[j]) below += g[j];
    if (q != c[j]) continue;
    inside += g[j] * (c[j] - t);
    v[j] = within(v[j] + by * sign_of(g[j]), -0.5f, 0.5f);
  }
  // The slope in the scale, the zero point being what it is; then what the factors are to do.
  double slope = inside + above * u.hi + below * u.lo;
  float lo = 0, hi = 0;
  if (r->w.symmetric) { // the larger end makes the scale
    const float low = -p->lo * p->flo, high = p->hi * p->fhi;
    if (high >= low) hi = sign_of((float)slope);
    if (low >= high) lo = sign_of((float)slope);
  } else { // the zero point -lo/s moves with both, a clamped value by its step's size
    slope -= (above + below) * (p->lo * p->flo) / u.scale;
    hi = sign_of((float)slope);
    lo = sign_of((float)(slope / (r->w.qmax - r->w.qmin) - (above + below)));
  }
  p->fhi = within(p->fhi + by * hi, 1 - r->most, 1 + r->most);
  p->flo = within(p->flo + by * lo, 1 - r->most, 1 + r->most);
  factored(r, p);
}

// dᵀ g of a unit: its share of the row's error.
INLINE double share_of(const float *x, const float *c, const float *g, long n, float scale) {
  const vf s = fill(scale);
  vf sums = {0};
  long j = 0;
  for (; j + W <= n; j += W) sums += (load(x + j) - load(c + j) * s) * load(g + j);
  double sum = sum_of(sums);
  for (; j < n; j++) sum += (x[j] - c[j] * scale) * g[j];
  return sum;
}

// The whole search of one row, whose codes less zero points c and products with H, wh and ch, are those of offsets 0.
static TARGET void round_row(const lat_round *r, long row, const round_room *m, const float *wh, float *ch, float *c) {
  const long k = r->w.k, n = r->w.width, units = k / n;
  const float *x = r->w.w + row * k;
  memset(m->v, 0, sizeof(float) * k);
  for (long i = 0; i < units; i++) {
    m->unit[i].flo = m->unit[i].fhi = 1;
    span_of(x + i * n, n, &m->unit[i].lo, &m->unit[i].hi);
    factored(r, &m->unit[i]);
  }
  double least = 0;
  for (long step = 0;; step++) {
    for (long i = 0; i < units; i++) m->minus[i] = -m->unit[i].u.scale;
    memcpy(m->g, wh, sizeof(float) * k);
    add_rows(m->g, ch, k, units, m->all, m->minus);
    double error = 0;
    for (long i = 0; i < units; i++) error += share_of(x + i * n, c + i * n, m->g + i * n, n, m->unit[i].u.scale);
    if (step == 0 || error < least) {
      least = error;
      for (long i = 0; i < units; i++) {
        const lat_unit u = m->unit[i].u;
        r->scale[row * units + i] = u.scale;
        if (r->zero) r->zero[row * units + i] = u.zero;
        for (long j = i * n; j < (i + 1) * n; j++) r->codes[row * k + j] = (uint8_t)(c[j] - u.lo);
      }
    }
    if (step == r->steps) return;
    const float by = (float)(r->rate * (1 - (double)step / (double)r->steps));
    for (long i = 0; i < units; i++) {
      round_unit *p = m->unit + i;
      const long at = i * n;
      descend(r, p, x + at, m->v + at, c + at, m->g + at, n, by);
      const long count = recode(x + at, m->v + at, c + at, n, &p->u, at, m->which, m->by);
      add_rows(ch + i * k, r->h, k, count, m->which, m->by);
    }
  }
}

static TARGET void round_rows(const lat_round *r, long from, long to, float *room) {
  const long k = r->w.k, n = r->w.width, units = k / n, rows = to - from;
  const round_room m = room_of(room, k, n, rows);
  memset(room, 0, sizeof(float) * rows * k * (units + 2));
  memset(m.v, 0, sizeof(float) * k);
  for (long j = 0; j < k; j++) m.all[j] = (int32_t)j;
  for (long i = 0; i < rows * units; i++) {
    const float *x = r->w.w + from * k + i * n;
    round_unit p = {.flo = 1, .fhi = 1};
    span_of(x, n, &p.lo, &p.hi);
    factored(r, &p);
    recode(x, m.v, m.c + i * n, n, &p.u, 0, m.which, m.by);
  }
  // Only here all of H takes part. Four of its rows are read once for all rows.
  for (long at = 0; at < k; at += n) {
    for (long j = at; j < at + n; j += 4) {
      const long count = at + n - j < 4 ? at + n - j : 4;
      for (long i = 0; i < rows; i++) {
        add_rows(m.wh + i * k, r->h, k, count, m.all + j, r->w.w + (from + i) * k + j);
        add_rows(m.ch + (i * units + at / n) * k, r->h, k, count, m.all + j, m.c + i * k + j);
      }
    }
  }
  for (long i = 0; i < rows; i++) round_row(r, from + i, &m, m.wh + i * k, m.ch + i * units * k, m.c + i * k);
}
