#include "server/executor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

// Long enough for a queue of short tasks to get shorter, short enough for a person.
constexpr absl::Duration kRetryDelay = absl::Milliseconds(200);

}  // namespace

Executor::Executor(int num_threads, int64_t max_queued) : max_queued_(max_queued) {
  for (int i = 0; i < std::max(num_threads, 1); ++i) threads_.emplace_back([this] { Work(); });
}

Executor::~Executor() { Stop(); }

absl::Status Executor::Submit(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      return WithReason(absl::UnavailableError("the server is shutting down"), "DRAINING");
    }
    if (static_cast<int64_t>(tasks_.size()) >= max_queued_) {
      return ResourceExhausted("EXECUTOR_QUEUE_FULL", "max_pending_calls",
                               absl::StrCat("got one more call than the ", max_queued_,
                                            " that may wait; try again later"),
                               kRetryDelay);
    }
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
  return absl::OkStatus();
}

void Executor::Post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) {
      tasks_.push_back(std::move(task));
      task = nullptr;
    }
  }
  if (task != nullptr) return task();
  wake_.notify_one();
}

void Executor::Stop() {
  const std::lock_guard stop_lock(stop_mutex_);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  threads_.clear();
}

int64_t Executor::num_queued() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(tasks_.size());
}

void Executor::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds goes before the lock is taken
    lock.lock();
  }
}

}  // namespace emserve::server
