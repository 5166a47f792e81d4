// Threads for numeric work, shared fairly.
//
// A Pool owns worker threads; each fit holds a Share. Parallel loops of different shares are served
// in turn, one index at a time, so a small fit that arrives during a long one gets threads at once.
// The calling thread works too, so nested loops (restarts around lanes) never deadlock and a loop
// of one index costs no hand-over.
#ifndef EMSERVE_CORE_RUNTIME_POOL_H_
#define EMSERVE_CORE_RUNTIME_POOL_H_

#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace emserve {

class Pool {
 public:
  class Share;

  // `num_threads` >= 1 counts the calling thread: num_threads - 1 workers are started.
  explicit Pool(int num_threads);
  ~Pool();  // Precondition: no Share is alive.
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int num_threads() const { return num_threads_; }

 private:
  struct Loop;
  struct Queue;
  void Work();
  int64_t TakeIndex(Loop& loop);
  void Close(Loop& loop);
  void RunBody(Loop& loop, int64_t index, int slot, std::unique_lock<std::mutex>& lock);
  const int num_threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool closing_ = false;
  std::list<Queue*> queues_;  // shares with loops that still have indices to give, in turn
  std::vector<std::jthread> workers_;
};

// One fit's claim on the pool. Thread-safe; loops may nest and may run from several threads at
// once.
class Pool::Share {
 public:
  explicit Share(Pool& pool);
  ~Share();  // Precondition: no loop is running.
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;

  // Largest `slot` + 1 that For passes to its body.
  int num_slots() const { return pool_.num_threads(); }

  // Calls body(index, slot) once for every index in [0, count); returns when all have returned.
  // Calls that run at the same time inside one For have different slots, so a slot can own a
  // workspace. After a body has thrown, no further index is given out; For waits for the bodies
  // that still run and throws the first exception.
  void For(int64_t count, absl::FunctionRef<void(int64_t index, int slot)> body);

 private:
  friend class Pool;
  Pool& pool_;
  std::unique_ptr<Queue> queue_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_RUNTIME_POOL_H_
