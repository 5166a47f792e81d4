// Jobs from admission to their end: queue, cancelling, deadlines, limits, drain, races.
#include "server/jobs/job_table.h"

#include <atomic>
#include <latch>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>

#include "server/errors.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

using absl::StatusCode;
using JobPtr = std::shared_ptr<const Job>;

// Work made of a function.
class FunctionWork final : public Work {
 public:
  using Function = std::function<absl::StatusOr<JobResult>(JobContext&)>;
  explicit FunctionWork(
      Function run, int64_t held = 0, int64_t working = 0, std::function<void()> gone = [] {})
      : run_(std::move(run)), held_(held), working_(working), gone_(std::move(gone)) {}
  ~FunctionWork() override { gone_(); }
  absl::StatusOr<JobResult> Run(JobContext& context) override { return run_(context); }
  int64_t held_bytes() const override { return held_; }
  int64_t working_bytes() const override { return working_; }

 private:
  const Function run_;
  const int64_t held_;
  const int64_t working_;
  const std::function<void()> gone_;
};

absl::StatusOr<JobResult> Succeed(JobContext&) { return PredictJobResult{"datasets/d", "m"}; }

// Runs until it is told to stop.
absl::StatusOr<JobResult> UntilStopped(JobContext& context) {
  Gate gate;
  const std::stop_callback on_stop(context.stop(), [&] { gate.Open(); });
  gate.Wait();
  return absl::CancelledError("stop was requested");
}

// Opens its gate when the job has ended.
class AwaitEnd final : public Watcher {
 public:
  explicit AwaitEnd(JobPtr job) : job_(std::move(job)) {}
  void OnSignal(Signal) override {
    if (IsEnded(job_->state())) gate_.Open();
  }
  void Wait() { gate_.Wait(); }

 private:
  const JobPtr job_;
  Gate gate_;
};

class JobTableTest : public testing::Test {
 protected:
  JobTableTest() : hub_(HubOptions()) { Restart({.max_running_jobs = 2}); }
  ~JobTableTest() override { table_.reset(); }

  WatchHubOptions HubOptions() {
    WatchHubOptions options;
    options.clock = clock_.get();
    options.round_interval = absl::ZeroDuration();
    return options;
  }
  void Restart(JobTableOptions options) {
    table_.reset();
    options.clock = clock_.get();
    options_ = options;
    table_ = std::make_unique<JobTable>(std::move(options), pool_, hub_);
  }

  static NewJob Request(FunctionWork::Function run, const std::string& id = "") {
    NewJob request;
    request.id = id;
    request.spec = "spec";
    request.make_work = [run](const std::string&) { return std::make_unique<FunctionWork>(run); };
    return request;
  }
  JobPtr Create(NewJob request) {
    auto job = table_->Create(std::move(request));
    EXPECT_THAT(job, IsOk());
    return job.ok() ? *job : nullptr;
  }
  JobSnapshot WaitEnded(const JobPtr& job) {
    const auto watcher = std::make_shared<AwaitEnd>(job);
    hub_.Subscribe(job, watcher);
    watcher->OnSignal(Watcher::Signal::kNews);
    watcher->Wait();
    hub_.Unsubscribe(*job, *watcher);
    return job->Snapshot();
  }
  // Jobs that run until they are let go.
  struct Occupants {
    explicit Occupants(int count) : running(count) {}
    std::latch running;
    Gate gate;
  };
  // Occupies runners; returns when all run. The work shares the gate, and may outlive the test's
  // own hold of it.
  std::shared_ptr<Occupants> Occupy(int runners) {
    const auto occupants = std::make_shared<Occupants>(runners);
    for (int i = 0; i < runners; ++i) {
      Create(Request([occupants](JobContext&) -> absl::StatusOr<JobResult> {
        occupants->running.count_down();
        occupants->gate.Wait();
        return JobResult();
      }));
    }
    occupants->running.wait();
    return occupants;
  }
  static std::vector<JobState> States(const Job& job) {
    std::vector<JobState> states;
    for (const JobEvent& event : job.log().Read(0, 1000000).events) {
      if (const auto* change = std::get_if<StateChangeEvent>(&event.what)) {
        states.push_back(change->state);
      }
    }
    return states;
  }

  FakeClock clock_;
  Pool pool_{2};
  WatchHub hub_;
  JobTableOptions options_;
  std::unique_ptr<JobTable> table_;
};

TEST_F(JobTableTest, RunsAJobAndKeepsItsResult) {
  const JobPtr job = Create(Request(Succeed, "j"));
  const JobSnapshot snapshot = WaitEnded(job);
  EXPECT_EQ(snapshot.state, JobState::kSucceeded);
  EXPECT_EQ(snapshot.id, "j");
  EXPECT_EQ(snapshot.spec, "spec");
  EXPECT_EQ(std::get<PredictJobResult>(snapshot.result).dataset, "datasets/d");
  EXPECT_TRUE(snapshot.start_time.has_value());
  EXPECT_TRUE(snapshot.end_time.has_value());
  EXPECT_THAT(States(*job),
              testing::ElementsAre(JobState::kPending, JobState::kRunning, JobState::kSucceeded));
  EXPECT_EQ(*table_->Get("j"), job);
}

TEST_F(JobTableTest, LogsIterationsAndWarningsOfTheWork) {
  const JobPtr job = Create(Request([&](JobContext& context) -> absl::StatusOr<JobResult> {
    context.ReportIteration({.restart = 1, .iteration = 0, .objective = -5});
    clock_.Advance(absl::Milliseconds(1500));
    context.ReportIteration({.restart = 1, .iteration = 1, .objective = -4, .change = 1.0});
    context.ReportWarning({"VARIANCE_FLOORED", "a message", 1});
    context.ReportRows(0, 10);
    context.ReportRows(7, 10);
    return JobResult();
  }));
  const JobSnapshot snapshot = WaitEnded(job);
  EXPECT_EQ(snapshot.progress.iteration, 1);
  EXPECT_EQ(snapshot.progress.objective, -4);
  EXPECT_EQ(snapshot.progress.rows_done, 7);
  EXPECT_EQ(snapshot.progress.num_rows, 10);
  const auto events = job->log().Read(0, 100).events;
  ASSERT_EQ(events.size(), 6u);  // pending, running, two iterations, a warning, succeeded
  EXPECT_EQ(snapshot.last_sequence, 6);
  EXPECT_DOUBLE_EQ(std::get<IterationEvent>(events[3].what).seconds, 1.5);
  EXPECT_EQ(std::get<WarningEvent>(events[4].what).reason, "VARIANCE_FLOORED");
}

TEST_F(JobTableTest, AFailureOfTheWorkIsTheJobsError) {
  const JobSnapshot failed = WaitEnded(Create(Request([](JobContext&) {
    return absl::StatusOr<JobResult>(absl::FailedPreconditionError("all restarts failed"));
  })));
  EXPECT_EQ(failed.state, JobState::kFailed);
  EXPECT_THAT(failed.error, FailsWith(StatusCode::kFailedPrecondition, "all restarts failed"));
}

TEST_F(JobTableTest, WhatTheWorkThrowsEndsTheJobAlone) {
  const JobSnapshot no_memory = WaitEnded(
      Create(Request([](JobContext&) -> absl::StatusOr<JobResult> { throw std::bad_alloc(); })));
  EXPECT_THAT(no_memory.error, FailsWith(StatusCode::kResourceExhausted, "memory"));
  const JobSnapshot thrown = WaitEnded(Create(
      Request([](JobContext&) -> absl::StatusOr<JobResult> { throw std::runtime_error("oops"); })));
  EXPECT_THAT(thrown.error, FailsWith(StatusCode::kInternal, "oops"));
  EXPECT_EQ(WaitEnded(Create(Request(Succeed))).state, JobState::kSucceeded);
}

TEST_F(JobTableTest, RefusesBadRequestsWithThePath) {
  EXPECT_THAT(table_->Create(Request(Succeed, "Bad Id")),
              FailsWith(StatusCode::kInvalidArgument, "job_id: "));
  NewJob request = Request(Succeed);
  request.timeout = absl::ZeroDuration();
  EXPECT_THAT(table_->Create(request), FailsWith(StatusCode::kInvalidArgument, "timeout: "));
  request = Request(Succeed);
  request.request_id = std::string(129, 'x');
  EXPECT_THAT(table_->Create(request), FailsWith(StatusCode::kInvalidArgument, "request_id: "));
  WaitEnded(Create(Request(Succeed, "j")));
  EXPECT_THAT(table_->Create(Request(Succeed, "j")),
              FailsWith(StatusCode::kAlreadyExists, "jobs/j"));
}

TEST_F(JobTableTest, AJobThatCannotBeMadeLeavesNothing) {
  NewJob request = Request(Succeed, "j");
  request.request_id = "key";
  request.make_work = [](const std::string&) {
    return absl::StatusOr<std::unique_ptr<Work>>(absl::InvalidArgumentError("columns[0]: bad"));
  };
  EXPECT_THAT(table_->Create(request), FailsWith(StatusCode::kInvalidArgument, "columns[0]"));
  EXPECT_THAT(table_->Get("j"), FailsWith(StatusCode::kNotFound, "jobs/j"));
  request.make_work = [](const std::string&) -> absl::StatusOr<std::unique_ptr<Work>> {
    throw std::bad_alloc();
  };
  EXPECT_THAT(table_->Create(request), FailsWith(StatusCode::kResourceExhausted, "memory"));
  request.make_work = [](const std::string&) -> absl::StatusOr<std::unique_ptr<Work>> {
    throw std::runtime_error("oops");
  };
  EXPECT_THROW((void)table_->Create(request), std::runtime_error);
  request.make_work = Request(Succeed).make_work;
  EXPECT_EQ(WaitEnded(Create(request)).state, JobState::kSucceeded);
}

TEST_F(JobTableTest, OnlyValidatesWhenAskedTo) {
  NewJob request = Request(Succeed, "j");
  request.validate_only = true;
  const JobPtr job = Create(request);
  EXPECT_EQ(job->Snapshot().state, JobState::kPending);
  EXPECT_EQ(job->id(), "j");
  EXPECT_THAT(table_->Get("j"), FailsWith(StatusCode::kNotFound, ""));
  EXPECT_TRUE(table_->List({}, {})->items.empty());
  EXPECT_THAT(table_->Create(Request(Succeed, "j")), IsOk());
}

TEST_F(JobTableTest, RepeatsARequestWithTheSameKey) {
  NewJob request = Request(Succeed);
  request.request_id = "key";
  request.request_digest = "one";
  const JobPtr first = Create(request);
  EXPECT_EQ(Create(request), first);
  request.request_digest = "two";
  EXPECT_THAT(table_->Create(request), FailsWith(StatusCode::kInvalidArgument, "request_id"));
  WaitEnded(first);
  ASSERT_THAT(table_->Delete(first->id()), IsOk());
  EXPECT_NE(Create(request), first);  // forgotten with its job
}

// The second request comes while the first is being made: it must wait for it and get the same job.
TEST_F(JobTableTest, ARepetitionWaitsForTheFirstToBeMade) {
  std::latch making(1);
  Gate gate;
  std::atomic<int> made = 0;
  NewJob request = Request(Succeed);
  request.request_id = "key";
  request.make_work = [&](const std::string&) {
    ++made;
    making.count_down();
    gate.Wait();
    return std::make_unique<FunctionWork>(Succeed);
  };
  JobPtr first, second;
  std::jthread one([&] { first = Create(request); });
  making.wait();
  NewJob again = request;
  again.make_work = Request(Succeed).make_work;
  std::latch asking(1);
  std::jthread two([&] {
    asking.count_down();
    second = Create(again);
  });
  asking.wait();
  EXPECT_THAT(table_->Create(Request(Succeed, "other")), IsOk());  // others do not wait
  gate.Open();
  one.join();
  two.join();
  EXPECT_EQ(first, second);
  EXPECT_EQ(made, 1);
}

TEST_F(JobTableTest, RefusesWhatExceedsTheQueueAndSaysWhenToRetry) {
  Restart({.max_queued_jobs = 2, .max_running_jobs = 1, .retry_delay = absl::Seconds(7)});
  const auto occupants = Occupy(1);
  const JobPtr a = Create(Request(Succeed));
  const JobPtr b = Create(Request(Succeed));
  const auto full = table_->Create(Request(Succeed, "c"));
  EXPECT_THAT(full, FailsWith(StatusCode::kResourceExhausted, "2"));
  EXPECT_EQ(ReasonOf(full.status()), "JOB_QUEUE_FULL");
  EXPECT_EQ(RetryDelayOf(full.status()), absl::Seconds(7));
  EXPECT_EQ(table_->num_pending(), 2);
  EXPECT_EQ(table_->num_running(), 1);
  occupants->gate.Open();
  WaitEnded(a);
  WaitEnded(b);
  EXPECT_THAT(table_->Create(Request(Succeed, "c")), IsOk());
}

TEST_F(JobTableTest, StartsJobsInTheOrderTheyCame) {
  Restart({.max_running_jobs = 1});
  const auto occupants = Occupy(1);
  std::vector<int> order;  // written by the one runner
  std::vector<JobPtr> jobs;
  for (int i = 0; i < 20; ++i) {
    jobs.push_back(Create(Request([&order, i](JobContext&) -> absl::StatusOr<JobResult> {
      order.push_back(i);
      return JobResult();
    })));
  }
  occupants->gate.Open();
  for (const JobPtr& job : jobs) WaitEnded(job);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(order[i], i);
}

TEST_F(JobTableTest, RunsSmallJobsWhileALongOneRuns) {
  const auto occupants = Occupy(1);  // of two runners
  EXPECT_EQ(WaitEnded(Create(Request(Succeed))).state, JobState::kSucceeded);
  occupants->gate.Open();
}

TEST_F(JobTableTest, CancelsAPendingJobAtOnce) {
  Restart({.max_running_jobs = 1});
  const auto occupants = Occupy(1);
  std::atomic<bool> ran = false;
  std::atomic<bool> gone = false;
  NewJob request = Request(Succeed, "j");
  request.make_work = [&](const std::string&) {
    return std::make_unique<FunctionWork>(
        [&](JobContext&) -> absl::StatusOr<JobResult> {
          ran = true;
          return JobResult();
        },
        0, 0, [&] { gone = true; });
  };
  const JobPtr job = Create(request);
  ASSERT_THAT(table_->Cancel("j"), IsOk());
  EXPECT_EQ(job->state(), JobState::kCancelled);
  EXPECT_TRUE(gone);  // with what it held
  EXPECT_THAT(States(*job), testing::ElementsAre(JobState::kPending, JobState::kCancelled));
  const auto again = table_->Cancel("j");
  EXPECT_THAT(again, FailsWith(StatusCode::kFailedPrecondition, "CANCELLED"));
  EXPECT_EQ(ReasonOf(again.status()), "JOB_ENDED");
  occupants->gate.Open();
  WaitEnded(Create(Request(Succeed)));
  EXPECT_FALSE(ran);
}

TEST_F(JobTableTest, CancelsARunningJobThroughItsStopToken) {
  std::latch running(1);
  Gate stopped;
  const JobPtr job = Create(Request(
      [&](JobContext& context) -> absl::StatusOr<JobResult> {
        running.count_down();
        absl::StatusOr<JobResult> result = UntilStopped(context);
        stopped.Wait();
        return result;
      },
      "j"));
  running.wait();
  ASSERT_THAT(table_->Cancel("j"), IsOk());
  EXPECT_EQ(job->state(), JobState::kCancelling);
  EXPECT_THAT(table_->Cancel("j"), IsOk());  // twice is fine
  stopped.Open();
  const JobSnapshot snapshot = WaitEnded(job);
  EXPECT_EQ(snapshot.state, JobState::kCancelled);
  EXPECT_THAT(snapshot.error, IsOk());
  EXPECT_THAT(States(*job), testing::ElementsAre(JobState::kPending, JobState::kRunning,
                                                 JobState::kCancelling, JobState::kCancelled));
  EXPECT_THAT(table_->Cancel("nope"), FailsWith(StatusCode::kNotFound, "jobs/nope"));
}

TEST_F(JobTableTest, WorkThatFinishesBeforeItNoticesACancelSucceeds) {
  std::latch running(1);
  Gate gate;
  const JobPtr job = Create(Request(
      [&](JobContext&) -> absl::StatusOr<JobResult> {
        running.count_down();
        gate.Wait();
        return JobResult();
      },
      "j"));
  running.wait();
  ASSERT_THAT(table_->Cancel("j"), IsOk());
  gate.Open();
  EXPECT_EQ(WaitEnded(job).state, JobState::kSucceeded);
}

TEST_F(JobTableTest, ADeadlineEndsARunningJobAsFailed) {
  std::latch running(1);
  NewJob request = Request(
      [&](JobContext& context) {
        running.count_down();
        return UntilStopped(context);
      },
      "j");
  request.timeout = absl::Seconds(10);
  const JobPtr job = Create(request);
  running.wait();
  clock_.Advance(absl::Seconds(10));
  table_->EnforceDeadlines(clock_.Now());
  const JobSnapshot snapshot = WaitEnded(job);
  EXPECT_EQ(snapshot.state, JobState::kFailed);
  EXPECT_THAT(snapshot.error, FailsWith(StatusCode::kDeadlineExceeded, "timeout: "));
  EXPECT_EQ(ReasonOf(snapshot.error), "JOB_TIMEOUT");
}

TEST_F(JobTableTest, ADeadlineCountsInTheQueueToo) {
  Restart({.max_running_jobs = 1});
  const auto occupants = Occupy(1);
  NewJob request = Request(Succeed, "j");
  request.timeout = absl::Seconds(10);
  const JobPtr job = Create(request);
  const absl::Time deadline = clock_.Now() + absl::Seconds(10);
  EXPECT_EQ(table_->EnforceDeadlines(clock_.Now()), deadline);
  clock_.Advance(absl::Seconds(9));
  table_->EnforceDeadlines(clock_.Now());
  EXPECT_EQ(job->state(), JobState::kPending);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(table_->EnforceDeadlines(clock_.Now()), absl::InfiniteFuture());
  EXPECT_EQ(job->state(), JobState::kFailed);
  EXPECT_THAT(job->Snapshot().error, FailsWith(StatusCode::kDeadlineExceeded, "timeout: "));
  EXPECT_EQ(table_->num_pending(), 0);
  occupants->gate.Open();
}

TEST_F(JobTableTest, ARunnerDoesNotStartWhatIsOverdue) {
  Restart({.max_running_jobs = 1});
  const auto occupants = Occupy(1);
  std::atomic<bool> ran = false;
  NewJob request = Request([&](JobContext&) -> absl::StatusOr<JobResult> {
    ran = true;
    return JobResult();
  });
  request.timeout = absl::Seconds(1);
  const JobPtr job = Create(request);
  clock_.Advance(absl::Seconds(1));
  occupants->gate.Open();
  EXPECT_EQ(WaitEnded(job).state, JobState::kFailed);
  EXPECT_FALSE(ran);
  EXPECT_THAT(table_->Delete(job->id()), IsOk());
}

// The hub's own thread enforces deadlines of the real clock.
TEST_F(JobTableTest, TheHubEndsOverdueJobsByItself) {
  WatchHubOptions hub_options;
  hub_options.clock = [] { return absl::Now(); };
  WatchHub hub(hub_options);
  JobTableOptions options;
  options.clock = hub_options.clock;
  JobTable table(options, pool_, hub);
  NewJob request = Request(UntilStopped);
  request.timeout = absl::Milliseconds(1);
  const auto job = table.Create(request);
  ASSERT_THAT(job, IsOk());
  const auto watcher = std::make_shared<AwaitEnd>(*job);
  hub.Subscribe(*job, watcher);
  watcher->OnSignal(Watcher::Signal::kNews);
  watcher->Wait();
  EXPECT_EQ((*job)->state(), JobState::kFailed);
}

TEST_F(JobTableTest, DeletesOnlyEndedJobs) {
  Gate gate;
  const JobPtr job = Create(Request(
      [&](JobContext&) -> absl::StatusOr<JobResult> {
        gate.Wait();
        return JobResult();
      },
      "j"));
  const absl::Status early = table_->Delete("j");
  EXPECT_EQ(early.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(early), "JOB_NOT_ENDED");
  gate.Open();
  WaitEnded(job);
  EXPECT_THAT(table_->Delete("j"), IsOk());
  EXPECT_THAT(table_->Delete("j"), FailsWith(StatusCode::kNotFound, "jobs/j"));
  EXPECT_EQ(job->state(), JobState::kSucceeded);  // who holds it still can read it
}

TEST_F(JobTableTest, RemembersABoundedNumberOfEndedJobs) {
  Restart({.max_running_jobs = 1, .max_ended_jobs = 3});
  std::vector<JobPtr> jobs;
  for (int i = 0; i < 6; ++i) {
    NewJob request = Request(Succeed, "j" + std::to_string(i));
    request.request_id = "key" + std::to_string(i);
    jobs.push_back(Create(request));
    WaitEnded(jobs.back());
  }
  // The runner counts a job as ended in the same step, so the table is settled.
  EXPECT_EQ(table_->List({}, {})->items.size(), 3u);
  EXPECT_THAT(table_->Get("j2"), FailsWith(StatusCode::kNotFound, ""));
  EXPECT_THAT(table_->Get("j3"), IsOk());
  NewJob repeated = Request(Succeed);
  repeated.request_id = "key0";
  EXPECT_NE(Create(repeated), jobs[0]);
}

TEST_F(JobTableTest, RemembersABoundedAmountOfEndedJobs) {
  Restart({.max_running_jobs = 1, .max_ended_bytes = 200000});
  for (int i = 0; i < 6; ++i) {
    NewJob request = Request(Succeed, "j" + std::to_string(i));
    request.spec = std::string(80000, 's');
    WaitEnded(Create(request));
  }
  EXPECT_EQ(table_->List({}, {})->items.size(), 2u);
  NewJob huge = Request(Succeed, "huge");
  huge.spec = std::string(1000000, 's');
  WaitEnded(Create(huge));
  EXPECT_THAT(table_->Get("huge"), IsOk());  // the newest stays whatever its size
  EXPECT_EQ(table_->List({}, {})->items.size(), 1u);
}

TEST_F(JobTableTest, BoundsWhatWaitingJobsHold) {
  Restart({.max_running_jobs = 1, .max_held_bytes = 1000});
  const auto occupants = Occupy(1);
  const auto holding = [&](const std::string& id, int64_t bytes) {
    NewJob request = Request(Succeed, id);
    request.make_work = [bytes](const std::string&) {
      return std::make_unique<FunctionWork>(Succeed, bytes);
    };
    return table_->Create(request);
  };
  const auto a = holding("a", 600);
  ASSERT_THAT(a, IsOk());
  const auto full = holding("b", 600);
  EXPECT_EQ(ReasonOf(full.status()), "JOB_MEMORY_FULL");
  EXPECT_THAT(table_->Get("b"), FailsWith(StatusCode::kNotFound, ""));
  occupants->gate.Open();
  WaitEnded(*a);
  EXPECT_THAT(holding("b", 600), IsOk());
}

TEST_F(JobTableTest, RefusesAJobThatNeverFits) {
  Restart({.max_working_bytes = 1000});
  NewJob request = Request(Succeed);
  request.make_work = [](const std::string&) {
    return std::make_unique<FunctionWork>(Succeed, 0, 1001);
  };
  const auto large = table_->Create(request);
  EXPECT_EQ(ReasonOf(large.status()), "JOB_TOO_LARGE");
  EXPECT_FALSE(RetryDelayOf(large.status()).has_value());
}

TEST_F(JobTableTest, RunsTogetherOnlyWhatFitsTogether) {
  Restart({.max_running_jobs = 3, .max_working_bytes = 1000});
  std::atomic<int64_t> in_use = 0;
  std::atomic<int64_t> most = 0;
  std::vector<JobPtr> jobs;
  for (int i = 0; i < 30; ++i) {
    const int64_t bytes = i % 3 == 0 ? 900 : 400;
    NewJob request = Request(Succeed);
    request.make_work = [&, bytes](const std::string&) {
      return std::make_unique<FunctionWork>(
          [&, bytes](JobContext&) -> absl::StatusOr<JobResult> {
            const int64_t now = in_use += bytes;
            int64_t before = most;
            while (before < now && !most.compare_exchange_weak(before, now)) {
            }
            std::this_thread::yield();
            in_use -= bytes;
            return JobResult();
          },
          0, bytes);
    };
    jobs.push_back(Create(request));
  }
  for (const JobPtr& job : jobs) EXPECT_EQ(WaitEnded(job).state, JobState::kSucceeded);
  EXPECT_LE(most, 1000);
}

TEST_F(JobTableTest, ASmallJobPassesALargeOneThatMustWait) {
  Restart({.max_running_jobs = 2, .max_working_bytes = 1000});
  const auto sized = [&](int64_t bytes, FunctionWork::Function run) {
    NewJob request = Request(Succeed);
    request.make_work = [bytes, run](const std::string&) {
      return std::make_unique<FunctionWork>(run, 0, bytes);
    };
    return Create(request);
  };
  Gate gate;
  std::latch running(1);
  const JobPtr first = sized(600, [&](JobContext&) -> absl::StatusOr<JobResult> {
    running.count_down();
    gate.Wait();
    return JobResult();
  });
  running.wait();
  const JobPtr large = sized(600, Succeed);
  const JobPtr small = sized(100, Succeed);
  EXPECT_EQ(WaitEnded(small).state, JobState::kSucceeded);
  EXPECT_EQ(large->state(), JobState::kPending);
  gate.Open();
  WaitEnded(first);
  EXPECT_EQ(WaitEnded(large).state, JobState::kSucceeded);
}

TEST_F(JobTableTest, ListsNewestFirstInPagesAndByState) {
  Restart({.max_running_jobs = 1});
  for (int i = 0; i < 5; ++i) {
    auto run = i % 2 == 0 ? FunctionWork::Function(Succeed)
                          : [](JobContext&) -> absl::StatusOr<JobResult> {
      return absl::InternalError("x");
    };
    WaitEnded(Create(Request(run, "j" + std::to_string(i))));
  }
  std::string seen;
  PageRequest request{2, ""};
  do {
    const auto page = table_->List({}, request);
    ASSERT_THAT(page, IsOk());
    for (const JobPtr& job : page->items) seen += job->id();
    if (seen == "j4j3") WaitEnded(Create(Request(Succeed, "late")));
    request.page_token = page->next_page_token;
  } while (!request.page_token.empty());
  EXPECT_EQ(seen, "j4j3j2j1j0");
  seen.clear();
  const auto failed = *table_->List({JobState::kFailed}, {});
  for (const JobPtr& job : failed.items) seen += job->id();
  EXPECT_EQ(seen, "j3j1");
  EXPECT_TRUE(table_->List({JobState::kFailed}, {2, ""})->next_page_token.empty());
  EXPECT_THAT(table_->List({}, {0, EncodePageToken("jobs", "x")}),
              FailsWith(StatusCode::kInvalidArgument, "page_token"));
}

TEST_F(JobTableTest, DrainingRefusesNewJobsCancelsPendingAndLetsRunningFinish) {
  Restart({.max_running_jobs = 1});
  Gate gate;
  std::latch running(1);
  const JobPtr runs = Create(Request([&](JobContext&) -> absl::StatusOr<JobResult> {
    running.count_down();
    gate.Wait();
    return JobResult();
  }));
  running.wait();
  const JobPtr waits = Create(Request(Succeed));
  table_->StartDraining();
  EXPECT_TRUE(table_->draining());
  EXPECT_EQ(waits->state(), JobState::kCancelled);
  const auto refused = table_->Create(Request(Succeed));
  EXPECT_THAT(refused, FailsWith(StatusCode::kUnavailable, "shutting down"));
  EXPECT_EQ(ReasonOf(refused.status()), "DRAINING");
  gate.Open();
  table_->Drain(absl::InfiniteDuration());
  EXPECT_EQ(runs->state(), JobState::kSucceeded);
}

TEST_F(JobTableTest, DrainingCancelsWhatDoesNotFinishInTime) {
  const JobPtr job = Create(Request(UntilStopped));
  while (job->state() == JobState::kPending) std::this_thread::yield();
  table_->Drain(absl::ZeroDuration());
  EXPECT_EQ(job->state(), JobState::kCancelled);
  bool told = false;
  for (const JobEvent& event : job->log().Read(0, 100).events) {
    const auto* warning = std::get_if<WarningEvent>(&event.what);
    told = told || (warning != nullptr && warning->reason == "SERVER_DRAINING");
  }
  EXPECT_TRUE(told);
}

TEST_F(JobTableTest, DestructionEndsEveryJob) {
  const JobPtr running = Create(Request(UntilStopped));
  const JobPtr another = Create(Request(UntilStopped));
  const JobPtr pending = Create(Request(UntilStopped));
  table_.reset();
  for (const JobPtr& job : {running, another, pending}) {
    EXPECT_EQ(job->state(), JobState::kCancelled);
  }
}

TEST_F(JobTableTest, AWatcherSeesEveryEventUpToTheLast) {
  // Reads like a client: a cursor into the log, finished when the job has ended and all is read.
  class Reader final : public Watcher {
   public:
    explicit Reader(JobPtr job) : job_(std::move(job)) {}
    void OnSignal(Signal) override {
      const std::lock_guard lock(mutex_);
      const bool ended = IsEnded(job_->state());
      while (true) {
        const EventBatch batch = job_->log().Read(cursor_, 10);
        if (batch.events.empty()) break;
        for (const JobEvent& event : batch.events) EXPECT_EQ(event.sequence, ++cursor_);
      }
      if (ended) done_.Open();
    }
    void Wait() { done_.Wait(); }
    int64_t cursor() const { return cursor_; }

   private:
    const JobPtr job_;
    std::mutex mutex_;
    int64_t cursor_ = 0;
    Gate done_;
  };
  Gate gate;
  const JobPtr job = Create(Request([&](JobContext& context) -> absl::StatusOr<JobResult> {
    gate.Wait();
    for (int i = 0; i < 3000; ++i) context.ReportIteration({.iteration = i});
    return JobResult();
  }));
  const auto reader = std::make_shared<Reader>(job);
  hub_.Subscribe(job, reader);
  reader->OnSignal(Watcher::Signal::kNews);
  gate.Open();
  reader->Wait();
  EXPECT_EQ(reader->cursor(), 3003);
  EXPECT_EQ(job->Snapshot().last_sequence, 3003);
}

// Everything at once on few names; nobody may hang, and every job ends.
TEST_F(JobTableTest, RacingCallersNeitherHangNorLeak) {
  Restart({.max_queued_jobs = 20, .max_running_jobs = 3, .max_ended_jobs = 5});
  std::atomic<int> alive = 0;
  std::latch start(5);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      start.arrive_and_wait();
      for (int i = 0; i < 150; ++i) {
        const std::string id = "j" + std::to_string((t * 7 + i) % 11);
        NewJob request = Request(Succeed, id);
        request.request_id = id;
        if (i % 5 == 0) request.timeout = absl::Milliseconds(1);
        request.make_work = [&alive, i](const std::string&) {
          ++alive;
          return std::make_unique<FunctionWork>(
              i % 4 == 0 ? FunctionWork::Function(UntilStopped) : FunctionWork::Function(Succeed),
              10, 10, [&alive] { --alive; });
        };
        (void)table_->Create(request);
        (void)table_->Cancel("j" + std::to_string((t + i) % 11));
        (void)table_->Get(id);
        if (i % 3 == 0) (void)table_->Delete(id);
        (void)table_->List({}, {});
      }
    });
  }
  threads.emplace_back([&] {
    start.arrive_and_wait();
    for (int i = 0; i < 200; ++i) {
      clock_.Advance(absl::Milliseconds(1));
      table_->EnforceDeadlines(clock_.Now());
    }
  });
  threads.clear();
  table_->Drain(absl::ZeroDuration());
  const auto jobs = table_->List({}, {});
  for (const JobPtr& job : jobs->items) EXPECT_TRUE(IsEnded(job->state()));
  EXPECT_EQ(table_->num_running(), 0);
  EXPECT_EQ(table_->num_pending(), 0);
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace emserve::server
