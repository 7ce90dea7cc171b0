#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <sys/mman.h>

#include "native.h"

// Large pages spare a twentieth of the time that reading takes, so memory for more than one begins on one.
enum { HUGE = 2 << 20 };

static size_t whole(size_t bytes) { return (bytes + 65535) / 65536 * 65536; }

void *nat_memory(size_t bytes) {
  const size_t size = whole(bytes), slack = size >= HUGE ? HUGE : 0;
  char *p = mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  if (slack) {
    const size_t before = (HUGE - (size_t)p % HUGE) % HUGE;
    if (before) munmap(p, before);
    munmap(p + before + size, slack - before);
    p += before;
#ifdef MADV_HUGEPAGE
    madvise(p, size, MADV_HUGEPAGE);
#endif
  }
  return p;
}

void nat_memory_free(void *p, size_t bytes) {
  if (p) munmap(p, whole(bytes));
}
