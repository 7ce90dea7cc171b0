// Making packed weights; packed.h says what they are.
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "packed.h"

typedef struct {
  const uint16_t *data;
  int rows, cols;
  uint8_t *lines;
  float *scale;
  uint32_t *first; // [rows+1]: counts, then places
  uint32_t *col;
  float *val;
  int infinite; // set by any thread
} packing;

static inline int exponent(uint16_t v) { return v >> 7 & 0xff; }

static float as_float(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static int largest(const uint16_t *v, int n) {
  int top = 0;
  for (int i = 0; i < n; i++) top = exponent(v[i]) > top ? exponent(v[i]) : top;
  return top;
}

static void pack_job(void *arg, int thread, int threads) {
  packing *p = arg;
  int from, to;
  nat_share(p->rows, thread, threads, 1, &from, &to);
  for (int r = from; r < to; r++) {
    const uint16_t *v = p->data + (size_t)r * p->cols;
    uint8_t *line = p->lines + packed_row(p->cols) * (size_t)r;
    const int top = largest(v, p->cols), base = top - PACKED_CODES;
    uint32_t rest = 0;
    if (top == 255) p->infinite = 1;
    p->scale[r] = as_float((uint32_t)(top > 0 ? top : 127) << 23);
    for (int k = 0; k < p->cols; k += PACKED_BLOCK, v += PACKED_BLOCK, line += PACKED_BYTES) {
      uint32_t codes[16] = {0};
      for (int j = 0; j < 8; j++)
        for (int l = 0; l < 16; l++) {
          uint16_t w = v[16 * j + l];
          int e = exponent(w), said = e > base && e > 0;
          rest += !said && (w & 0x7fff) != 0;
          codes[l] |= (uint32_t)(said ? e - base : 0) << 4 * j;
          line[64 + 16 * j + l] = said ? (uint8_t)((w >> 8 & 0x80) | (w & 0x7f)) : 0;
        }
      memcpy(line, codes, sizeof codes);
    }
    p->first[r + 1] = rest;
  }
}

static void list_job(void *arg, int thread, int threads) {
  packing *p = arg;
  int from, to;
  nat_share(p->rows, thread, threads, 1, &from, &to);
  for (int r = from; r < to; r++) {
    const uint16_t *v = p->data + (size_t)r * p->cols;
    uint32_t at = p->first[r];
    if (at == p->first[r + 1]) continue;
    const int base = largest(v, p->cols) - PACKED_CODES;
    for (int k = 0; k < p->cols; k++)
      if ((v[k] & 0x7fff) != 0 && (exponent(v[k]) <= base || exponent(v[k]) == 0)) {
        p->col[at] = (uint32_t)k;
        p->val[at++] = as_float((uint32_t)v[k] << 16);
      }
  }
}

static const size_t huge = 2 << 20;

size_t nat_packed_size(int rows, int cols) { return (packed_row(cols) * (size_t)rows + huge - 1) / huge * huge; }

void nat_packed_free(nat_matrix *m) {
  nat_packed *p = &m->packed;
  free((void *)p->lines);
  free((void *)p->scale);
  free((void *)p->first);
  free((void *)p->col);
  free((void *)p->val);
  memset(p, 0, sizeof *p);
}

// nat_pack adds the packed form to a bf16 matrix. 1: done; 0: it has another kind or width, a number that is not
// finite, or so many exponents that packing would not pay; -1: no memory.
int nat_pack(nat_pool *pool, nat_matrix *m) {
  if (m->kind != NAT_BF16 || m->cols % PACKED_BLOCK) return 0;
  packing p = {.data = m->data, .rows = m->rows, .cols = m->cols};
  if (posix_memalign((void **)&p.lines, huge, nat_packed_size(m->rows, m->cols))) p.lines = NULL;
  p.scale = malloc(sizeof *p.scale * (size_t)p.rows);
  p.first = calloc((size_t)p.rows + 1, sizeof *p.first);
  if (p.lines == NULL || p.scale == NULL || p.first == NULL) goto full;
#ifdef MADV_HUGEPAGE
  madvise(p.lines, nat_packed_size(m->rows, m->cols), MADV_HUGEPAGE);
#endif
  nat_pool_run(pool, pack_job, &p);
  for (int r = 0; r < p.rows; r++) p.first[r + 1] += p.first[r];
  const size_t rest = p.first[p.rows];
  p.col = malloc(sizeof *p.col * (rest + 1));
  p.val = malloc(sizeof *p.val * (rest + 1));
  if (p.col == NULL || p.val == NULL) goto full;
  m->packed = (nat_packed){p.lines, p.scale, p.first, p.col, p.val};
  if (p.infinite || rest > (size_t)p.rows * p.cols / 64) { // an entry costs as much as five weights
    nat_packed_free(m);
    return 0;
  }
  nat_pool_run(pool, list_job, &p);
  return 1;
full:
  m->packed = (nat_packed){p.lines, p.scale, p.first, p.col, p.val};
  nat_packed_free(m);
  return -1;
}
