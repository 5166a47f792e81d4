#include "core/runtime/pool.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace emserve {

// One call of For. Guarded by the pool's mutex, but for `body` and `queue`, which are fixed.
struct Pool::Loop {
  absl::FunctionRef<void(int64_t, int)> body;
  Queue& queue;
  int64_t count;                 // indices to give out; cut short when a body throws
  int64_t next = 0;              // first index not yet given to a thread
  int64_t returned = 0;          // bodies that have returned
  std::exception_ptr failure{};  // the first
  std::vector<bool> slot_taken;
  std::condition_variable finished{};

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
    Queue& queue = *queues_.front();
    Loop& loop = *queue.loops.front();
    // Both go to the back of their lines, one index being taken.
    queue.loops.splice(queue.loops.end(), queue.loops, queue.loops.begin());
    queues_.splice(queues_.end(), queues_, queues_.begin());
    const int64_t index = TakeIndex(loop);
    const int slot = loop.TakeSlot();
    RunBody(loop, index, slot, lock);
    loop.slot_taken[static_cast<size_t>(slot)] = false;
    // Notified under the lock: the loop lives on the caller's stack and is gone once the caller
    // sees the count.
    if (loop.returned == loop.count) loop.finished.notify_one();
  }
}

// Precondition: `loop` has an index left. Its last one takes it out of the lines.
int64_t Pool::TakeIndex(Loop& loop) {
  const int64_t index = loop.next;
  if (index + 1 == loop.count) Close(loop);
  loop.next = index + 1;
  return index;
}

// Gives no further index of `loop` out.
void Pool::Close(Loop& loop) {
  loop.queue.loops.remove(&loop);
  if (loop.queue.loops.empty()) queues_.remove(&loop.queue);
}

// Calls the body without the lock. An exception stays with the loop: on a worker there is nobody to
// catch it, and on the caller's thread it would leave workers with a loop that is gone.
void Pool::RunBody(Loop& loop, int64_t index, int slot, std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  std::exception_ptr failure;
  try {
    loop.body(index, slot);
  } catch (...) {
    failure = std::current_exception();
  }
  lock.lock();
  ++loop.returned;
  if (failure == nullptr) return;
  if (loop.failure == nullptr) loop.failure = std::move(failure);
  if (loop.next < loop.count) Close(loop);
  loop.count = loop.next;
}

Pool::Share::Share(Pool& pool) : pool_(pool), queue_(std::make_unique<Queue>()) {}
Pool::Share::~Share() = default;

void Pool::Share::For(int64_t count, absl::FunctionRef<void(int64_t index, int slot)> body) {
  if (count <= 1 || pool_.num_threads_ == 1) {
    for (int64_t index = 0; index < count; ++index) body(index, 0);
    return;
  }
  Loop loop{.body = body,
            .queue = *queue_,
            .count = count,
            .slot_taken = std::vector<bool>(static_cast<size_t>(pool_.num_threads_))};
  // Allocated before the lines are touched: a failure must not leave one of them half changed.
  std::list<Loop*> of_queue = {&loop};
  std::list<Queue*> of_pool = {queue_.get()};
  std::unique_lock lock(pool_.mutex_);
  if (queue_->loops.empty()) pool_.queues_.splice(pool_.queues_.end(), of_pool);
  queue_->loops.splice(queue_->loops.end(), of_queue);
  const int slot = loop.TakeSlot();
  // The caller keeps one index for itself, so a loop of n needs at most n - 1 helpers.
  const int64_t helpers = std::min<int64_t>(count - 1, pool_.num_threads_ - 1);
  for (int64_t i = 0; i < helpers; ++i) pool_.wake_.notify_one();
  while (loop.next < loop.count) {
    const int64_t index = pool_.TakeIndex(loop);
    pool_.RunBody(loop, index, slot, lock);
  }
  loop.finished.wait(lock, [&] { return loop.returned == loop.count; });
  if (loop.failure == nullptr) return;
  lock.unlock();
  std::rethrow_exception(std::move(loop.failure));
}

}  // namespace emserve
