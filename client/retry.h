// Which failures are worth another attempt, and how long to wait before it.
#ifndef EMSERVE_CLIENT_RETRY_H_
#define EMSERVE_CLIENT_RETRY_H_

#include <random>
#include <stop_token>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace emserve::client {

struct RetryPolicy {
  // Failures in a row, without any progress between them, after which a call gives up; at least 1.
  // Default: 8, which with the delays below rides out about 15 seconds without the server.
  int max_failures = 8;
  // Delay after the first failure; it doubles with each further one.
  absl::Duration initial_delay = absl::Milliseconds(100);
  // Longest delay.
  absl::Duration max_delay = absl::Seconds(5);
};

// True if the connection broke or the server is not there now, so that an idempotent call may
// succeed when repeated: UNAVAILABLE, or an UNKNOWN or INTERNAL that carries no reason of the
// server and so comes from the transport.
bool IsBrokenConnection(const absl::Status& status);

// Counts the failures of one operation and waits between its attempts. Not thread-safe.
class Retry {
 public:
  Retry(const RetryPolicy& policy, std::stop_token stop);

  // After a failure: waits (with jitter, at least as long as the server asked for) and returns OK,
  // or returns why not to go on: `failure` itself after the last attempt, Cancelled if stopped.
  absl::Status Wait(const absl::Status& failure);
  // After progress: the count starts again.
  void Reset() { failures_ = 0; }

 private:
  const RetryPolicy policy_;
  const std::stop_token stop_;
  std::minstd_rand random_;
  int failures_ = 0;
};

// Waits, or returns Cancelled as soon as `stop` is requested.
absl::Status Sleep(absl::Duration duration, const std::stop_token& stop);

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_RETRY_H_
