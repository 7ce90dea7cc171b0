#pragma once
#include "shim.hpp"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

// An allocator of tensor memory that keeps freed blocks for the next step, which asks for the same sizes again. glibc
// before 2.38 hardly ever reuses an aligned block for an equal one, so that a training's memory grows by fragments, and
// it returns large blocks to the system only to fault them in again.
namespace {

constexpr size_t kAlign = 64;             // of data; the header in front takes as much
constexpr size_t kSmallest = 16 << 10;    // smaller blocks are left to malloc
constexpr size_t kLargest = 64 << 20;     // larger ones too: they are weights or long logits, and malloc maps them one by one
constexpr size_t kMostIdle = 1ull << 30;  // idle bytes that are kept at most

struct Header {
  size_t capacity;  // of the data; 0: not to be kept
  size_t counted;   // what the block counts for
};
static_assert(sizeof(Header) <= kAlign);

// What tensors hold, idle blocks apart.
std::atomic<int64_t> held{0}, most{0};

void count(int64_t n) {
  int64_t now = held.fetch_add(n, std::memory_order_relaxed) + n, seen = most.load(std::memory_order_relaxed);
  while (now > seen && !most.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
  }
}

struct Idle {
  std::mutex mutex;
  std::map<size_t, std::vector<char *>> by_capacity;
  size_t bytes = 0;

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

  bool keep(char *data, size_t capacity) {
    std::lock_guard<std::mutex> lock(mutex);
    if (bytes + capacity > kMostIdle) return false;
    by_capacity[capacity].push_back(data);
    bytes += capacity;
    return true;
  }

  void clear() {
    std::lock_guard<std::mutex> lock(mutex);
    for (auto &[_, blocks] : by_capacity)
      for (char *data : blocks) std::free(data - kAlign);
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
  size_t capacity = reinterpret_cast<Header *>(data - kAlign)->capacity;
  count(-(int64_t) reinterpret_cast<Header *>(data - kAlign)->counted);
  if (!capacity || !idle().keep(data, capacity)) std::free(data - kAlign);
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
    if (capacity)
      if (char *data = idle().take(capacity)) {
        count(reinterpret_cast<Header *>(data - kAlign)->counted);
        return data;
      }
    void *p = nullptr;
    size_t want = (capacity ? capacity : n) + kAlign;
    if (posix_memalign(&p, kAlign, want)) {
      idle().clear();
      TORCH_CHECK(!posix_memalign(&p, kAlign, want), "out of memory: a tensor of ", n, " bytes does not fit");
    }
    *static_cast<Header *>(p) = {capacity, want};
    count(want);
    return static_cast<char *>(p) + kAlign;
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
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}
