#pragma once
#include "shim.hpp"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

// An allocator of tensor memory that keeps freed blocks for the next step, which asks for the same sizes again. glibc
// before 2.38 hardly ever reuses an aligned block for an equal one, so that a training's memory grows by fragments, and
// it returns large blocks to the system only to fault them in again.
namespace {

constexpr size_t kAlign = 64;               // of data; the header in front takes as much
constexpr size_t kSmallest = 16 << 10;      // smaller blocks are left to malloc
constexpr size_t kMapped = 256 << 10;       // from here on a block is a mapping of its own, which goes back to the system whole
constexpr size_t kLargest = 64 << 20;       // larger ones are not kept: they are weights, gradients or long logits
constexpr int64_t kAlwaysIdle = 32 << 20;    // idle bytes that are kept in any case
constexpr int64_t kMostSpare = 256 << 20;    // idle bytes beyond what tensors held at their most

struct Header {
  size_t capacity;  // of the data; 0: not to be kept
  size_t counted;   // what the block counts for
  size_t mapped;    // length of its mapping; 0: malloc's
  uint64_t stamp;   // when it became idle
};
static_assert(sizeof(Header) <= kAlign);

Header *header(char *data) { return reinterpret_cast<Header *>(data - kAlign); }

// What tensors hold, idle blocks apart.
std::atomic<int64_t> held{0}, most{0}, ever{0};

void raise(std::atomic<int64_t> &mark, int64_t now) {
  int64_t seen = mark.load(std::memory_order_relaxed);
  while (now > seen && !mark.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
  }
}

void count(int64_t n) {
  int64_t now = held.fetch_add(n, std::memory_order_relaxed) + n;
  raise(most, now);
  raise(ever, now);
}

void give_back(char *data) {
  Header *h = header(data);
  if (h->mapped)
    munmap(data - kAlign, h->mapped);
  else
    std::free(data - kAlign);
}

struct Idle {
  std::mutex mutex;
  std::map<size_t, std::deque<char *>> by_capacity;  // the oldest in front
  size_t bytes = 0;
  uint64_t clock = 0;

  char *take(size_t capacity) {
    std::lock_guard<std::mutex> lock(mutex);
    auto it = by_capacity.lower_bound(capacity);
    if (it == by_capacity.end() || it->first > capacity + capacity / 2) return nullptr;
    char *data = it->second.back();
    it->second.pop_back();
    bytes -= it->first;
    if (it->second.empty()) by_capacity.erase(it);
    return data;
  }

  void keep(char *data, size_t capacity) {
    std::lock_guard<std::mutex> lock(mutex);
    header(data)->stamp = clock++;
    by_capacity[capacity].push_back(data);
    bytes += capacity;
  }

  // Idle blocks must not let the process grow beyond what its tensors need at their most, by more than an eighth and
  // kMostSpare (the most since the last trim): before
  // a new block is made, those that nobody asked for longest go back to the system.
  void make_room(size_t wanted) {
    std::lock_guard<std::mutex> lock(mutex);
    int64_t now = held.load(std::memory_order_relaxed) + (int64_t)wanted, peak = std::max(ever.load(std::memory_order_relaxed), now);
    size_t allowed = std::max(peak + std::min(peak / 8, kMostSpare) - now, kAlwaysIdle);
    while (bytes > allowed) {
      auto oldest = by_capacity.begin();
      for (auto it = by_capacity.begin(); it != by_capacity.end(); ++it)
        if (header(it->second.front())->stamp < header(oldest->second.front())->stamp) oldest = it;
      give_back(oldest->second.front());
      oldest->second.pop_front();
      bytes -= oldest->first;
      if (oldest->second.empty()) by_capacity.erase(oldest);
    }
  }

  void clear() {
    std::lock_guard<std::mutex> lock(mutex);
    for (auto &[_, blocks] : by_capacity)
      for (char *data : blocks) give_back(data);
    by_capacity.clear();
    bytes = 0;
  }
};

Idle &idle() {
  static Idle *blocks = new Idle;  // never destroyed: tensors are freed until the very end of the process
  return *blocks;
}

// Eight capacities per power of two: at most an eighth is wasted, and lengths that differ a little share their blocks.
size_t round_up(size_t n) {
  size_t step = (size_t(1) << (63 - __builtin_clzll(n))) / 8;
  return (n + step - 1) / step * step;
}

void release(void *p) {
  if (!p) return;
  char *data = static_cast<char *>(p);
  count(-(int64_t)header(data)->counted);
  if (header(data)->capacity)
    idle().keep(data, header(data)->capacity);
  else
    give_back(data);
}

// fresh is a new block of want bytes with its header, or null.
char *fresh(size_t want, bool map) {
  void *p = nullptr;
  size_t mapped = 0;
  if (map) {
    mapped = (want + 4095) / 4096 * 4096;
    p = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return nullptr;
  } else if (posix_memalign(&p, kAlign, want)) {
    return nullptr;
  }
  char *data = static_cast<char *>(p) + kAlign;
  header(data)->mapped = mapped;
  return data;
}

struct Blocks final : c10::Allocator {
  c10::DataPtr allocate(size_t n) const override {
    char *data = n ? block(n) : nullptr;
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  static char *block(size_t n) {
    TORCH_CHECK(n <= SIZE_MAX / 2, "tensor of ", n, " bytes");
    size_t capacity = n < kSmallest || n > kLargest ? 0 : round_up(n);
    char *data = capacity ? idle().take(capacity) : nullptr;
    if (!data) {
      size_t want = (capacity ? capacity : n) + kAlign;
      bool map = capacity >= kMapped;
      if (n >= kSmallest) idle().make_room(want);
      if (!(data = fresh(want, map))) {
        idle().clear();
        TORCH_CHECK(data = fresh(want, map), "out of memory: a tensor of ", n, " bytes does not fit");
      }
      header(data)->capacity = capacity;
      header(data)->counted = want;
    }
    count(header(data)->counted);
    return data;
  }
};

Blocks blocks;
const bool installed = (c10::SetCPUAllocator(&blocks, 1), true);  // before the first tensor

}  // namespace

extern "C" void shim_held(int64_t *now, int64_t *peak, int reset) {
  *now = held.load();
  *peak = most.load();
  if (reset) most.store(*now);
}

extern "C" void shim_trim(void) {
  idle().clear();
  ever.store(held.load());
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}
