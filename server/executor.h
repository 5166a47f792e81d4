// A few threads for work that must not run in a network reactor: decoding, predicting, sealing.
#ifndef EMSERVE_SERVER_EXECUTOR_H_
#define EMSERVE_SERVER_EXECUTOR_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace emserve::server {

// Runs tasks in the order they came. Tasks must not throw and must not wait for later tasks.
// Thread-safe.
class Executor {
 public:
  // `num_threads` >= 1; at most `max_queued` submitted tasks wait.
  Executor(int num_threads, int64_t max_queued);
  ~Executor();  // Stop().
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Queues `task`. RESOURCE_EXHAUSTED (reason EXECUTOR_QUEUE_FULL, with a retry delay) when
  // `max_queued` tasks wait, UNAVAILABLE once stopped; the task is then not run.
  absl::Status Submit(std::function<void()> task);

  // Queues `task` beyond the bound: for work that was admitted elsewhere, such as sealing. Once
  // stopped it runs on the calling thread.
  void Post(std::function<void()> task);

  // Refuses new tasks, runs all that wait, joins the threads. Not to be called from a task.
  void Stop();

  // Tasks that wait now.
  int64_t num_queued() const;

 private:
  void Work();

  const int64_t max_queued_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::mutex stop_mutex_;  // held while joining, so that Stop may be called twice
  std::vector<std::jthread> threads_;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_EXECUTOR_H_
