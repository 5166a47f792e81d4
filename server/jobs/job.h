// A job: what it is to do, where it is in its life, and what came of it.
#ifndef EMSERVE_SERVER_JOBS_JOB_H_
#define EMSERVE_SERVER_JOBS_JOB_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/runtime/pool.h"
#include "server/clock.h"
#include "server/jobs/event_log.h"
#include "server/jobs/sweep_row.h"
#include "server/registry/model_version.h"

namespace emserve::server {

class WatchHub;

struct FitJobResult {
  std::string model_version;  // "models/{model}/versions/{version}"
  std::shared_ptr<const FitReport> report;
};

struct PredictJobResult {
  std::string dataset;        // "datasets/{dataset}"
  std::string model_version;  // "models/{model}/versions/{version}"
};

enum class SweepCriterion { kBic, kAic, kIcl, kLogLikelihood };

struct SweepJobResult {
  std::vector<std::shared_ptr<const SweepRow>> rows;  // every candidate, by number
  int best = 0;                                       // number of the best candidate
  SweepCriterion criterion = SweepCriterion::kBic;    // what it was chosen by
  std::string model_version;  // that it became, "models/{model}/versions/{version}"
  std::shared_ptr<const FitReport> report;
};

// RESOURCE_EXHAUSTED (reason JOB_TOO_LARGE) for a job that needs more working memory than
// `max_working_bytes`, that of all jobs together.
absl::Status CheckWorkingBytes(int64_t working_bytes, int64_t max_working_bytes);

// RESOURCE_EXHAUSTED (reason OUT_OF_MEMORY): a job found less memory than it was promised.
absl::Status RanOutOfMemory();

// Gives an error about a field of a specification its path in the request that this came with.
// Null: errors stay as they are.
using PathMapper = std::function<absl::Status(const absl::Status& status)>;

// `status` as `at_path` has it.
inline absl::Status AtPath(const PathMapper& at_path, const absl::Status& status) {
  return status.ok() || at_path == nullptr ? status : at_path(status);
}

using JobResult = std::variant<std::monostate, FitJobResult, PredictJobResult, SweepJobResult>;

// How far a job is; the newest figures, never thinned.
struct JobProgress {
  int restart = 0;
  int64_t iteration = 0;
  double objective = 0;
  int64_t rows_done = 0;
  int64_t num_rows = 0;
  int candidates_done = 0;  // of a sweep
  int num_candidates = 0;   // 0: no sweep
};

class Job;

// What a job's work may use while it runs. Reports come from any thread and never block.
class JobContext {
 public:
  JobContext(Job& job, Pool::Share& share, std::stop_token stop, Clock clock);

  const std::string& job_id() const;
  Pool::Share& share() const { return share_; }
  const std::stop_token& stop() const { return stop_; }
  const Clock& clock() const { return clock_; }

  // `event.seconds` is filled in here.
  void ReportIteration(IterationEvent event);
  void ReportWarning(WarningEvent event);
  // There are `num_candidates` in all. Before the first of them ends.
  void ReportCandidates(int num_candidates);
  // One of them has ended.
  void ReportCandidate(CandidateEvent event);
  // `rows` more rows are done of `num_rows` in all.
  void ReportRows(int64_t rows, int64_t num_rows);

 private:
  Job& job_;
  Pool::Share& share_;
  const std::stop_token stop_;
  const Clock clock_;
  const absl::Time began_;
};

// What a job does. Run is called at most once, on a runner thread; destroyed when the job has
// ended.
class Work {
 public:
  virtual ~Work() = default;

  // Does it. Cancelled soon after context.stop() is requested.
  virtual absl::StatusOr<JobResult> Run(JobContext& context) = 0;

  // Memory that the work holds from the moment it is queued (inline data, reserved results), bytes.
  virtual int64_t held_bytes() const = 0;
  // Memory that Run will need on top of that, bytes.
  virtual int64_t working_bytes() const = 0;
};

// A view of a job at one moment.
struct JobSnapshot {
  std::string id;
  JobState state = JobState::kPending;
  std::string spec;  // as it was submitted; opaque here
  std::optional<absl::Duration> timeout;
  absl::Time create_time;
  std::optional<absl::Time> start_time;
  std::optional<absl::Time> end_time;
  absl::Status error;  // why it FAILED
  JobProgress progress;
  JobResult result;  // once SUCCEEDED
  int64_t last_sequence = 0;
};

// Thread-safe. Its life is driven by the JobTable; everybody else reads.
class Job {
 public:
  struct Options {
    std::string id;
    std::string spec;
    std::optional<absl::Duration> timeout;
    absl::Time create_time;
    int64_t ordinal = 0;  // 1, 2, 3, ... in order of creation
    int64_t max_events = 10000;
  };
  // `hub` hears of every change; it may be null and outlives the job's changes.
  Job(Options options, WatchHub* hub);

  const std::string& id() const { return options_.id; }
  int64_t ordinal() const { return options_.ordinal; }
  // When the timeout is over; InfiniteFuture without one.
  absl::Time deadline() const;
  JobState state() const;
  JobSnapshot Snapshot() const;
  const EventLog& log() const { return log_; }
  // Memory that the record itself holds, bytes.
  int64_t footprint() const;

 private:
  friend class JobContext;
  friend class JobTable;
  friend class WatchHub;

  // The steps of its life; each is logged. False when the state does not allow it (any more).
  bool Start(absl::Time now);
  enum class StopCause { kNone, kCancel, kDeadline, kDrain };
  // A running job is asked to stop; a pending one ends at once. The first cause counts.
  bool RequestStop(StopCause cause, absl::Time now);
  // Ends a running job with what its work returned.
  void Finish(absl::StatusOr<JobResult> result, absl::Time now);
  void EnterLocked(JobState state, absl::Time now);
  void EndStoppedLocked(StopCause cause, absl::Time now);
  void Notify(bool urgent) const;

  const Options options_;
  WatchHub* const hub_;
  EventLog log_;
  std::stop_source stop_;
  mutable std::mutex mutex_;  // guards what follows
  JobState state_ = JobState::kPending;
  StopCause stop_cause_ = StopCause::kNone;
  std::optional<absl::Time> start_time_;
  std::optional<absl::Time> end_time_;
  absl::Status error_;
  JobProgress progress_;
  JobResult result_;
  // Of the hub: whether anybody watches, and whether the hub already knows of news.
  mutable std::atomic<int> num_watchers_{0};
  mutable std::atomic<bool> has_news_{false};
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_JOB_H_
