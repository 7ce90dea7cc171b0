// Drawing a code from logits, as pkg/talker does: temperature, the best k, the least set of mass p, softmax, a draw.
#include <math.h>
#include <stdlib.h>

#include "native.h"

static int best(const float *scores, int n) {
  int at = 0;
  for (int i = 1; i < n; i++)
    if (scores[i] > scores[at]) at = i;
  return at;
}

// The k-th largest of v[0 … n), which are reordered (Hoare's quickselect).
static float kth_largest(float *v, int n, int k) {
  int from = 0, to = n - 1;
  while (from < to) {
    float pivot = v[from + (to - from) / 2];
    int i = from, j = to;
    while (i <= j) {
      while (v[i] > pivot) i++;
      while (v[j] < pivot) j--;
      if (i <= j) {
        float t = v[i];
        v[i++] = v[j];
        v[j--] = t;
      }
    }
    if (k - 1 <= j)
      to = j;
    else if (k - 1 >= i)
      from = i;
    else
      break;
  }
  return v[k - 1];
}

typedef struct {
  float score;
  int32_t at;
  double p;
} choice;

static int ascending(const void *a, const void *b) {
  const choice *x = a, *y = b;
  if (x->score != y->score) return x->score < y->score ? -1 : 1;
  return x->at < y->at ? -1 : x->at > y->at;
}

static int by_place(const void *a, const void *b) { return ((const choice *)a)->at - ((const choice *)b)->at; }

// Shares of the choices, in the order of their places.
static void softmax(choice *c, int n) {
  float top = -INFINITY;
  double sum = 0;
  for (int i = 0; i < n; i++) top = c[i].score > top ? c[i].score : top;
  for (int i = 0; i < n; i++) sum += c[i].p = exp((double)(c[i].score - top));
  for (int i = 0; i < n; i++) c[i].p /= sum;
}

// Drops the least likely while their mass is at most 1-p; the best stays. It returns how many are left, by place.
static int nucleus(choice *c, int n, double p) {
  softmax(c, n);
  qsort(c, (size_t)n, sizeof *c, ascending);
  double mass = 0;
  int from = 0;
  while (from < n - 1 && (mass += c[from].p) <= 1 - p) from++;
  for (int i = from; i < n; i++) c[i - from] = c[i];
  qsort(c, (size_t)(n - from), sizeof *c, by_place);
  return n - from;
}

size_t nat_draw_room(int n) { return (size_t)n * sizeof(choice); }

int nat_draw(float *scores, int n, const nat_sampling *s, double u, void *room) {
  for (int i = 0; i < n; i++)
    if (!(scores[i] < INFINITY)) return -1 - i;
  if (!s->sample) return best(scores, n);
  const float temperature = (float)s->temperature;
  for (int i = 0; i < n; i++) scores[i] /= temperature;
  float least = -INFINITY;
  if (s->top_k > 0 && s->top_k < n) {
    float *copy = room;
    for (int i = 0; i < n; i++) copy[i] = scores[i];
    least = kth_largest(copy, n, s->top_k);
  }
  choice *c = room;
  int left = 0;
  for (int i = 0; i < n; i++)
    if (scores[i] >= least && scores[i] > -INFINITY) c[left++] = (choice){.score = scores[i], .at = i};
  if (left == 0) return 0;
  if (s->top_p < 1) left = nucleus(c, left, s->top_p);
  softmax(c, left);
  int last = 0;
  for (int i = 0; i < left; i++) {
    if (c[i].p == 0) continue;
    if (u < c[i].p) return c[i].at;
    u -= c[i].p;
    last = c[i].at;
  }
  return last; // rounding left u a little over the sum
}
