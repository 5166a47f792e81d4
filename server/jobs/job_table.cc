#include "server/jobs/job_table.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <new>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/errors.h"
#include "server/names.h"

namespace emserve::server {
namespace {

constexpr char kListName[] = "jobs";
// Longer graces are cut: they would overflow the clock that waits.
constexpr absl::Duration kLongestGrace = absl::Hours(24 * 365);

absl::Status Draining() {
  return WithReason(absl::UnavailableError("the server is shutting down and takes no new jobs"),
                    "DRAINING");
}

// Runs the work; whatever it throws ends this job alone.
absl::StatusOr<JobResult> RunWork(Work& work, JobContext& context) {
  try {
    return work.Run(context);
  } catch (const std::bad_alloc&) {
    return RanOutOfMemory();
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("the job's work threw: ", error.what()));
  }
}

}  // namespace

JobTable::JobTable(JobTableOptions options, Pool& pool, WatchHub& hub)
    : options_(std::move(options)), pool_(pool), hub_(hub) {
  timer_ = hub_.AddTimer([this](absl::Time now) { return EnforceDeadlines(now); });
  for (int i = 0; i < std::max(options_.max_running_jobs, 1); ++i) {
    runners_.emplace_back([this](std::stop_token stop) { RunJobs(std::move(stop)); });
  }
}

JobTable::~JobTable() {
  Drain(absl::ZeroDuration());
  hub_.RemoveTimer(timer_);
  for (std::jthread& runner : runners_) runner.request_stop();
  {
    const std::lock_guard lock(mutex_);  // a runner is either waiting or will see the request
  }
  queue_changed_.notify_all();
  runners_.clear();
}

absl::StatusOr<std::shared_ptr<const Job>> JobTable::Create(NewJob request) {
  if (!request.id.empty()) {
    if (absl::Status status = CheckId("job_id", request.id); !status.ok()) return status;
  }
  if (absl::Status status = CheckRequestId(request.request_id); !status.ok()) return status;
  if (request.timeout.has_value() && !(*request.timeout > absl::ZeroDuration())) {
    return InvalidArgument("timeout", absl::StrCat("got ", absl::FormatDuration(*request.timeout),
                                                   ", must be positive"));
  }
  absl::StatusOr<std::shared_ptr<Entry>> entry = Admit(request);
  if (!entry.ok()) return entry.status();
  if ((*entry)->job != nullptr) return (*entry)->job;

  // The place in the table is held; nobody else can take the id, the key or the room meanwhile.
  absl::StatusOr<std::unique_ptr<Work>> work = absl::InternalError("the job was not made");
  try {
    work = request.make_work(request.id);
  } catch (const std::bad_alloc&) {
    work = ResourceExhausted("OUT_OF_MEMORY", "memory",
                             "the request needs more memory than there is", absl::ZeroDuration());
  } catch (...) {
    (void)Enqueue(*entry, request, std::move(work));
    throw;
  }
  return Enqueue(*entry, request, std::move(work));
}

// The entry of the first request with this key, whose job is there; or a new one without a job.
absl::StatusOr<std::shared_ptr<JobTable::Entry>> JobTable::Admit(NewJob& request) {
  std::unique_lock lock(mutex_);
  if (!request.request_id.empty()) {
    for (auto known = requests_.find(request.request_id); known != requests_.end();
         known = requests_.find(request.request_id)) {
      const std::shared_ptr<Entry> entry = entries_.find(known->second)->second;
      if (entry->request_digest != request.request_digest) {
        return InvalidArgument("request_id",
                               "got a key that came with another request, must be new");
      }
      if (entry->job != nullptr) return entry;
      made_.wait(lock);
    }
  }
  if (draining_) return Draining();
  if (request.id.empty()) request.id = NewId("job");
  if (entries_.contains(request.id)) return AlreadyExists(kJobType, JobName(request.id));
  if (static_cast<int64_t>(queue_.size()) + num_making_ >= options_.max_queued_jobs) {
    return ResourceExhausted("JOB_QUEUE_FULL", "max_queued_jobs",
                             absl::StrCat("got one more job than the ", options_.max_queued_jobs,
                                          " that may wait; try again later"),
                             options_.retry_delay);
  }
  auto entry = std::make_shared<Entry>();
  entry->id = request.id;
  entry->request_digest = request.request_digest;
  if (!request.validate_only) {
    entry->request_id = request.request_id;
    entries_.emplace(request.id, entry);
    if (!request.request_id.empty()) requests_.emplace(request.request_id, request.id);
  }
  ++num_making_;
  return entry;
}

absl::Status JobTable::CheckRoomLocked(const Entry& entry) const {
  absl::Status status = CheckWorkingBytes(entry.working_bytes, options_.max_working_bytes);
  if (!status.ok()) return status;
  if (entry.held_bytes > options_.max_held_bytes - held_bytes_) {
    return ResourceExhausted(
        "JOB_MEMORY_FULL", "max_held_bytes",
        absl::StrCat("got a job with ", entry.held_bytes, " bytes of data while ", held_bytes_,
                     " of ", options_.max_held_bytes,
                     " are in use; upload the data as a dataset or try again later"),
        options_.retry_delay);
  }
  return draining_ ? Draining() : absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Job>> JobTable::Enqueue(
    const std::shared_ptr<Entry>& entry, NewJob& request,
    absl::StatusOr<std::unique_ptr<Work>> work) {
  absl::Status status = work.status();
  if (status.ok()) {
    entry->work = *std::move(work);
    entry->working_bytes = entry->work->working_bytes();
    entry->held_bytes = entry->work->held_bytes() + static_cast<int64_t>(request.spec.size());
  }
  Job::Options job{.id = request.id,
                   .spec = std::move(request.spec),
                   .timeout = request.timeout,
                   .create_time = options_.clock(),
                   .max_events = options_.max_events_per_job};
  std::shared_ptr<Job> made;
  {
    const std::lock_guard lock(mutex_);
    --num_making_;
    if (status.ok()) status = CheckRoomLocked(*entry);
    if (status.ok() && !request.validate_only) {
      job.ordinal = ++last_ordinal_;
      made = std::make_shared<Job>(std::move(job), &hub_);
      entry->job = made;
      held_bytes_ += entry->held_bytes;
      by_ordinal_.emplace(made->ordinal(), entry);
      queue_.push_back(entry);
    } else if (!request.validate_only) {
      entries_.erase(entry->id);
      if (!entry->request_id.empty()) requests_.erase(entry->request_id);
    }
  }
  made_.notify_all();
  queue_changed_.notify_one();
  ended_.notify_all();  // a drain waits for jobs that are being made
  if (!status.ok()) {
    entry->work.reset();
    return status;
  }
  if (request.validate_only) {
    entry->work.reset();
    return std::make_shared<const Job>(std::move(job), nullptr);
  }
  if (request.timeout.has_value()) hub_.Wake();
  return made;
}

absl::StatusOr<std::shared_ptr<const Job>> JobTable::Get(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second->job == nullptr) {
    return NotFound(kJobType, JobName(id));
  }
  return found->second->job;
}

absl::StatusOr<Page<std::shared_ptr<const Job>>> JobTable::List(const std::vector<JobState>& states,
                                                                const PageRequest& request) const {
  const absl::StatusOr<int> size = PageSize(request);
  if (!size.ok()) return size.status();
  const absl::StatusOr<std::string> cursor = DecodePageToken(kListName, request);
  if (!cursor.ok()) return cursor.status();
  int64_t before = std::numeric_limits<int64_t>::max();
  if (!cursor->empty() && !absl::SimpleAtoi(*cursor, &before)) {
    return InvalidArgument("page_token", "got a token that this list did not make");
  }
  Page<std::shared_ptr<const Job>> page;
  const std::lock_guard lock(mutex_);
  for (auto it = std::make_reverse_iterator(by_ordinal_.lower_bound(before));
       it != by_ordinal_.rend(); ++it) {
    const std::shared_ptr<Job>& job = it->second->job;
    if (!states.empty() && std::find(states.begin(), states.end(), job->state()) == states.end()) {
      continue;
    }
    if (static_cast<int>(page.items.size()) == *size) {
      page.next_page_token = EncodePageToken(kListName, absl::StrCat(page.items.back()->ordinal()));
      break;
    }
    page.items.push_back(job);
  }
  return page;
}

absl::StatusOr<std::shared_ptr<const Job>> JobTable::Cancel(std::string_view id) {
  std::unique_ptr<Work> unused;  // of a job that never ran, freed outside the lock
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second->job == nullptr) {
    return NotFound(kJobType, JobName(id));
  }
  const std::shared_ptr<Entry> entry = found->second;
  if (!StopLocked(entry, Job::StopCause::kCancel, options_.clock(), unused)) {
    return FailedPrecondition("JOB_ENDED", kJobType, JobName(id),
                              absl::StrCat("it has ended (", JobStateName(entry->job->state()),
                                           ") and can no longer be cancelled"));
  }
  return entry->job;
}

absl::Status JobTable::Delete(std::string_view id) {
  std::shared_ptr<Entry> forgotten;  // freed outside the lock
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second->job == nullptr) {
    return NotFound(kJobType, JobName(id));
  }
  if (const JobState state = found->second->job->state(); !IsEnded(state)) {
    return FailedPrecondition(
        "JOB_NOT_ENDED", kJobType, JobName(id),
        absl::StrCat("it is ", JobStateName(state), ", must have ended; cancel it first"));
  }
  forgotten = found->second;
  ForgetLocked(*forgotten);
  return absl::OkStatus();
}

// Stops a job whatever it is doing; false if it has ended. What a pending one would have done goes
// to `unused`.
bool JobTable::StopLocked(const std::shared_ptr<Entry>& entry, Job::StopCause cause, absl::Time now,
                          std::unique_ptr<Work>& unused) {
  if (!entry->job->RequestStop(cause, now)) return false;
  const auto queued = std::find(queue_.begin(), queue_.end(), entry);
  if (queued == queue_.end()) return true;  // running: its runner ends it
  queue_.erase(queued);
  unused = std::move(entry->work);
  EndLocked(entry);
  return true;
}

// Counts an ended job among the ended ones; the oldest give way.
void JobTable::EndLocked(const std::shared_ptr<Entry>& entry) {
  held_bytes_ -= entry->held_bytes;
  entry->held_bytes = 0;
  entry->ended_bytes = entry->job->footprint();
  ended_bytes_ += entry->ended_bytes;
  ended_entries_.push_back(entry);
  entry->ended = std::prev(ended_entries_.end());
  while (ended_entries_.size() > 1 &&
         (static_cast<int64_t>(ended_entries_.size()) > options_.max_ended_jobs ||
          ended_bytes_ > options_.max_ended_bytes)) {
    ForgetLocked(*std::shared_ptr<Entry>(ended_entries_.front()));
  }
  if (options_.on_end) options_.on_end(entry->job->Snapshot());
  ended_.notify_all();
}

void JobTable::ForgetLocked(const Entry& entry) {
  const std::shared_ptr<Job> job = entry.job;
  ended_bytes_ -= entry.ended_bytes;
  by_ordinal_.erase(job->ordinal());
  if (!entry.request_id.empty()) requests_.erase(entry.request_id);
  ended_entries_.erase(entry.ended);
  entries_.erase(job->id());
}

std::shared_ptr<JobTable::Entry> JobTable::TakeLocked() {
  const auto fits = [this](const std::shared_ptr<Entry>& entry) {
    return num_running_ == 0 || entry->working_bytes <= options_.max_working_bytes - working_bytes_;
  };
  const auto found = std::find_if(queue_.begin(), queue_.end(), fits);
  if (found == queue_.end()) return nullptr;
  std::shared_ptr<Entry> entry = *found;
  queue_.erase(found);
  return entry;
}

void JobTable::RunJobs(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (true) {
    std::shared_ptr<Entry> entry;
    queue_changed_.wait(lock,
                        [&] { return (entry = TakeLocked()) != nullptr || stop.stop_requested(); });
    if (entry == nullptr) return;
    const absl::Time now = options_.clock();
    if (entry->job->deadline() <= now) {
      entry->job->RequestStop(Job::StopCause::kDeadline, now);
      std::unique_ptr<Work> unused = std::move(entry->work);
      EndLocked(entry);
      lock.unlock();
      unused.reset();
      lock.lock();
      continue;
    }
    entry->job->Start(now);
    ++num_running_;
    working_bytes_ += entry->working_bytes;
    lock.unlock();

    const auto run = [&]() -> absl::StatusOr<JobResult> {
      Pool::Share share(pool_);
      JobContext context(*entry->job, share, entry->job->stop_.get_token(), options_.clock);
      return RunWork(*entry->work, context);
    };
    absl::StatusOr<JobResult> result = run();
    entry->work.reset();  // what it held is free before anybody sees the job's end

    lock.lock();
    --num_running_;
    working_bytes_ -= entry->working_bytes;
    entry->job->Finish(std::move(result), options_.clock());
    EndLocked(entry);
    queue_changed_.notify_all();  // memory for others
  }
}

absl::Time JobTable::EnforceDeadlines(absl::Time now) {
  std::vector<std::unique_ptr<Work>> unused;  // freed outside the lock
  absl::Time next = absl::InfiniteFuture();
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Entry>> due;
  for (const auto& [ordinal, entry] : by_ordinal_) {
    const JobState state = entry->job->state();
    if (IsEnded(state) || state == JobState::kCancelling) continue;
    if (entry->job->deadline() <= now) {
      due.push_back(entry);
    } else {
      next = std::min(next, entry->job->deadline());
    }
  }
  for (const std::shared_ptr<Entry>& entry : due) {
    StopLocked(entry, Job::StopCause::kDeadline, now, unused.emplace_back());
  }
  return next;
}

void JobTable::StopAll(bool pending_only) {
  std::vector<std::unique_ptr<Work>> unused;  // freed outside the lock
  const std::lock_guard lock(mutex_);
  const absl::Time now = options_.clock();
  std::vector<std::shared_ptr<Entry>> entries;
  for (const auto& [ordinal, entry] : by_ordinal_) {
    const JobState state = entry->job->state();
    if (!IsEnded(state) && (!pending_only || state == JobState::kPending)) entries.push_back(entry);
  }
  for (const std::shared_ptr<Entry>& entry : entries) {
    StopLocked(entry, Job::StopCause::kDrain, now, unused.emplace_back());
  }
}

void JobTable::StartDraining() {
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
  }
  StopAll(/*pending_only=*/true);
}

void JobTable::Drain(absl::Duration grace) {
  StartDraining();
  const auto idle = [this] { return num_running_ == 0 && num_making_ == 0; };
  {
    std::unique_lock lock(mutex_);
    const absl::Duration pause = std::clamp(grace, absl::ZeroDuration(), kLongestGrace);
    if (ended_.wait_for(lock, absl::ToChronoNanoseconds(pause), idle)) return;
  }
  StopAll(/*pending_only=*/false);
  std::unique_lock lock(mutex_);
  ended_.wait(lock, idle);
}

int JobTable::num_pending() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(queue_.size());
}

int JobTable::num_running() const {
  const std::lock_guard lock(mutex_);
  return num_running_;
}

bool JobTable::draining() const {
  const std::lock_guard lock(mutex_);
  return draining_;
}

}  // namespace emserve::server
