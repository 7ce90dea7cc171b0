// The kernels of wave.h, once, for vectors of W floats. Each wave_*.c defines W, TARGET and
//   BF16        1: elements are bf16, and products go in pairs by the CPU's own instruction; 0: float32
//   ROWS        moments of a tile: ROWS·3 vectors of sums are in registers
// and includes this file.
#include <math.h>
#include <string.h>

#include "wave.h"

#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));

#if BF16
typedef uint16_t element;
enum { STEP = 2 }; // inputs of one product
#else
typedef float element;
enum { STEP = 1 };
#endif
enum { COLUMNS = 3 * W };

INLINE vf load(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}

INLINE void keep(float *p, vf v) { memcpy(p, &v, sizeof v); }

#if BF16
INLINE vf mac(vf sum, const element *x, const element *w) {
  int32_t pair;
  memcpy(&pair, x, sizeof pair);
  return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)_mm512_loadu_si512(w));
}
INLINE void put(element *p, vf v) { _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh((__m512)v)); }
#else
INLINE vf mac(vf sum, const element *x, const element *w) { return sum + *x * load(w); }
INLINE void put(element *p, vf v) { keep(p, v); }
#endif

// x + scale·sin²(πu), u = frequency·x: sin πr for the distance r of u to the nearest integer, by its power series up to
// r¹³, which is off by 7e-10 at r = ½.
INLINE vf snake(vf x, vf frequency, vf scale) {
  const vf half = (vf){0} + 0.5f;
  vf n = (x * frequency + 12582912.0f) - 12582912.0f;
  vf r = x * frequency - n;
  vi high = r > half, low = r < -half; // of numbers so large that nothing is left of their phase
  r = (vf)(((vi)half & high) | ((vi)-half & low) | ((vi)r & ~(high | low)));
  vf q = r * r;
  vf s = q * 0.00046630280576761f - 0.0073704309457143f;
  s = s * q + 0.082145886611128f;
  s = s * q - 0.59926452932079f;
  s = s * q + 2.5501640398773f;
  s = s * q - 5.1677127800499f;
  s = s * q + 3.1415926535898f;
  s = s * r;
  return x + scale * (s * s);
}

// A tile of R moments and V vectors of outputs, R and V constant where this is called. x is its first tap's first row,
// at is where its first row's outputs stand, ahead the distance of those of two moments.
INLINE void tile(const nat_conv *c, const nat_conv_rows *rows, const element *x, const element *w, long at, long ahead, int column, int R, int V) {
  const int pitch = wave_pitch(c->in), in = (c->in + STEP - 1) / STEP * STEP;
  vf sum[ROWS][3];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 3
    for (int v = 0; v < V; v++) sum[i][v] = load(c->bias + column + v * W);
  for (int tap = 0; tap < c->taps; tap++, x += (long)c->dilation * pitch)
    for (int k = 0; k < in; k += STEP, w += V * W * STEP)
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 3
        for (int v = 0; v < V; v++) sum[i][v] = mac(sum[i][v], x + (long)i * pitch + k, w + v * W * STEP);
#pragma GCC unroll 16
  for (int i = 0; i < R; i++, at += ahead)
#pragma GCC unroll 3
    for (int v = 0; v < V; v++) {
      vf y = sum[i][v];
      if (rows->add) y += load(rows->add + at + v * W);
      if (rows->y) keep(rows->y + at + v * W, y);
      if (rows->next == NULL) continue;
      if (c->frequency) y = snake(y, load(c->frequency + column + v * W), load(c->scale + column + v * W));
      put((element *)rows->next + at + v * W, y);
    }
}

INLINE void strip(const nat_conv *c, const nat_conv_rows *rows, const element *w, int phase, int column, int t0, int t1, int V) {
  const int pitch = wave_pitch(c->in);
  const long ahead = (long)c->phases * wave_pitch(c->out);
  int t = t0;
#define TILES(R)                                                                                         \
  for (; t + (R) <= t1; t += (R))                                                                        \
  tile(c, rows, (const element *)rows->x + (long)t * pitch, w, t * ahead + (long)phase * wave_pitch(c->out) + column, ahead, column, R, V)
  TILES(ROWS);
  TILES(ROWS / 2);
  TILES(1);
#undef TILES
}

static inline int columns_of(const nat_conv *c, int block) { // of a block of a phase, in vectors
  int left = wave_pitch(c->out) - block * COLUMNS;
  return left < COLUMNS ? left / W : 3;
}

static inline size_t inputs(const nat_conv *c) { return (size_t)c->taps * ((c->in + STEP - 1) / STEP) * STEP; }

static TARGET void run(const nat_conv *c, const nat_conv_rows *rows, int b, int t0, int t1) {
  const int blocks = (wave_pitch(c->out) + COLUMNS - 1) / COLUMNS, phase = b / blocks, block = b % blocks;
  const element *w = (const element *)c->w + inputs(c) * ((size_t)phase * wave_pitch(c->out) + (size_t)block * COLUMNS);
  switch (columns_of(c, block)) {
    case 1: strip(c, rows, w, phase, block * COLUMNS, t0, t1, 1); break;
    case 2: strip(c, rows, w, phase, block * COLUMNS, t0, t1, 2); break;
    default: strip(c, rows, w, phase, block * COLUMNS, t0, t1, 3);
  }
}

static size_t size(const nat_conv *c) { return inputs(c) * (size_t)c->phases * wave_pitch(c->out) * sizeof(element); }

static TARGET void store(const float *x, int n, void *to) {
  element *p = to;
  for (int i = 0; i < n; i++) {
#if BF16
    __m512 v = _mm512_set1_ps(x[i]);
    p[i] = (element)_mm256_extract_epi16((__m256i)_mm512_cvtneps_pbh(v), 0);
#else
    p[i] = x[i];
#endif
  }
}

// Weights stand in the order in which tiles read them: block by block, and in a block tap, input, output.
static void pack(nat_conv *c, const float *w) {
  const int pitch = wave_pitch(c->out);
  element *to = c->w;
  float line[COLUMNS * STEP];
  for (int phase = 0; phase < c->phases; phase++)
    for (int column = 0; column < pitch; column += COLUMNS) {
      const int n = pitch - column < COLUMNS ? pitch - column : COLUMNS;
      for (int tap = 0; tap < c->taps; tap++)
        for (int k = 0; k < c->in; k += STEP, to += n * STEP) {
          for (int o = 0; o < n; o++)
            for (int s = 0; s < STEP; s++) {
              const int there = k + s < c->in && column + o < c->out;
              const size_t row = ((size_t)phase * c->taps + tap) * c->in + k + s;
              line[o * STEP + s] = there ? w[row * c->out + column + o] : 0;
            }
          store(line, n * STEP, to);
        }
    }
}
