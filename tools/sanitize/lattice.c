// The kernels of internal/native/lattice on random weights, each array in memory of exactly its size: for the sanitizers
// (run.sh). What package quant fixes to the bit is held to the portable set; the Go tests of pkg/calib hold values to loops.
#include <stdio.h>
#include <string.h>

#include "draw.h"
#include "lattice.h"

static float *numbers(long n) {
  float *v = room_for(sizeof(float) * (size_t)n);
  for (long i = 0; i < n; i++) v[i] = ((float)draw(2001) - 1000) / 512;
  return v;
}

// What one set makes of a weight: scales, zero points and codes of every method.
typedef struct {
  float *scale;
  int32_t *zero;
  uint8_t *codes;
} result;

static result empty(long units, long n, int asym) {
  return (result){room_for(4 * (size_t)units), asym ? room_for(4 * (size_t)units) : NULL, room_for((size_t)n)};
}

static void drop(result r) { free(r.scale), free(r.zero), free(r.codes); }

static void within(const char *what, const lat_weight *w, result r, long n) {
  for (long i = 0; i < n; i++)
    if (r.codes[i] > w->qmax - w->qmin) printf("%s: code %d of %d … %d\n", what, r.codes[i], w->qmin, w->qmax), exit(1);
}

static void same(const char *what, const lat_kernels *set, uint64_t seed, result a, result b, long units, long n) {
  if (memcmp(a.scale, b.scale, 4 * (size_t)units) || (a.zero && memcmp(a.zero, b.zero, 4 * (size_t)units)) || (n && memcmp(a.codes, b.codes, (size_t)n)))
    printf("%s of %s, seed %d: not those of the portable set\n", what, set->name, (int)seed), exit(1);
}

// A symmetric, diagonally dominant matrix [k, k].
static float *gram(long k) {
  float *h = numbers(k * k);
  for (long i = 0; i < k; i++) {
    for (long j = 0; j < i; j++) h[i * k + j] = h[j * k + i];
    h[i * k + i] = (float)(2 * k);
  }
  return h;
}

static void gptq(const lat_kernels *set, const lat_weight *w, long rows, long units, result r, const float *u) {
  const long k = w->k, block = 1 + (long)draw(9);
  float *err = numbers(rows * k), *earlier = numbers(rows * block);
  for (long at = 0; at < k; at += block) {
    const long b = k - at < block ? k - at : block;
    int64_t *unit = room_for(8 * (size_t)b);
    for (long j = 0; j < b; j++) unit[j] = (at + j) / w->width;
    lat_gptq g = {w->w, u + at * k + at, at ? earlier : NULL, k, k, at, b, unit, r.scale, r.zero, units, w->qmin, w->qmax, err, r.codes};
    set->gptq(&g, 0, rows);
    free(unit);
  }
  free(err), free(earlier);
}

static void check(const lat_kernels *set, uint64_t seed) {
  state = seed * 0x9e3779b97f4a7c15ull + 1;
  const int bits = draw(3) ? 4 : 8, asym = (int)draw(2);
  const long rows = 1 + (long)draw(19), width = 1 + (long)draw(70), units = 1 + (long)draw(4), k = width * units, n = rows * k;
  float *x = numbers(n), *scales = numbers(k), *d = room_for(4 * (size_t)n), *h = gram(k), *h32 = room_for(4 * (size_t)k);
  float *wide = room_for(4 * (size_t)k + 64), *blocks = room_for(4 * (size_t)(k * width));
  double *h64 = room_for(8 * (size_t)k);
  memset(wide, 0, 4 * (size_t)k + 64);
  for (long i = 0; i < k; i++) h64[i] = h32[i] = wide[i] = 0.5f + (float)draw(100) / 64, scales[i] = 0.5f + (float)draw(64) / 64;
  for (long g = 0; g < units; g++)
    for (long i = 0; i < width; i++) memcpy(blocks + (g * width + i) * width, h + (g * width + i) * k + g * width, 4 * (size_t)width);
  const lat_weight w = {x, k, width, asym ? 0 : -(1 << (bits - 1)), asym ? (1 << bits) - 1 : (1 << (bits - 1)) - 1, !asym};
  const int rule = asym ? LAT_MIN_MAX : (int)draw(3);
  result have = empty(rows * units, n, asym), want = empty(rows * units, n, asym);

  if (set->nearest(&w, rule, 0, rows * units, have.scale, have.zero, have.codes) >= 0) printf("not finite\n"), exit(1);
  lat_portable.nearest(&w, rule, 0, rows * units, want.scale, want.zero, want.codes);
  same("nearest", set, seed, have, want, rows * units, n);
  set->codes(&w, want.scale, want.zero, 0, rows * units, have.codes);
  same("codes", set, seed, have, want, rows * units, n);
  set->residual(&w, rule, scales, 0, rows, d);

  const lat_search s = {w, h64, h32, draw(3) ? NULL : blocks, 2 + (int)draw(20), 0.5, 1.05};
  set->search(&s, 0, rows * units, have.scale, have.zero);
  lat_portable.search(&s, 0, rows * units, want.scale, want.zero);
  if (!s.blocks) same("search", set, seed, have, want, rows * units, 0);
  gptq(set, &w, rows, units, have, h);
  within("gptq", &w, have, n);
  if (asym) {
    const lat_hqq q = {w, wide, 0.7, 10, 1.01, 5, 3, 0.5};
    set->hqq(&q, 0, rows * units, have.scale, have.zero);
  }
  const lat_round r = {w, h, 8, 0.1, 0.5f, have.scale, have.zero, have.codes};
  float *room = numbers(lat_round_room(&r, rows)); // nothing is taken for zero
  set->round(&r, 0, rows, room);
  within("round", &w, have, n);

  free(room), free(x), free(scales), free(d), free(h), free(h32), free(wide), free(blocks), free(h64);
  drop(have), drop(want);
}

int main(void) {
  const lat_kernels *set;
  for (int i = 0; (set = lat_kernels_at(i)) != NULL; i++) {
    for (uint64_t seed = 1; seed <= 300; seed++) check(set, seed);
    printf("lattice %s: ok\n", set->name);
  }
}
