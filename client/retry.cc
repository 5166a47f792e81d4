#include "client/retry.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proto/wire/status.h"

namespace emserve::client {

bool IsBrokenConnection(const absl::Status& status) {
  if (absl::IsUnavailable(status)) return true;
  const bool from_server = status.GetPayload(kReasonPayload).has_value();
  return (absl::IsUnknown(status) || absl::IsInternal(status)) && !from_server;
}

absl::Status Sleep(absl::Duration duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock<std::mutex> lock(mutex);
  wake.wait_for(lock, stop, absl::ToChronoNanoseconds(duration), [] { return false; });
  return stop.stop_requested() ? absl::CancelledError("stopped on request") : absl::OkStatus();
}

Retry::Retry(const RetryPolicy& policy, std::stop_token stop)
    : policy_(policy), stop_(std::move(stop)), random_(std::random_device()()) {}

absl::Status Retry::Wait(const absl::Status& failure) {
  if (stop_.stop_requested()) return absl::CancelledError("stopped on request");
  if (++failures_ >= policy_.max_failures) {
    if (failures_ == 1) return failure;
    absl::Status last(failure.code(),
                      absl::StrCat(failure.message(), "; gave up after ", failures_, " attempts"));
    failure.ForEachPayload([&last](absl::string_view url, const absl::Cord& payload) {
      last.SetPayload(url, payload);
    });
    return last;
  }
  absl::Duration delay = policy_.initial_delay;
  for (int i = 1; i < failures_ && delay < policy_.max_delay; ++i) delay *= 2;
  delay = std::min(delay, policy_.max_delay);
  delay *= std::uniform_real_distribution<double>(0.75, 1.25)(random_);
  int64_t asked_ms = 0;
  if (const auto asked = failure.GetPayload(kRetryPayload);
      asked.has_value() && absl::SimpleAtoi(std::string(*asked), &asked_ms)) {
    delay = std::max(delay, std::min(absl::Milliseconds(asked_ms), absl::Minutes(1)));
  }
  return Sleep(delay, stop_);
}

}  // namespace emserve::client
