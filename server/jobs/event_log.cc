#include "server/jobs/event_log.h"

#include <algorithm>
#include <utility>

namespace emserve::server {
namespace {

constexpr int64_t kStateChanges = 8;  // a life has fewer
constexpr int64_t kStages = 40;       // strides up to 2^40
constexpr int64_t kFullWarnings = 100;

int64_t Footprint(const SweepRow& row) {
  return static_cast<int64_t>(sizeof(SweepRow) + row.message.size() + row.status.message().size());
}

}  // namespace

bool IsEnded(JobState state) {
  return state == JobState::kSucceeded || state == JobState::kFailed ||
         state == JobState::kCancelled;
}

const char* JobStateName(JobState state) {
  switch (state) {
    case JobState::kPending:
      return "PENDING";
    case JobState::kRunning:
      return "RUNNING";
    case JobState::kCancelling:
      return "CANCELLING";
    case JobState::kSucceeded:
      return "SUCCEEDED";
    case JobState::kFailed:
      return "FAILED";
    case JobState::kCancelled:
      return "CANCELLED";
  }
  return "UNKNOWN";
}

bool EventLog::Thinner::Keep() {
  if (++since_ < stride_) return false;
  since_ = 0;
  if (--left_ == 0) {
    left_ = stage_;
    stride_ *= 2;
  }
  return true;
}

// A quarter of the room is for warnings, the rest but the state changes and the one warning about
// thinning for iterations.
EventLog::EventLog(int64_t max_events)
    : max_warnings_(max_events / 4),
      max_iterations_(max_events - max_warnings_ - kStateChanges - 1),
      iterations_(max_iterations_ / 2, std::max<int64_t>(max_iterations_ / 2 / kStages, 1)),
      chunks_(static_cast<size_t>((max_events + kChunk - 1) / kChunk)) {}

EventLog::~EventLog() = default;

template <typename Event>
void EventLog::Push(absl::Time time, Event event) {
  const int64_t index = published_.load(std::memory_order_relaxed);
  std::unique_ptr<Chunk>& chunk = chunks_[static_cast<size_t>(index / kChunk)];
  if (chunk == nullptr) {
    chunk = std::make_unique<Chunk>();
    footprint_ += static_cast<int64_t>(sizeof(Chunk));
  }
  (*chunk)[static_cast<size_t>(index % kChunk)] = {index + 1, time, std::move(event)};
  published_.store(index + 1, std::memory_order_release);
}

void EventLog::SayThinned(absl::Time time) {
  if (std::exchange(said_thinned_, true)) return;
  Push(time, WarningEvent{"EVENTS_THINNED",
                          "there are more events than are kept: from here on some are left out"});
}

bool EventLog::Append(absl::Time time, const IterationEvent& event) {
  const std::lock_guard lock(writers_);
  if (num_iterations_ == max_iterations_ || !iterations_.Keep()) {
    SayThinned(time);
    return false;
  }
  ++num_iterations_;
  Push(time, event);
  return true;
}

bool EventLog::Append(absl::Time time, WarningEvent event) {
  const std::lock_guard lock(writers_);
  Thinner& thinner =
      warnings_.try_emplace(event.reason, std::min(kFullWarnings, max_warnings_), 1).first->second;
  if (num_warnings_ == max_warnings_ || !thinner.Keep()) {
    SayThinned(time);
    return false;
  }
  ++num_warnings_;
  footprint_ += static_cast<int64_t>(event.reason.size() + event.message.size());
  Push(time, std::move(event));
  return true;
}

bool EventLog::Append(absl::Time time, StateChangeEvent event) {
  const std::lock_guard lock(writers_);
  Push(time, event);
  return true;
}

bool EventLog::Append(absl::Time time, CandidateEvent event) {
  const std::lock_guard lock(writers_);
  if (num_warnings_ == max_warnings_) {
    SayThinned(time);
    return false;
  }
  ++num_warnings_;
  footprint_ += Footprint(*event.row);
  Push(time, std::move(event));
  return true;
}

const JobEvent& EventLog::At(int64_t sequence) const {
  const auto index = static_cast<size_t>(sequence - 1);
  return (*chunks_[index / kChunk])[index % kChunk];
}

EventBatch EventLog::Read(int64_t after, int max) const {
  EventBatch batch;
  batch.cursor = after;
  const int64_t last = last_sequence();
  if (after < 0 || after >= last) return batch;
  batch.cursor = after + std::min<int64_t>(max, last - after);
  for (int64_t s = after + 1; s <= batch.cursor; ++s) batch.events.push_back(At(s));
  return batch;
}

EventBatch EventLog::ReadThinned(int64_t after, int max) const {
  const int64_t last = last_sequence();
  if (after < 0 || after >= last || last - after <= max) return Read(after, max);
  const auto is_iteration = [this](int64_t s) {
    return std::holds_alternative<IterationEvent>(At(s).what);
  };
  int64_t num_iterations = 0;
  for (int64_t s = after + 1; s <= last; ++s) num_iterations += is_iteration(s) ? 1 : 0;
  const int64_t num_others = last - after - num_iterations;
  const int64_t room = std::max<int64_t>(max - num_others, 0);

  EventBatch batch;
  batch.cursor = after;
  int64_t seen = 0;
  for (int64_t s = after + 1; s <= last; ++s) {
    if (is_iteration(s)) {
      // Of every num_iterations / room the last, so that the newest is among them.
      ++seen;
      if (seen * room / num_iterations == (seen - 1) * room / num_iterations) {
        batch.cursor = s;
        continue;
      }
    } else if (static_cast<int>(batch.events.size()) == max) {
      break;  // the rest waits for the next batch
    }
    batch.events.push_back(At(s));
    batch.cursor = s;
  }
  batch.skipped_count = batch.cursor - after - static_cast<int64_t>(batch.events.size());
  return batch;
}

int64_t EventLog::footprint() const {
  return footprint_ + static_cast<int64_t>(chunks_.size() * sizeof(chunks_[0]));
}

}  // namespace emserve::server
