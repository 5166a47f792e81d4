// The jobs of one server: admission, a bounded queue, runners, cancelling, deadlines, drain.
#ifndef EMSERVE_SERVER_JOBS_JOB_TABLE_H_
#define EMSERVE_SERVER_JOBS_JOB_TABLE_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/runtime/pool.h"
#include "server/clock.h"
#include "server/jobs/job.h"
#include "server/jobs/watch_hub.h"
#include "server/page.h"

namespace emserve::server {

struct JobTableOptions {
  int max_queued_jobs = 1000;
  int max_running_jobs = 4;  // runner threads; their loops share the pool fairly
  // Ended jobs that are remembered, by number and by memory; the oldest give way.
  int max_ended_jobs = 1000;
  int64_t max_ended_bytes = int64_t{256} << 20;
  // Data that jobs not yet ended may hold together (inline tables, specifications).
  int64_t max_held_bytes = int64_t{1} << 30;
  // Working memory of one job, and of all running jobs together (one job may always run).
  int64_t max_working_bytes = int64_t{4} << 30;
  int64_t max_events_per_job = 10000;
  absl::Duration retry_delay = absl::Seconds(1);  // told to clients when the queue is full
  Clock clock = nullptr;                          // required
  // Told of every job that has ended, for the log; called under the table's lock, so it must be
  // quick and not call back.
  std::function<void(const JobSnapshot&)> on_end = nullptr;
};

struct NewJob {
  std::string id;                         // empty: chosen by the table
  std::string spec;                       // kept with the job; opaque here
  std::optional<absl::Duration> timeout;  // from creation, queueing included; positive
  std::string request_id;                 // idempotency key; empty: none
  std::string request_digest;             // what "the same content" means for the key
  bool validate_only = false;
  // Checks everything that can be checked before running and makes the work. Called once, outside
  // all locks, with the job's id, unless the request is a repetition or is refused before.
  std::function<absl::StatusOr<std::unique_ptr<Work>>(const std::string& job_id)> make_work;
};

// Thread-safe.
class JobTable {
 public:
  // `pool` and `hub` outlive the table; the hub has the same clock.
  JobTable(JobTableOptions options, Pool& pool, WatchHub& hub);
  // Drains without grace. No Create may run any more.
  ~JobTable();
  JobTable(const JobTable&) = delete;
  JobTable& operator=(const JobTable&) = delete;

  // Queues a job. Repeating a request_id with the same digest returns the first one's job; a
  // request that comes while the first is being made waits for it.
  //
  // INVALID_ARGUMENT ("job_id", "request_id"; a request_id with another digest), ALREADY_EXISTS,
  // RESOURCE_EXHAUSTED (reasons JOB_QUEUE_FULL, JOB_MEMORY_FULL, JOB_TOO_LARGE), UNAVAILABLE
  // (reason DRAINING), and what make_work returns. With validate_only the job returned is in no
  // list.
  absl::StatusOr<std::shared_ptr<const Job>> Create(NewJob request);

  // NOT_FOUND.
  absl::StatusOr<std::shared_ptr<const Job>> Get(std::string_view id) const;
  // Newest first; `states` empty: all.
  absl::StatusOr<Page<std::shared_ptr<const Job>>> List(const std::vector<JobState>& states,
                                                        const PageRequest& request) const;
  // A pending job is CANCELLED at once, a running one is CANCELLING until its work has noticed;
  // cancelling twice is fine. FAILED_PRECONDITION (reason JOB_ENDED) if it has ended. NOT_FOUND.
  absl::StatusOr<std::shared_ptr<const Job>> Cancel(std::string_view id);
  // Forgets an ended job. FAILED_PRECONDITION (reason JOB_NOT_ENDED). NOT_FOUND.
  absl::Status Delete(std::string_view id);

  // From now on Create answers UNAVAILABLE. Pending jobs are cancelled, running ones may finish.
  void StartDraining();
  // StartDraining, then waits until every job has ended; jobs that still run `grace` from now are
  // cancelled. Blocks.
  void Drain(absl::Duration grace);

  // Ends jobs that are overdue at `now` and returns when the next one will be. The hub does this by
  // itself.
  absl::Time EnforceDeadlines(absl::Time now);

  int num_pending() const;
  int num_running() const;
  bool draining() const;

 private:
  struct Entry;
  using Ended = std::list<std::shared_ptr<Entry>>;
  struct Entry {
    std::string id;
    std::string request_id;
    std::string request_digest;
    std::shared_ptr<Job> job;    // null while the work is being made
    std::unique_ptr<Work> work;  // null once the job has ended
    int64_t held_bytes = 0;
    int64_t working_bytes = 0;
    int64_t ended_bytes = 0;  // once ended, as the next
    Ended::iterator ended;
  };

  absl::StatusOr<std::shared_ptr<Entry>> Admit(NewJob& request);
  absl::Status CheckRoomLocked(const Entry& entry) const;
  absl::StatusOr<std::shared_ptr<const Job>> Enqueue(const std::shared_ptr<Entry>& entry,
                                                     NewJob& request,
                                                     absl::StatusOr<std::unique_ptr<Work>> work);
  bool StopLocked(const std::shared_ptr<Entry>& entry, Job::StopCause cause, absl::Time now,
                  std::unique_ptr<Work>& unused);
  void EndLocked(const std::shared_ptr<Entry>& entry);
  void ForgetLocked(const Entry& entry);
  void RunJobs(std::stop_token stop);
  // The first queued job whose working memory fits, or null.
  std::shared_ptr<Entry> TakeLocked();
  void StopAll(bool pending_only);

  const JobTableOptions options_;
  Pool& pool_;
  WatchHub& hub_;
  mutable std::mutex mutex_;  // taken before a job's own
  std::condition_variable queue_changed_;
  std::condition_variable made_;   // a job has been made or refused
  std::condition_variable ended_;  // a job has ended
  std::map<std::string, std::shared_ptr<Entry>, std::less<>> entries_;  // by id
  std::map<int64_t, std::shared_ptr<Entry>> by_ordinal_;                // those with a job
  std::map<std::string, std::string, std::less<>> requests_;            // request_id -> id
  std::list<std::shared_ptr<Entry>> queue_;
  Ended ended_entries_;  // oldest first
  int64_t ended_bytes_ = 0;
  int64_t held_bytes_ = 0;
  int64_t working_bytes_ = 0;  // of running jobs
  int num_making_ = 0;
  int num_running_ = 0;
  int64_t last_ordinal_ = 0;
  bool draining_ = false;
  int64_t timer_ = 0;
  std::vector<std::jthread> runners_;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_JOB_TABLE_H_
