// The update, once, for vectors of W floats in the compiler's own vector types. Each kernel_*.c defines
//   W           floats in a vector
//   TARGET      attributes of every function, which let the compiler use the instructions
//   ROOT(v)     the square roots of a vector's elements
//   LOOKUP(t,i) the elements i of a table of uint32_t
// or, instead of the last, OWN_STEPS and functions decode and put_codes of its own,
// and includes this file. Nothing is contracted into fused multiply-adds: the bits do not depend on the set of kernels.
#include <math.h>
#include <string.h>

#include "adamw.h"

#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float vf __attribute__((vector_size(4 * W)));
typedef uint32_t vu __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef uint16_t vh __attribute__((vector_size(2 * W)));
typedef uint8_t vb __attribute__((vector_size(W)));

INLINE vf load(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}

INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }

INLINE vf widen(const uint16_t *p) {
  vh h;
  memcpy(&h, p, sizeof h);
  return (vf)(__builtin_convertvector(h, vu) << 16);
}

INLINE void narrow(uint16_t *p, vu u) { // the upper halves
  vh h = __builtin_convertvector(u >> 16, vh);
  memcpy(p, &h, sizeof h);
}

INLINE vf larger(vf a, vf b) {
  vu first = (vu)(a > b);
  return (vf)(((vu)a & first) | ((vu)b & ~first));
}

INLINE vf magnitude(vf v) { return (vf)((vu)v & 0x7fffffff); }

// To the nearest bf16, ties to even.
INLINE void nearest(uint16_t *p, vf v) {
  vu u = (vu)v, nan = (vu)(v != v);
  u += 0x7fff + (u >> 16 & 1);
  narrow(p, (u & ~nan) | (nan & 0x7fc00000));
}

// To the bf16 below or above, the nearer the likelier, so that the mean is v: 16 random bits are added below the part
// that stays. They are a hash of the key and the element's index, the mixing of Wellons' lowbias32.
INLINE void stochastic(uint16_t *p, vf v, uint32_t index, const uint32_t *key) {
  vu h, u = (vu)v, special = (vu)((u & 0x7f800000) == 0x7f800000);
  for (int i = 0; i < W; i++) h[i] = index + (uint32_t)i;
  h = h * 0x9e3779b9 + key[0];
  h = (h ^ h >> 16) * 0x7feb352d;
  h = ((h ^ h >> 15) + key[1]) * 0x846ca68b;
  h ^= h >> 16;
  u += (h & 0xffff) & ~special;
  narrow(p, u | ((vu)(v != v) & 0x400000));
}

#ifndef OWN_STEPS
// The values of a block of codes.
INLINE void decode(const uint8_t *code, float largest, int kind, float *x) {
  const float *value = adamw_book.value[kind];
  for (int i = 0; i < ADAMW_BLOCK; i += W) {
    vf v;
    for (int j = 0; j < W; j++) v[j] = value[code[i + j]];
    store(x + i, v * largest);
  }
}

// A block of codes. Of two negative ones the lower has the larger magnitude; nothing stands for -1.
INLINE void put_codes(uint8_t *code, const float *x, float inverse, int kind) {
  const int32_t low = (int32_t)ADAMW_LOW << 16;
  for (int i = 0; i < ADAMW_BLOCK; i += W) {
    vi u = (vi)(load(x + i) * inverse), negative = u < 0, b = kind == 0 ? (u & 0x7fffffff) - negative : u, small = b < low;
    b = (b & ~small) | (low & small);
    vi c = (vi)((LOOKUP(adamw_book.sort[kind], (vu)(b - low) >> 16) + (vu)(b & 0xffff)) >> 16);
    c = kind == 0 ? 127 + ((c + (negative & (c == 128))) ^ negative) - negative : c & (u != 0);
    vb to = __builtin_convertvector((vu)c, vb);
    memcpy(code + i, &to, sizeof to);
  }
}
#endif

// The codes nearest to x/largest, the lower ones at equal distances; but no positive x of kind 1 becomes 0.
INLINE void encode(const float *x, float largest, int kind, uint8_t *code) {
  if (largest == 0) {
    memset(code, 0, ADAMW_BLOCK);
    return;
  }
  const float inverse = 1 / (largest < 1e-38f ? 1e-38f : largest);
  put_codes(code, x, inverse, kind);
}

// A whole block; kinds are constants where this is called. m and v are where the moments are, as float32.
INLINE void block(const adamw_param *p, int64_t at, int coded, int weight, int grad, int copy) {
  float mbuf[ADAMW_BLOCK], vbuf[ADAMW_BLOCK];
  float *m = coded ? mbuf : p->m + at, *v = coded ? vbuf : p->v + at;
  if (coded) {
    decode(p->m8 + at, p->mmax[at / ADAMW_BLOCK], 0, m);
    decode(p->v8 + at, p->vmax[at / ADAMW_BLOCK], 1, v);
  }
  const float inverse = 1 / p->root2;
  vf mtop = {0}, vtop = {0};
  for (int i = 0; i < ADAMW_BLOCK; i += W) {
    vf d = (grad == ADAMW_F32 ? load((const float *)p->grad + at + i) : widen((const uint16_t *)p->grad + at + i)) * p->grad_scale;
    vf mi = load(m + i), vi = load(v + i);
    mi = mi + (d - mi) * p->keep1;
    vi = vi * p->beta2 + (d * d) * p->keep2;
    store(m + i, mi);
    store(v + i, vi);
    if (coded) {
      mtop = larger(magnitude(mi), mtop);
      vtop = larger(vi, vtop);
    }
    vf w = weight == ADAMW_F32 ? load((float *)p->weight + at + i) : widen((uint16_t *)p->weight + at + i);
    vf root = coded ? ROOT(vi) * inverse : ROOT(vi) / p->root2;
    w = w * p->decay - (mi * p->step_size) / (root + p->eps);
    if (weight == ADAMW_F32) {
      store((float *)p->weight + at + i, w);
      if (copy) nearest(p->copy + at + i, w);
    } else {
      stochastic((uint16_t *)p->weight + at + i, w, (uint32_t)(at + i), p->key);
    }
  }
  if (coded) {
    float mmax = 0, vmax = 0;
    for (int i = 0; i < W; i++) {
      mmax = fmaxf(mmax, mtop[i]);
      vmax = fmaxf(vmax, vtop[i]);
    }
    p->mmax[at / ADAMW_BLOCK] = mmax;
    p->vmax[at / ADAMW_BLOCK] = vmax;
    encode(m, mmax, 0, p->m8 + at);
    encode(v, vmax, 1, p->v8 + at);
  }
}

// A block of n < ADAMW_BLOCK elements: a whole one, with zeros behind them, in memory of its own.
INLINE void rest(const adamw_param *p, int64_t at, int64_t n, int coded, int weight, int grad, int copy) {
  float w[ADAMW_BLOCK] = {0}, g[ADAMW_BLOCK] = {0}, m[ADAMW_BLOCK] = {0}, v[ADAMW_BLOCK] = {0};
  uint16_t narrow[ADAMW_BLOCK];
  uint8_t m8[ADAMW_BLOCK], v8[ADAMW_BLOCK] = {0};
  memset(m8, 127, sizeof m8); // the code of 0
  adamw_param q = *p;
  const size_t sw = weight == ADAMW_F32 ? 4 : 2, sg = grad == ADAMW_F32 ? 4 : 2;
  char *weights = (char *)p->weight + sw * at;
  memcpy(w, weights, sw * n);
  memcpy(g, (const char *)p->grad + sg * at, sg * n);
  q.weight = w, q.grad = g, q.copy = narrow;
  if (coded) {
    memcpy(m8, p->m8 + at, n);
    memcpy(v8, p->v8 + at, n);
    q.m8 = m8, q.v8 = v8, q.mmax += at / ADAMW_BLOCK, q.vmax += at / ADAMW_BLOCK;
  } else {
    memcpy(m, p->m + at, 4 * n);
    memcpy(v, p->v + at, 4 * n);
    q.m = m, q.v = v;
  }
  q.key[0] += (uint32_t)at * 0x9e3779b9; // its first element's index is 0 in the block's memory
  block(&q, 0, coded, weight, grad, copy);
  memcpy(weights, w, sw * n);
  if (copy) memcpy(p->copy + at, narrow, 2 * n);
  if (coded) {
    memcpy(p->m8 + at, m8, n);
    memcpy(p->v8 + at, v8, n);
  } else {
    memcpy(p->m + at, m, 4 * n);
    memcpy(p->v + at, v, 4 * n);
  }
}

INLINE void blocks(const adamw_param *p, int64_t from, int64_t to, int coded, int weight, int grad, int copy) {
  for (; from + ADAMW_BLOCK <= to; from += ADAMW_BLOCK) block(p, from, coded, weight, grad, copy);
  if (from < to) rest(p, from, to - from, coded, weight, grad, copy);
}

#define KIND(coded, weight, grad, copy) \
  case (coded) << 3 | (weight) << 2 | (grad) << 1 | (copy): return blocks(p, from, to, coded, weight, grad, copy);
#define KINDS(coded)                    \
  KIND(coded, ADAMW_F32, ADAMW_F32, 0)  \
  KIND(coded, ADAMW_F32, ADAMW_BF16, 0) \
  KIND(coded, ADAMW_F32, ADAMW_F32, 1)  \
  KIND(coded, ADAMW_F32, ADAMW_BF16, 1) \
  KIND(coded, ADAMW_BF16, ADAMW_F32, 0) \
  KIND(coded, ADAMW_BF16, ADAMW_BF16, 0)

static TARGET void update(const adamw_param *p, int64_t from, int64_t to) {
  switch ((p->m8 != NULL) << 3 | p->weight_kind << 2 | p->grad_kind << 1 | (p->copy != NULL)) {
    KINDS(0)
    KINDS(1)
  }
}

#include "squares.h"

static TARGET void encode_block(const float *x, float largest, int kind, uint8_t *code) { encode(x, largest, kind, code); }
static TARGET void decode_block(const uint8_t *code, float largest, int kind, float *x) { decode(code, largest, kind, x); }
