#include "core/runtime/pool.h"

#include <algorithm>

namespace emserve {

// One call of For. Guarded by the pool's mutex, but for `body`, which is fixed.
struct Pool::Loop {
  absl::FunctionRef<void(int64_t, int)> body;
  int64_t count;
  int64_t next = 0;      // first index not yet given to a thread
  int64_t returned = 0;  // bodies that have returned
  std::vector<bool> slot_taken;
  std::condition_variable finished;

  // Slots of bodies that run at the same time differ; the smallest free one keeps workspaces warm.
  int TakeSlot() {
    const auto free = std::find(slot_taken.begin(), slot_taken.end(), false);
    *free = true;
    return static_cast<int>(free - slot_taken.begin());
  }
};

// The loops of one share that still have indices to give, in turn.
struct Pool::Queue {
  std::list<Loop*> loops;
};

Pool::Pool(int num_threads) : num_threads_(std::max(num_threads, 1)) {
  workers_.reserve(static_cast<size_t>(num_threads_ - 1));
  for (int i = 1; i < num_threads_; ++i) workers_.emplace_back([this] { Work(); });
}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
}

void Pool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return closing_ || !queues_.empty(); });
    if (queues_.empty()) return;
    // One index of one loop, then both go to the back of their lines.
    Queue& queue = *queues_.front();
    Loop& loop = *queue.loops.front();
    const int64_t index = loop.next++;
    if (loop.next == loop.count) {
      queue.loops.pop_front();
    } else {
      queue.loops.splice(queue.loops.end(), queue.loops, queue.loops.begin());
    }
    if (queue.loops.empty()) {
      queues_.pop_front();
    } else {
      queues_.splice(queues_.end(), queues_, queues_.begin());
    }
    const int slot = loop.TakeSlot();
    lock.unlock();
    loop.body(index, slot);
    lock.lock();
    loop.slot_taken[static_cast<size_t>(slot)] = false;
    // Notified under the lock: the loop lives on the caller's stack and is gone once the caller
    // sees the count.
    if (++loop.returned == loop.count) loop.finished.notify_one();
  }
}

Pool::Share::Share(Pool& pool) : pool_(pool), queue_(std::make_unique<Queue>()) {}
Pool::Share::~Share() = default;

void Pool::Share::For(int64_t count, absl::FunctionRef<void(int64_t index, int slot)> body) {
  if (count <= 1 || pool_.num_threads_ == 1) {
    for (int64_t index = 0; index < count; ++index) body(index, 0);
    return;
  }
  Loop loop{body, count, 0, 0, std::vector<bool>(static_cast<size_t>(pool_.num_threads_)), {}};
  std::unique_lock lock(pool_.mutex_);
  if (queue_->loops.empty()) pool_.queues_.push_back(queue_.get());
  queue_->loops.push_back(&loop);
  const int slot = loop.TakeSlot();
  // The caller keeps one index for itself, so a loop of n needs at most n - 1 helpers.
  const int64_t helpers = std::min<int64_t>(count - 1, pool_.num_threads_ - 1);
  for (int64_t i = 0; i < helpers; ++i) pool_.wake_.notify_one();
  while (loop.next < count) {
    const int64_t index = loop.next++;
    if (loop.next == count) {
      queue_->loops.remove(&loop);
      if (queue_->loops.empty()) pool_.queues_.remove(queue_.get());
    }
    lock.unlock();
    body(index, slot);
    lock.lock();
    ++loop.returned;
  }
  loop.finished.wait(lock, [&] { return loop.returned == count; });
}

}  // namespace emserve
