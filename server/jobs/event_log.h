// The append-only log of a job: what happened, in order, for any number of readers at any speed.
#ifndef EMSERVE_SERVER_JOBS_EVENT_LOG_H_
#define EMSERVE_SERVER_JOBS_EVENT_LOG_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "core/em/fit.h"
#include "server/jobs/sweep_row.h"

namespace emserve::server {

enum class JobState { kPending, kRunning, kCancelling, kSucceeded, kFailed, kCancelled };

// Succeeded, failed or cancelled.
bool IsEnded(JobState state);
// UPPER_SNAKE, e.g. "RUNNING".
const char* JobStateName(JobState state);

struct IterationEvent {
  int restart = 0;
  int64_t iteration = 0;                        // 0 is the start
  double objective = 0;                         // nats
  std::optional<double> change = std::nullopt;  // none at iteration 0
  double seconds = 0;                           // since the job began to run
  Phase phase = Phase::kClimb;
  int candidate = -1;  // of a sweep; -1: of a fit
};

struct StateChangeEvent {
  JobState state = JobState::kPending;
};

struct WarningEvent {
  std::string reason;  // UPPER_SNAKE
  std::string message;
  int restart = -1;    // -1: concerns none
  int candidate = -1;  // of a sweep; -1: of a fit
};

// A candidate of a sweep has ended.
struct CandidateEvent {
  std::shared_ptr<const SweepRow> row;  // never null
};

struct JobEvent {
  int64_t sequence = 0;  // 1, 2, 3, ... without a gap
  absl::Time time;
  std::variant<IterationEvent, StateChangeEvent, WarningEvent, CandidateEvent> what;
};

// A bounded run of events for a reader.
struct EventBatch {
  std::vector<JobEvent> events;  // ascending
  int64_t cursor = 0;            // sequence up to which the reader is served; its next `after`
  int64_t skipped_count = 0;     // stored events between the old cursor and this one left out
};

// Bounded: iterations are thinned before they get a sequence number. Half of the room takes them as
// they come; then the stride between those that are kept doubles as the other half fills, so that a
// fit may run for ever. Warnings of one reason are thinned likewise after their first hundred;
// candidates share their room, and state changes are always kept. The first time anything is left
// out the warning EVENTS_THINNED says so.
//
// Thread-safe. Writers hold a lock for the time of one append; readers take none and never delay a
// writer.
class EventLog {
 public:
  // Room for `max_events` >= 100 events.
  explicit EventLog(int64_t max_events);
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // Each returns whether something was stored.
  bool Append(absl::Time time, const IterationEvent& event);
  bool Append(absl::Time time, WarningEvent event);
  bool Append(absl::Time time, StateChangeEvent event);
  bool Append(absl::Time time, CandidateEvent event);

  // Sequence of the newest event, 0 if there is none.
  int64_t last_sequence() const { return published_.load(std::memory_order_acquire); }

  // The events after sequence `after`, at most `max` >= 1 of them; none after a sequence that is
  // not there yet or negative. O(max).
  EventBatch Read(int64_t after, int max) const;

  // As Read, for a reader that may be far behind: if more than `max` events wait, iterations are
  // left out evenly so that the batch reaches the newest event, as far as state changes and
  // warnings, which are never left out, have room. O(events after `after`).
  EventBatch ReadThinned(int64_t after, int max) const;

  // Memory in use, bytes.
  int64_t footprint() const;

 private:
  static constexpr int64_t kChunk = 64;
  using Chunk = std::array<JobEvent, kChunk>;

  // Which of a stream of events are kept: all of the first `full`, then `stage` events with stride
  // 2, `stage` with stride 4, ...
  class Thinner {
   public:
    Thinner(int64_t full, int64_t stage) : left_(full), stage_(stage) {}
    bool Keep();

   private:
    int64_t left_;  // events still kept with this stride
    int64_t stage_;
    int64_t stride_ = 1;
    int64_t since_ = 0;  // events since the last that was kept
  };

  template <typename Event>
  void Push(absl::Time time, Event event);
  void SayThinned(absl::Time time);
  const JobEvent& At(int64_t sequence) const;

  const int64_t max_warnings_;
  const int64_t max_iterations_;
  std::mutex writers_;  // guards all but the atomics
  Thinner iterations_;
  std::map<std::string, Thinner> warnings_;  // by reason
  int64_t num_iterations_ = 0;
  int64_t num_warnings_ = 0;
  bool said_thinned_ = false;
  // A chunk is made before its first event is published and never moves.
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::atomic<int64_t> published_{0};
  std::atomic<int64_t> footprint_{0};
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_EVENT_LOG_H_
