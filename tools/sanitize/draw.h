// Random numbers, and memory of exactly the size that is asked for.
#include <stdint.h>
#include <stdlib.h>

static uint64_t state;

static uint32_t draw(uint32_t n) { // xorshift64*
  state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
  return (uint32_t)(state * 0x2545f4914f6cdd1dull >> 33) % n;
}

static void *room_for(size_t bytes) {
  void *p;
  if (posix_memalign(&p, 64, bytes ? bytes : 1)) exit(2);
  return p;
}
