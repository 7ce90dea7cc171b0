// The loops of quantpass.hpp. It includes this once for each vector unit, each time in a namespace of its own.

static void values(float *__restrict y, const float *__restrict x, int64_t n, Grid d) {
  for (int64_t i = 0; i < n; i++) {
    float q = ROUND(x[i] / d.scale) + d.zero;
    float c = CLAMP(q, d.lo, d.hi);
    y[i] = ((c - d.zero) + 0.0f) * d.post;  // + 0 makes -0 a +0, as a stored code has no sign of zero
  }
}

template <class V>
struct Slope {
  V in, scale, zero, pre, value;
};

// One step of slopes; V is a number or Lanes.
template <bool dual, class V>
static inline Slope<V> slope(const V &g, const V &x, const Grid &d, float ratio) {
  const V none = {};
  V e = x / d.scale, q = ROUND(e) + d.zero;
  V lo = none + d.lo, hi = none + d.hi, c = q < lo ? lo : q > hi ? hi : q, steps = c - d.zero;
  V in = q == c ? g : none;
  Slope<V> r;
  r.scale = g * (!dual ? (q == c ? steps - e : steps) : steps);
  r.zero = g - in;
  r.pre = in * (e * ratio);
  r.in = dual ? in * ratio : in;
  r.value = (steps + 0.0f) * d.post;
  return r;
}

// The sum in float64, exact unless magnitudes differ by 2^28.
static inline double total(const Lanes &v) {
  typedef float Half __attribute__((vector_size(16), aligned(4), may_alias));
  typedef double Pair __attribute__((vector_size(32)));
  const Half *half = (const Half *)&v;
  Pair p = __builtin_convertvector(half[0], Pair) + __builtin_convertvector(half[1], Pair);
  return (p[0] + p[2]) + (p[1] + p[3]);
}

template <bool dual>
static void slopes(float *gx, float *y, const float *g, const float *x, int64_t n, Grid d, Slopes *sums) {
  const float ratio = d.post / d.scale;
  double ss = 0, sz = 0, sp = 0;
  for (int64_t from = 0; from < n; from += 4096) {
    int64_t to = std::min(n, from + 4096), i = from;
    Lanes ds = {}, dz = {}, dp = {};
    for (; i + 8 <= to; i += 8) {
      Lanes gi = *(const Memory *)(g + i), xi = *(const Memory *)(x + i);
      Slope<Lanes> r = slope<dual, Lanes>(gi, xi, d, ratio);
      *(Memory *)(gx + i) = r.in;
      if (y) *(Memory *)(y + i) = r.value;
      ds += r.scale, dz += r.zero;
      if (dual) dp += r.pre;
    }
    for (; i < to; i++) {
      Slope<float> r = slope<dual, float>(g[i], x[i], d, ratio);
      gx[i] = r.in;
      if (y) y[i] = r.value;
      ds[0] += r.scale, dz[0] += r.zero;
      if (dual) dp[0] += r.pre;
    }
    ss += total(ds), sz -= total(dz) * d.post;
    if (dual) sp -= total(dp);
  }
  *sums = {ss, sz, sp};
}

// Tokens. The codes of a token with NaN mean nothing; its scale is NaN, and with it all that is made of them.
static float largest(const float *x, int64_t n) {
  Lanes top = {}, nan = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    Lanes v = *(const Memory *)(x + i), a = v < 0.0f ? -v : v;
    top = a > top ? a : top;
    nan += a - a;  // 0, or NaN for NaN and infinity
  }
  for (; i < n; i++) {
    float a = std::fabs(x[i]);
    top[0] = a > top[0] ? a : top[0];
    nan[0] += a - a;
  }
  for (int j = 1; j < 8; j++) top[0] = std::max(top[0], top[j]), nan[0] += nan[j];
  return top[0] + nan[0];
}

// codes of x under scale s, -hi - 1...hi.
static void codes(int8_t *__restrict q, const float *__restrict x, int64_t n, float s, float hi) {
  const float lo = -hi - 1;
  for (int64_t i = 0; i < n; i++) {
    float r = ROUND(x[i] / s);
    float c = CLAMP(r, lo, hi);
    q[i] = (int8_t)(int32_t)(c == c ? c : 0.0f);
  }
}

static void decode(float *__restrict y, const int8_t *__restrict q, int64_t n, float s) {
  for (int64_t i = 0; i < n; i++) y[i] = (float)q[i] * s;
}

// bfloat16, half to even; NaN stays one.
static void narrow(uint16_t *__restrict y, const float *__restrict x, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t b;
    std::memcpy(&b, x + i, 4);
    uint32_t r = (b + 0x7fffu + (b >> 16 & 1)) >> 16;
    y[i] = (uint16_t)(x[i] == x[i] ? r : 0x7fc0u);
  }
}

static void widen(float *__restrict y, const uint16_t *__restrict x, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t b = (uint32_t)x[i] << 16;
    std::memcpy(y + i, &b, 4);
  }
}


// unsigned codes, code - lo; NaN becomes some code and the result is not 0.
static int offsets(uint8_t *__restrict u, const float *__restrict x, int64_t n, Grid d) {
  int nan = 0;
  for (int64_t i = 0; i < n; i++) {
    float q = ROUND(x[i] / d.scale) + d.zero;
    float c = CLAMP(q, d.lo, d.hi);
    nan |= c != c;
    u[i] = (uint8_t)(int32_t)((c == c ? c : 0.0f) - d.lo);
  }
  return nan;
}
