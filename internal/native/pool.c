// A pool of threads for jobs of microseconds: the caller is thread 0, every thread runs the job, and barriers inside it
// order its phases. Waiting spins briefly, then sleeps: two barriers of a decoder step are some 50 µs apart, and a wake
// costs as much; but on a machine where others want the core, or when no job comes, nobody burns it.
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "native.h"
#include "packed.h"
#include "product.h"

enum {
  SPINS = 4000,           // 50 to 200 µs
  FETCH_MOST = 20 << 10, // half of a first cache
};

struct nat_pool {
  int threads, started;
  nat_job job;
  void *arg;
  nat_desk desk; // of the job that runs
  atomic_int stop;
  _Alignas(64) atomic_uint jobs;    // given out so far
  _Alignas(64) atomic_uint phases;  // barriers passed so far
  _Alignas(64) atomic_int arrived;  // at the next one
  _Alignas(64) atomic_int sleeping; // threads on the condition
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  pthread_t thread[];
};

typedef struct {
  nat_pool *pool;
  int number;
} worker;

static inline void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Returns when *counter is no longer old.
static void await(nat_pool *p, atomic_uint *counter, unsigned old) {
  for (int i = 0; i < SPINS; i++) {
    if (atomic_load_explicit(counter, memory_order_acquire) != old) return;
    pause_briefly();
  }
  pthread_mutex_lock(&p->mutex);
  atomic_fetch_add(&p->sleeping, 1); // before the last look: advance looks at it after its change
  while (atomic_load(counter) == old) pthread_cond_wait(&p->changed, &p->mutex);
  atomic_fetch_sub(&p->sleeping, 1);
  pthread_mutex_unlock(&p->mutex);
}

static void advance(nat_pool *p, atomic_uint *counter) {
  atomic_fetch_add(counter, 1);
  if (atomic_load(&p->sleeping) == 0) return;
  pthread_mutex_lock(&p->mutex);
  pthread_cond_broadcast(&p->changed);
  pthread_mutex_unlock(&p->mutex);
}

// nat_pool_barrier returns when all threads have called it; what they wrote before is seen after it.
void nat_pool_barrier(nat_pool *p) {
  if (p->threads == 1) return;
  unsigned phase = atomic_load(&p->phases);
  if (atomic_fetch_add(&p->arrived, 1) + 1 == p->threads) {
    atomic_store(&p->arrived, 0);
    advance(p, &p->phases);
    return;
  }
  await(p, &p->phases, phase);
}

static void *work(void *arg) {
  worker w = *(worker *)arg;
  free(arg);
  nat_pool *p = w.pool;
  for (unsigned done = 0;; done++) {
    await(p, &p->jobs, done);
    if (atomic_load(&p->stop)) return NULL;
    p->job(p->arg, w.number, p->threads);
    nat_pool_barrier(p);
  }
}

void nat_pool_free(nat_pool *p) {
  if (p == NULL) return;
  atomic_store(&p->stop, 1);
  advance(p, &p->jobs);
  for (int i = 0; i < p->started; i++) pthread_join(p->thread[i], NULL);
  pthread_cond_destroy(&p->changed);
  pthread_mutex_destroy(&p->mutex);
  nat_desk_free(&p->desk);
  free(p);
}

// nat_pool_new starts threads-1 threads; NULL when the system refuses them.
nat_pool *nat_pool_new(int threads) {
  nat_pool *p = NULL;
  size_t size = sizeof *p + (size_t)threads * sizeof(pthread_t);
  if (posix_memalign((void **)&p, 64, size)) return NULL;
  *p = (nat_pool){.threads = threads};
  pthread_mutex_init(&p->mutex, NULL);
  pthread_cond_init(&p->changed, NULL);
  for (int i = 1; i < threads; i++) {
    worker *w = malloc(sizeof *w);
    if (w != NULL) *w = (worker){p, i};
    if (w == NULL || pthread_create(&p->thread[p->started], NULL, work, w)) {
      free(w);
      nat_pool_free(p);
      return NULL;
    }
    p->started++;
  }
  return p;
}

int nat_pool_threads(const nat_pool *p) { return p->threads; }
nat_desk *nat_pool_desk(nat_pool *p) { return &p->desk; }

// nat_pool_run returns when every thread has finished the job. One caller at a time.
void nat_pool_run(nat_pool *p, nat_job job, void *arg) {
  p->job = job;
  p->arg = arg;
  if (p->threads > 1) advance(p, &p->jobs);
  job(arg, 0, p->threads);
  nat_pool_barrier(p);
}

// nat_share is the part of n that belongs to a thread, cut at multiples of grain.
void nat_share(int n, int thread, int threads, int grain, int *from, int *to) {
  int pieces = (n + grain - 1) / grain;
  *from = (int)((long)pieces * thread / threads) * grain;
  *to = (int)((long)pieces * (thread + 1) / threads) * grain;
  if (*from > n) *from = n;
  if (*to > n) *to = n;
}

// nat_fetch brings row r and the next three nearer: what a thread reads first behind a barrier, asked for before it.
void nat_fetch(const nat_matrix *w, int r) {
  if (w->kind == NAT_FOREIGN) return;
  const char *from = w->data;
  size_t row = (size_t)w->cols * (w->kind == NAT_F32 ? 4 : 2);
  if (w->packed.lines) {
    from = (const char *)w->packed.lines;
    row = packed_row(w->cols);
  }
  from += row * (size_t)r;
  size_t n = 4 * row < FETCH_MOST ? 4 * row : FETCH_MOST;
  if (r + 4 > w->rows) return;
  for (size_t i = 0; i < n; i += 64) __builtin_prefetch(from + i);
}

typedef struct {
  const uint64_t *data;
  size_t n;
  uint64_t sum[256];
} reading;

static void reading_job(void *arg, int thread, int threads) {
  reading *r = arg;
  uint64_t a[8] = {0};
  size_t from = r->n / 8 * (size_t)thread / (size_t)threads * 8, to = r->n / 8 * (size_t)(thread + 1) / (size_t)threads * 8;
  for (size_t i = from; i < to; i += 8) {
    __builtin_prefetch(r->data + i + 128); // a tenth faster than without; it may point beyond the end
    for (int k = 0; k < 8; k++) a[k] += r->data[i + (size_t)k];
  }
  for (int k = 1; k < 8; k++) a[0] += a[k];
  r->sum[thread] = a[0];
}

uint64_t nat_read(nat_pool *pool, const void *data, size_t bytes) {
  reading r = {.data = data, .n = bytes / sizeof(uint64_t)};
  nat_pool_run(pool, reading_job, &r);
  uint64_t sum = 0;
  for (int t = 0; t < pool->threads; t++) sum += r.sum[t];
  return sum;
}
