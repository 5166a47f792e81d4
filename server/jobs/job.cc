#include "server/jobs/job.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/errors.h"
#include "server/jobs/watch_hub.h"

namespace emserve::server {
namespace {

constexpr int64_t kRecordBytes = 2048;  // the record itself and its place in the table's indices

int64_t Footprint(const FitReport& report) {
  int64_t bytes = static_cast<int64_t>(report.optima.size() * sizeof(Optimum));
  for (const RestartOutcome& outcome : report.restarts) {
    bytes += static_cast<int64_t>(sizeof(RestartOutcome) + outcome.message.size());
  }
  return bytes;
}

int64_t Footprint(const JobResult& result) {
  if (const auto* fit = std::get_if<FitJobResult>(&result)) {
    return fit->report == nullptr ? 0 : Footprint(*fit->report);
  }
  const auto* const sweep = std::get_if<SweepJobResult>(&result);
  if (sweep == nullptr) return 0;
  int64_t bytes = sweep->report == nullptr ? 0 : Footprint(*sweep->report);
  for (const auto& row : sweep->rows) {
    bytes +=
        static_cast<int64_t>(sizeof(SweepRow) + row->message.size() + row->status.message().size());
  }
  return bytes;
}

constexpr char kLessMemory[] =
    "; fit fewer components, fewer columns, a simpler covariance or a shorter max_duration, or "
    "predict fewer paths, shorter sequences or fewer rows";

}  // namespace

absl::Status CheckWorkingBytes(int64_t working_bytes, int64_t max_working_bytes) {
  if (working_bytes <= max_working_bytes) return absl::OkStatus();
  return ResourceExhausted(
      "JOB_TOO_LARGE", "max_working_bytes",
      absl::StrCat("got a job that needs ", working_bytes,
                   " bytes of working memory, must need at most ", max_working_bytes, kLessMemory),
      absl::ZeroDuration());
}

absl::Status RanOutOfMemory() {
  return ResourceExhausted("OUT_OF_MEMORY", "memory",
                           absl::StrCat("the job needs more memory than there is", kLessMemory),
                           absl::ZeroDuration());
}

JobContext::JobContext(Job& job, Pool::Share& share, std::stop_token stop, Clock clock)
    : job_(job),
      share_(share),
      stop_(std::move(stop)),
      clock_(std::move(clock)),
      began_(clock_()) {}

const std::string& JobContext::job_id() const { return job_.id(); }

void JobContext::ReportIteration(IterationEvent event) {
  const absl::Time now = clock_();
  event.seconds = absl::ToDoubleSeconds(now - began_);
  {
    const std::lock_guard lock(job_.mutex_);
    job_.progress_.restart = event.restart;
    job_.progress_.iteration = event.iteration;
    job_.progress_.objective = event.objective;
  }
  if (job_.log_.Append(now, event)) job_.Notify(/*urgent=*/false);
}

void JobContext::ReportWarning(WarningEvent event) {
  if (job_.log_.Append(clock_(), std::move(event))) job_.Notify(/*urgent=*/false);
}

void JobContext::ReportCandidates(int num_candidates) {
  const std::lock_guard lock(job_.mutex_);
  job_.progress_.num_candidates = num_candidates;
}

void JobContext::ReportCandidate(CandidateEvent event) {
  {
    const std::lock_guard lock(job_.mutex_);
    ++job_.progress_.candidates_done;
  }
  if (job_.log_.Append(clock_(), std::move(event))) job_.Notify(/*urgent=*/false);
}

void JobContext::ReportRows(int64_t rows, int64_t num_rows) {
  const std::lock_guard lock(job_.mutex_);
  job_.progress_.rows_done += rows;
  job_.progress_.num_rows = num_rows;
}

Job::Job(Options options, WatchHub* hub)
    : options_(std::move(options)), hub_(hub), log_(options_.max_events) {
  log_.Append(options_.create_time, StateChangeEvent{JobState::kPending});
}

absl::Time Job::deadline() const {
  return options_.timeout.has_value() ? options_.create_time + *options_.timeout
                                      : absl::InfiniteFuture();
}

JobState Job::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

JobSnapshot Job::Snapshot() const {
  JobSnapshot snapshot;
  snapshot.id = options_.id;
  snapshot.spec = options_.spec;
  snapshot.timeout = options_.timeout;
  snapshot.create_time = options_.create_time;
  const std::lock_guard lock(mutex_);
  snapshot.state = state_;
  snapshot.start_time = start_time_;
  snapshot.end_time = end_time_;
  snapshot.error = error_;
  snapshot.progress = progress_;
  snapshot.result = result_;
  snapshot.last_sequence = log_.last_sequence();
  return snapshot;
}

int64_t Job::footprint() const {
  const std::lock_guard lock(mutex_);
  return kRecordBytes + static_cast<int64_t>(options_.spec.size()) + log_.footprint() +
         Footprint(result_);
}

void Job::Notify(bool urgent) const {
  if (hub_ != nullptr) hub_->Notify(*this, urgent);
}

// The state and its event change together, so that a reader who sees the end of the log of an ended
// job has seen all of it.
void Job::EnterLocked(JobState state, absl::Time now) {
  state_ = state;
  if (state == JobState::kRunning) start_time_ = now;
  if (IsEnded(state)) end_time_ = now;
  log_.Append(now, StateChangeEvent{state});
}

bool Job::Start(absl::Time now) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != JobState::kPending) return false;
    EnterLocked(JobState::kRunning, now);
  }
  Notify(/*urgent=*/true);
  return true;
}

void Job::EndStoppedLocked(StopCause cause, absl::Time now) {
  if (cause == StopCause::kDeadline) {
    error_ = WithReason(absl::DeadlineExceededError(absl::StrCat(
                            "timeout: the job did not end within ",
                            absl::FormatDuration(options_.timeout.value_or(absl::ZeroDuration())),
                            " of its creation")),
                        "JOB_TIMEOUT");
    return EnterLocked(JobState::kFailed, now);
  }
  if (cause == StopCause::kDrain) {
    log_.Append(now, WarningEvent{"SERVER_DRAINING", "cancelled because the server shuts down"});
  }
  EnterLocked(JobState::kCancelled, now);
}

bool Job::RequestStop(StopCause cause, absl::Time now) {
  {
    const std::lock_guard lock(mutex_);
    if (IsEnded(state_)) return false;
    if (state_ == JobState::kPending) {
      EndStoppedLocked(cause, now);
    } else if (state_ == JobState::kRunning) {
      stop_cause_ = cause;
      EnterLocked(JobState::kCancelling, now);
    }
  }
  stop_.request_stop();
  Notify(/*urgent=*/true);
  return true;
}

void Job::Finish(absl::StatusOr<JobResult> result, absl::Time now) {
  {
    const std::lock_guard lock(mutex_);
    if (result.ok()) {
      result_ = *std::move(result);
      EnterLocked(JobState::kSucceeded, now);
    } else if (absl::IsCancelled(result.status()) && stop_cause_ != StopCause::kNone) {
      EndStoppedLocked(stop_cause_, now);
    } else {
      error_ = result.status();
      EnterLocked(JobState::kFailed, now);
    }
  }
  Notify(/*urgent=*/true);
}

}  // namespace emserve::server
