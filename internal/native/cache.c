// Key-value caches: one piece of memory for each sequence, which doubles when it is full.
#include <stdlib.h>
#include <string.h>

#include "stack.h"

enum { FIRST_ROOM = 64 };

static nat_cache *cache_new(const nat_stack *s, int room) {
  size_t size = (size_t)s->shape.layers * (size_t)s->shape.kv * 2 * (size_t)room * nat_cache_row(s);
  nat_cache *c = malloc(sizeof *c + size);
  if (c != NULL) *c = (nat_cache){.room = room};
  return c;
}

// A copy of c with more room; NULL when there is no memory.
static nat_cache *cache_copy(const nat_stack *s, nat_cache *c, int room) {
  nat_cache *to = cache_new(s, room);
  if (to == NULL) return NULL;
  to->rows = c->rows;
  const size_t size = nat_cache_row(s) * (size_t)c->rows;
  for (int layer = 0; layer < s->shape.layers; layer++)
    for (int head = 0; head < s->shape.kv; head++) {
      memcpy(nat_cache_keys(s, to, layer, head), nat_cache_keys(s, c, layer, head), size);
      memcpy(nat_cache_values(s, to, layer, head), nat_cache_values(s, c, layer, head), size);
    }
  return to;
}

void nat_caches_clear(nat_stack *s) {
  for (int b = 0; b < s->sequences; b++) free(s->cache[b]);
  free(s->cache);
  s->cache = NULL;
  s->sequences = s->cache_size = 0;
}

// nat_caches_begin starts sequences of rows[b] rows each and lays out a pass over all of them. It returns the number
// of rows, or -1.
int nat_caches_begin(nat_stack *s, const int32_t *rows, int sequences) {
  int M = 0, longest = 0, fits = s->sequences == sequences;
  for (int b = 0; b < sequences; b++) {
    M += rows[b];
    if (rows[b] > longest) longest = rows[b];
    fits = fits && s->cache[b]->room >= rows[b];
  }
  if (!fits) { // frames of one size come again and again: they keep their memory
    nat_caches_clear(s);
    if ((s->cache = calloc((size_t)sequences, sizeof *s->cache)) == NULL) return -1;
    s->cache_size = sequences;
    for (int b = 0; b < sequences; b++) {
      if ((s->cache[b] = cache_new(s, rows[b] + FIRST_ROOM)) == NULL) return -1;
      s->sequences = b + 1;
    }
  }
  if (nat_stack_room(s, M, longest)) return -1;
  for (int b = 0, m = 0; b < sequences; b++) {
    s->cache[b]->rows = rows[b];
    for (int t = 0; t < rows[b]; t++) s->of[m++] = (nat_place){b, t};
  }
  return M;
}

// nat_caches_next lays out a pass over one more row of each sequence and returns their number, or -1.
int nat_caches_next(nat_stack *s) {
  int longest = 0;
  for (int b = 0; b < s->sequences; b++) {
    nat_cache *c = s->cache[b];
    if (c->rows == c->room) {
      nat_cache *more = cache_copy(s, c, 2 * c->room);
      if (more == NULL) return -1;
      free(c);
      s->cache[b] = c = more;
    }
    if (c->rows + 1 > longest) longest = c->rows + 1;
  }
  if (nat_stack_room(s, s->sequences, longest)) return -1;
  for (int b = 0; b < s->sequences; b++) s->of[b] = (nat_place){b, s->cache[b]->rows++};
  return s->sequences;
}

// nat_stack_keep goes on with these sequences only, in this order; one may come twice. -1: no memory.
int nat_stack_keep(nat_stack *s, const int32_t *from, int sequences) {
  nat_cache **kept = calloc((size_t)sequences, sizeof *kept);
  if (kept == NULL) return -1;
  for (int i = 0; i < sequences; i++) {
    nat_cache *c = s->cache[from[i]];
    for (int j = 0; j < i && c != NULL; j++)
      if (from[j] == from[i]) c = NULL;
    kept[i] = c != NULL ? c : cache_copy(s, s->cache[from[i]], s->cache[from[i]]->room);
    if (kept[i] == NULL) { // give back the copies, keep the rest as it was
      for (int j = 0; j < i; j++)
        if (kept[j] != s->cache[from[j]]) free(kept[j]);
      free(kept);
      return -1;
    }
  }
  for (int b = 0; b < s->sequences; b++) {
    int used = 0;
    for (int i = 0; i < sequences; i++) used |= kept[i] == s->cache[b];
    if (!used) free(s->cache[b]);
  }
  free(s->cache);
  s->cache = kept;
  s->sequences = s->cache_size = sequences;
  return 0;
}
