// Counting bytes that come from outside against a limit, before they are kept.
#ifndef EMSERVE_SERVER_MEMORY_BUDGET_H_
#define EMSERVE_SERVER_MEMORY_BUDGET_H_

#include <atomic>
#include <cstdint>
#include <utility>

namespace emserve::server {

// Bytes that several holders may hold together. Thread-safe.
class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // Counts `bytes` >= 0 if there is room.
  bool Reserve(int64_t bytes) {
    int64_t used = used_;
    do {
      if (bytes > max_bytes_ - used) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes));
    return true;
  }
  void Release(int64_t bytes) { used_ -= bytes; }

  int64_t used() const { return used_; }
  int64_t max_bytes() const { return max_bytes_; }

 private:
  const int64_t max_bytes_;
  std::atomic<int64_t> used_{0};
};

// What one holder has reserved, given back with it. The budget outlives it.
class MemoryHold {
 public:
  explicit MemoryHold(MemoryBudget& budget) : budget_(&budget) {}
  MemoryHold(MemoryHold&& other) noexcept
      : budget_(other.budget_), bytes_(std::exchange(other.bytes_, 0)) {}
  MemoryHold& operator=(MemoryHold&&) = delete;
  ~MemoryHold() { Drop(); }

  // Reserves `bytes` more; false, with what is held unchanged, if there is no room.
  bool Add(int64_t bytes) {
    if (!budget_->Reserve(bytes)) return false;
    bytes_ += bytes;
    return true;
  }
  void Drop() { budget_->Release(std::exchange(bytes_, 0)); }

 private:
  MemoryBudget* const budget_;
  int64_t bytes_ = 0;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_MEMORY_BUDGET_H_
