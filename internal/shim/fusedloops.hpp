// The loops of fusedpass.hpp. It includes this once for each vector unit, each time in a namespace of its own.

typedef uint16_t Halves __attribute__((vector_size(16), aligned(2), may_alias));  // eight bfloat16 anywhere
typedef uint32_t Words __attribute__((vector_size(32)));

// Eight numbers as float32, and back in T's precision.
static inline Lanes get(const float *p) { return *(const Memory *)p; }
static inline Lanes get(const uint16_t *p) { return (Lanes)(__builtin_convertvector(*(const Halves *)p, Words) << 16); }
static inline void put(float *p, const Lanes &v) { *(Memory *)p = v; }
static inline Words upper(const Lanes &v) {
  Words b = (Words)v, r = (b + 0x7fffu + (b >> 16 & 1u)) >> 16, nan = r - r + 0x7fc0u;
  return v == v ? r : nan;
}
static inline void put(uint16_t *p, const Lanes &v) { *(Halves *)p = __builtin_convertvector(upper(v), Halves); }
static inline Lanes rounded(const float *, const Lanes &v) { return v; }
static inline Lanes rounded(const uint16_t *, const Lanes &v) { return (Lanes)(upper(v) << 16); }

// The first c of eight numbers; the others are 0.
template <class T>
static inline Lanes get(const T *p, int64_t c) {
  if (c >= 8) return get(p);
  T some[8] = {};
  std::memcpy(some, p, c * sizeof(T));
  return get(some);
}
template <class T>
static inline void put(T *p, const Lanes &v, int64_t c) {
  if (c >= 8) return put(p, v);
  T some[8];
  put(some, v);
  std::memcpy(p, some, c * sizeof(T));
}

static inline float total(const Lanes &v) { return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])); }
static inline float most(const Lanes &v) {
  float m = v[0];
  for (int i = 1; i < 8; i++) m = v[i] > m || v[i] != v[i] ? v[i] : m;
  return m;
}

// e^x after Cephes' expf, 1 ulp; 0 below -87.3, and e^88 above 88. NaN stays.
static inline Lanes exponential(const Lanes &x) {
  const Lanes none = {}, lo = none - 87.3f, hi = none + 88.0f;
  Lanes c = x < lo ? lo : x;
  c = c > hi ? hi : c;
  Lanes n = (c * 1.44269504f + rounder) - rounder;
  Lanes r = (c - n * 0.693359375f) + n * 2.12194440e-4f;
  Lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * r) * r + r + 1.0f;
  typedef int32_t Ints __attribute__((vector_size(32)));
  Ints e = (__builtin_convertvector(n, Ints) + 127) << 23;
  Lanes y = p * (Lanes)e;
  return x < lo ? none : y;
}

// y = w * x * r, r = 1/sqrt(mean x² + eps), which it returns.
template <class T>
static float norm(T *y, const T *x, const T *w, int64_t n, float eps) {
  Lanes s = {};
  for (int64_t i = 0; i < n; i += 8) {
    Lanes v = get(x + i, n - i);
    s += v * v;
  }
  const float r = 1 / std::sqrt(total(s) / n + eps);
  for (int64_t i = 0; i < n; i += 8) put(y + i, get(w + i, n - i) * rounded(x, get(x + i, n - i) * r), n - i);
  return r;
}

// From g, the gradient of y: gx, and gw += the gain's.
template <class T>
static void norm_back(T *gx, float *gw, const T *g, const T *x, const T *w, int64_t n, float r) {
  Lanes s = {};
  for (int64_t i = 0; i < n; i += 8) {
    Lanes v = get(x + i, n - i), d = get(g + i, n - i);
    s += rounded(x, d * get(w + i, n - i)) * v;
    put(gw + i, get(gw + i, n - i) + d * rounded(x, v * r), n - i);
  }
  const float c = total(s) / n * r * r;
  for (int64_t i = 0; i < n; i += 8) {
    Lanes v = get(x + i, n - i), d = rounded(x, get(g + i, n - i) * get(w + i, n - i));
    put(gx + i, (d - v * c) * r, n - i);
  }
}

// y = silu(a) * b.
template <class T>
static void gate(T *y, const T *a, const T *b, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) {
    Lanes v = get(a + i, n - i);
    put(y + i, rounded(a, v / (1.0f + exponential(-v))) * get(b + i, n - i), n - i);
  }
}

template <class T>
static void gate_back(T *ga, T *gb, const T *g, const T *a, const T *b, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) {
    Lanes v = get(a + i, n - i), d = get(g + i, n - i), s = 1.0f / (1.0f + exponential(-v));
    put(ga + i, rounded(a, d * get(b + i, n - i)) * (s * (1.0f + v * (1.0f - s))), n - i);
    put(gb + i, d * rounded(a, v * s), n - i);
  }
}

// log Σ exp(x * f).
static float lse(const float *x, int64_t n, float f) {
  const Lanes none = {}, least = none - INFINITY;
  Lanes m = least;
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    Lanes v = get(x + i) * f;
    m = v > m ? v : m;
  }
  float top = most(m);
  for (; i < n; i++) top = x[i] * f > top ? x[i] * f : top;
  Lanes s = {};
  float rest = 0;
  for (i = 0; i + 8 <= n; i += 8) s += exponential(get(x + i) * f - top);
  if (i < n) {
    Lanes e = exponential(get(x + i, n - i) * f - top);
    for (int64_t k = 0; k < n - i; k++) rest += e[k];
  }
  return top + std::log(total(s) + rest);
}

// Σ p_t (log p_t - log p_s) of logits times f, whose lse are lt and ls.
static float divergence(const float *t, const float *s, int64_t n, float f, float lt, float ls) {
  Lanes sum = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    Lanes a = get(t + i) * f - lt, b = get(s + i) * f - ls;
    sum += exponential(a) * (a - b);
  }
  float rest = 0;
  if (i < n) {
    Lanes a = get(t + i, n - i) * f - lt, b = get(s + i, n - i) * f - ls, e = exponential(a) * (a - b);
    for (int64_t k = 0; k < n - i; k++) rest += e[k];
  }
  return total(sum) + rest;
}

// gs = g * (p_s - p_t).
static void divergence_back(float *gs, float g, const float *t, const float *s, int64_t n, float f, float lt, float ls) {
  for (int64_t i = 0; i < n; i += 8)
    put(gs + i, (exponential(get(s + i, n - i) * f - ls) - exponential(get(t + i, n - i) * f - lt)) * g, n - i);
}

// One tile of multiply.
template <int R, int C>
static inline void tile(float *c, int64_t ldc, const float *a, int64_t ra, int64_t ca, const float *b, int64_t ldb, int64_t K, bool add) {
  const Lanes none = {};
  Lanes s[R][C];
  for (int r = 0; r < R; r++)
    for (int q = 0; q < C; q++) s[r][q] = add ? get(c + r * ldc + 8 * q) : none;
  for (int64_t k = 0; k < K; k++) {
    Lanes v[C];
    for (int q = 0; q < C; q++) v[q] = get(b + k * ldb + 8 * q);
    for (int r = 0; r < R; r++)
      for (int q = 0; q < C; q++) s[r][q] += a[r * ra + k * ca] * v[q];
  }
  for (int r = 0; r < R; r++)
    for (int q = 0; q < C; q++) put(c + r * ldc + 8 * q, s[r][q]);
}

template <int R>
static inline void strip(float *c, int64_t ldc, const float *a, int64_t ra, int64_t ca, const float *b, int64_t ldb, int64_t N, int64_t K, bool add) {
  int64_t j = 0;
  for (; j + 16 <= N; j += 16) tile<R, 2>(c + j, ldc, a, ra, ca, b + j, ldb, K, add);
  for (; j < N; j += 8) tile<R, 1>(c + j, ldc, a, ra, ca, b + j, ldb, K, add);
}

// c [M <= 4][N] (+)= a · b, with a[i][k] at i*ra + k*ca, b [K][N]. N is a multiple of 8.
static void multiply(float *c, int64_t ldc, const float *a, int64_t ra, int64_t ca, const float *b, int64_t ldb, int64_t M, int64_t N, int64_t K, bool add) {
  switch (M) {
    case 4: return strip<4>(c, ldc, a, ra, ca, b, ldb, N, K, add);
    case 3: return strip<3>(c, ldc, a, ra, ca, b, ldb, N, K, add);
    case 2: return strip<2>(c, ldc, a, ra, ca, b, ldb, N, K, add);
    case 1: return strip<1>(c, ldc, a, ra, ca, b, ldb, N, K, add);
  }
}

// One sequence's rows of one key head: what the passes below share.
struct Heads {
  static constexpr int64_t R = Attended::rows;
  const Attended &m;
  int64_t b, kv, D8, T8;  // D and T rounded up to 8
  std::unique_ptr<float[]> memory;
  float *k, *kT, *v, *q, *p, *room;  // [T8, D8], [D8, T8], [T8, D8], [rows, D8], [rows, T8], [D8]
  std::vector<int64_t> sees;  // how many rows each row sees, those in between that are hidden included

  Heads(const Attended &m, int64_t b, int64_t kv)
      : m(m), b(b), kv(kv), D8((m.D + 7) / 8 * 8), T8((m.T + 7) / 8 * 8), memory(new float[3 * T8 * D8 + R * D8 + R * T8 + D8]), sees(m.T, m.T) {
    const int64_t T = m.T;
    k = memory.get(), kT = k + T8 * D8, v = kT + T8 * D8, q = v + T8 * D8, p = q + R * D8, room = p + R * T8;
    if (D8 > m.D || T8 > m.T) std::fill_n(k, q + R * D8 - k, 0.0f);  // what rounding up adds counts as 0
    for (int64_t t = 0; t < T; t++) {
      turn(&k[t * D8], m.k + m.key(b, t, kv), m.wk, t, 1);
      for (int64_t d = 0; d < m.D; d++) kT[d * T8 + t] = k[t * D8 + d];
      std::copy_n(m.v + m.key(b, t, kv), m.D, &v[t * D8]);
      if (!m.mask) continue;
      const float *h = mask(t);
      int64_t n = T;
      while (n > 0 && h[n - 1] <= -1e29f) n--;
      if (n > 0) sees[t] = n;  // a row that sees nothing sees all alike
    }
  }

  const float *mask(int64_t t) const { return m.mask + (m.masks > 1 ? b * m.T * m.T : 0) + t * m.T; }
  const float *angle(const float *table, int64_t t) const { return table + ((m.angles > 1 ? b * m.T : 0) + t) * m.D; }

  // y [D8] is x normed and turned by its position, times f; the factor of the norm comes back.
  float turn(float *y, const float *x, const float *w, int64_t t, float f) {
    float r = norm(room, x, w, m.D, m.eps);
    const float *c = angle(m.cos, t), *s = angle(m.sin, t);
    const int64_t h = m.D / 2;
    for (int64_t i = 0; i < h; i++) {
      float a = room[i], z = room[i + h];
      y[i] = (a * c[i] - z * s[i]) * f;
      y[i + h] = (z * c[i + h] + a * s[i + h]) * f;
    }
    return r;
  }

  // gx from the gradient g of turn's y, which it overwrites; gw grows by that of the gain.
  void turn_back(float *gx, float *gw, float *g, const float *x, const float *w, int64_t t) {
    const float *c = angle(m.cos, t), *s = angle(m.sin, t);
    const int64_t h = m.D / 2;
    for (int64_t i = 0; i < h; i++) {
      float a = g[i], z = g[i + h];
      g[i] = a * c[i] + z * s[i + h];
      g[i + h] = z * c[i + h] - a * s[i];
    }
    Lanes sum = {};
    for (int64_t i = 0; i < m.D; i += 8) {
      Lanes e = get(x + i, m.D - i);
      sum += e * e;
    }
    norm_back(gx, gw, g, x, w, m.D, 1 / std::sqrt(total(sum) / m.D + m.eps));
  }

  // p is the scores of n rows of head h from row t on, mask included, up to what they see.
  void score(int64_t h, int64_t t, int64_t n) {
    const float f = 1 / std::sqrt((float)m.D);
    for (int64_t i = 0; i < n; i++) turn(&q[i * D8], m.q + m.query(b, t + i, h), m.wq, t + i, f);
    for (int64_t i = 0; i < n; i += 4) {
      int64_t few = std::min<int64_t>(4, n - i);
      multiply(&p[i * T8], T8, &q[i * D8], D8, 1, kT, T8, few, widest(t + i, few), m.D, false);
    }
    if (!m.mask) return;
    for (int64_t i = 0; i < n; i++) {
      const float *h = mask(t + i);
      float *row = &p[i * T8];
      for (int64_t j = 0; j < sees[t + i]; j++) row[j] += h[j];
    }
  }

  // The most that n rows from row t on see, rounded up to 8.
  int64_t widest(int64_t t, int64_t n) const { return (*std::max_element(&sees[t], &sees[t] + n) + 7) / 8 * 8; }

  // The largest of n scores; those up to the next multiple of 8 become -infinity.
  static float largest(float *row, int64_t n) {
    for (int64_t j = n; j % 8; j++) row[j] = -INFINITY;
    Lanes m = get(row);
    for (int64_t j = 8; j < n; j += 8) {
      Lanes v = get(row + j);
      m = v > m ? v : m;
    }
    return most(m);
  }

  // n scores become exp(score - top) * f, and 0 from n to end, a multiple of 8.
  static void soften(float *row, int64_t n, int64_t end, float top, float f) {
    for (int64_t j = n; j % 8; j++) row[j] = -INFINITY;
    for (int64_t j = 0; j < n; j += 8) put(row + j, exponential(get(row + j) - top) * f);
    for (int64_t j = (n + 7) / 8 * 8; j < end; j++) row[j] = 0;
  }

  void forward() {
    const int64_t group = m.heads / m.kvs;
    std::unique_ptr<float[]> room(new float[R * D8]);
    float *o = room.get();
    for (int64_t h = kv * group; h < (kv + 1) * group; h++)
      for (int64_t t = 0; t < m.T; t += R) {
        const int64_t n = std::min(R, m.T - t), end = widest(t, n);
        score(h, t, n);
        for (int64_t i = 0; i < n; i++) {
          float *row = &p[i * T8];
          const float top = largest(row, sees[t + i]);
          soften(row, sees[t + i], end, top, 1);
          Lanes s = {};
          for (int64_t j = 0; j < sees[t + i]; j += 8) s += get(row + j);
          const float sum = total(s);
          for (int64_t j = 0; j < sees[t + i]; j += 8) put(row + j, get(row + j) * (1 / sum));
          if (m.stats) m.stats[2 * m.stat(b, h, t + i)] = top, m.stats[2 * m.stat(b, h, t + i) + 1] = 1 / sum;
        }
        for (int64_t i = 0; i < n; i += 4) {
          int64_t few = std::min<int64_t>(4, n - i);
          multiply(&o[i * D8], D8, &p[i * T8], T8, 1, v, D8, few, D8, std::min(widest(t + i, few), T8), false);
        }
        for (int64_t i = 0; i < n; i++) std::copy_n(&o[i * D8], m.D, m.o + m.query(b, t + i, h));
      }
  }

  // gwq and gwk [D] grow.
  void backward(const AttendedBack &g, float *gwq, float *gwk) {
    const int64_t group = m.heads / m.kvs, T = m.T, D = m.D;
    std::unique_ptr<float[]> room(new float[3 * T8 * D8 + 2 * R * D8 + R * T8]);
    float *dk = room.get(), *dv = dk + T8 * D8, *vT = dv + T8 * D8, *go = vT + D8 * T8, *dq = go + R * D8, *ds = dq + R * D8;
    std::fill_n(dk, D8 > D || T8 > T ? dq - dk : vT - dk, 0.0f);
    for (int64_t t = 0; t < T; t++)
      for (int64_t d = 0; d < D; d++) vT[d * T8 + t] = v[t * D8 + d];
    for (int64_t h = kv * group; h < (kv + 1) * group; h++)
      for (int64_t t = 0; t < T; t += R) {
        const int64_t n = std::min(R, T - t), end = widest(t, n);
        score(h, t, n);
        for (int64_t i = 0; i < n; i++) {
          const float *stat = m.stats + 2 * m.stat(b, h, t + i);
          soften(&p[i * T8], sees[t + i], end, stat[0], stat[1]);
          std::copy_n(g.o + m.query(b, t + i, h), D, &go[i * D8]);
        }
        for (int64_t i = 0; i < n; i += 4) {
          int64_t few = std::min<int64_t>(4, n - i);
          multiply(&ds[i * T8], T8, &go[i * D8], D8, 1, vT, T8, few, end, D, false);
        }
        for (int64_t i = 0; i < n; i++) {
          Lanes s = {};
          for (int64_t j = 0; j < end; j += 8) s += get(&p[i * T8 + j]) * get(&ds[i * T8 + j]);
          const float along = total(s);
          for (int64_t j = 0; j < end; j += 8) put(&ds[i * T8 + j], get(&p[i * T8 + j]) * (get(&ds[i * T8 + j]) - along));
        }
        int64_t first = 0;
        for (int64_t j = 0; j < end && j < T; j += 4) {
          while (first < n && sees[t + first] <= j) first++;  // p is 0 in the rows before
          int64_t few = std::min<int64_t>(4, T - j), i = first;
          if (i == n) break;
          multiply(&dv[j * D8], D8, &p[i * T8 + j], 1, T8, &go[i * D8], D8, few, D8, n - i, true);
          multiply(&dk[j * D8], D8, &ds[i * T8 + j], 1, T8, &q[i * D8], D8, few, D8, n - i, true);
        }
        for (int64_t i = 0; i < n; i += 4) {
          int64_t few = std::min<int64_t>(4, n - i);
          multiply(&dq[i * D8], D8, &ds[i * T8], T8, 1, k, D8, few, D8, std::min(widest(t + i, few), T8), false);
        }
        const float f = 1 / std::sqrt((float)D);
        for (int64_t i = 0; i < n; i++) {
          for (int64_t d = 0; d < D8; d += 8) put(&dq[i * D8 + d], get(&dq[i * D8 + d]) * f);
          turn_back(g.q + m.query(b, t + i, h), gwq, &dq[i * D8], m.q + m.query(b, t + i, h), m.wq, t + i);
        }
      }
    for (int64_t t = 0; t < T; t++) {
      turn_back(g.k + m.key(b, t, kv), gwk, &dk[t * D8], m.k + m.key(b, t, kv), m.wk, t);
      std::copy_n(&dv[t * D8], D, g.v + m.key(b, t, kv));
    }
  }
};

static void attend(const Attended &m, int64_t b, int64_t kv) { Heads(m, b, kv).forward(); }
static void attend_back(const Attended &m, const AttendedBack &g, int64_t b, int64_t kv, float *gwq, float *gwk) {
  Heads(m, b, kv).backward(g, gwq, gwk);
}
