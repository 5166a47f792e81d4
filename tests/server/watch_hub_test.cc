#include "server/jobs/watch_hub.h"

#include <atomic>
#include <latch>
#include <memory>
#include <thread>

#include "server/jobs/job.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

class Recorder final : public Watcher {
 public:
  void OnSignal(Signal signal) override {
    const std::lock_guard lock(mutex_);
    if (signal == Signal::kNews) ++news_;
    if (signal == Signal::kHeartbeat) ++heartbeats_;
    if (signal == Signal::kClosed) ++closed_;
    changed_.notify_all();
  }
  int news() const { return Get(news_); }
  int heartbeats() const { return Get(heartbeats_); }
  int closed() const { return Get(closed_); }
  void WaitForNews(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return news_ >= count; });
  }

 private:
  int Get(const int& value) const {
    const std::lock_guard lock(mutex_);
    return value;
  }
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int news_ = 0;
  int heartbeats_ = 0;
  int closed_ = 0;
};

class WatchHubTest : public testing::Test {
 protected:
  WatchHubTest() : hub_(ByHand()) {}

  WatchHubOptions ByHand() {
    WatchHubOptions options;
    options.clock = clock_.get();
    options.start_thread = false;
    return options;
  }
  std::shared_ptr<Job> MakeJob(WatchHub& hub) {
    Job::Options options;
    options.id = "j";
    options.create_time = clock_.Now();
    return std::make_shared<Job>(options, &hub);
  }

  FakeClock clock_;
  WatchHub hub_;
};

TEST_F(WatchHubTest, JoinsManyChangesIntoOneSignal) {
  const std::shared_ptr<Job> job = MakeJob(hub_);
  const auto watcher = std::make_shared<Recorder>();
  hub_.Subscribe(job, watcher);
  for (int i = 0; i < 1000; ++i) hub_.Notify(*job, false);
  hub_.RunOnce();
  EXPECT_EQ(watcher->news(), 1);
  hub_.RunOnce();
  EXPECT_EQ(watcher->news(), 1);
}

TEST_F(WatchHubTest, NextRoundWaitsForItsInterval) {
  const std::shared_ptr<Job> job = MakeJob(hub_);
  const auto watcher = std::make_shared<Recorder>();
  hub_.Subscribe(job, watcher);
  hub_.Notify(*job, false);
  hub_.RunOnce();
  hub_.Notify(*job, false);
  EXPECT_EQ(hub_.RunOnce(), clock_.Now() + absl::Milliseconds(20));
  EXPECT_EQ(watcher->news(), 1);
  clock_.Advance(absl::Milliseconds(20));
  hub_.RunOnce();
  EXPECT_EQ(watcher->news(), 2);
}

TEST_F(WatchHubTest, UrgentNewsDoNotWait) {
  const std::shared_ptr<Job> job = MakeJob(hub_);
  const auto watcher = std::make_shared<Recorder>();
  hub_.Subscribe(job, watcher);
  hub_.Notify(*job, false);
  hub_.RunOnce();
  hub_.Notify(*job, false);
  hub_.Notify(*job, true);
  hub_.RunOnce();
  EXPECT_EQ(watcher->news(), 2);
}

TEST_F(WatchHubTest, SignalsOnlyWatchersOfTheJob) {
  const std::shared_ptr<Job> a = MakeJob(hub_);
  const std::shared_ptr<Job> b = MakeJob(hub_);
  const auto of_a = std::make_shared<Recorder>();
  const auto of_b = std::make_shared<Recorder>();
  hub_.Subscribe(a, of_a);
  hub_.Subscribe(b, of_b);
  hub_.Notify(*a, false);
  hub_.RunOnce();
  EXPECT_EQ(of_a->news(), 1);
  EXPECT_EQ(of_b->news(), 0);
}

TEST_F(WatchHubTest, GivesHeartbeats) {
  const std::shared_ptr<Job> job = MakeJob(hub_);
  const auto watcher = std::make_shared<Recorder>();
  hub_.Subscribe(job, watcher);
  EXPECT_EQ(hub_.RunOnce(), clock_.Now() + absl::Seconds(15));
  clock_.Advance(absl::Seconds(15));
  hub_.RunOnce();
  EXPECT_EQ(watcher->heartbeats(), 1);
  hub_.RunOnce();
  EXPECT_EQ(watcher->heartbeats(), 1);
}

TEST_F(WatchHubTest, KeepsBeatingWhenTheClockIsSetBack) {
  const std::shared_ptr<Job> job = MakeJob(hub_);
  const auto watcher = std::make_shared<Recorder>();
  hub_.Subscribe(job, watcher);
  clock_.Advance(-absl::Hours(5));
  hub_.RunOnce();
  clock_.Advance(absl::Seconds(15));
  hub_.RunOnce();
  EXPECT_EQ(watcher->heartbeats(), 2);
}

TEST_F(WatchHubTest, ForgetsWatchersThatAreGone) {
  const std::shared_ptr<Job> job = MakeJob(hub_);
  auto watcher = std::make_shared<Recorder>();
  const auto other = std::make_shared<Recorder>();
  hub_.Subscribe(job, watcher);
  hub_.Subscribe(job, other);
  watcher.reset();
  hub_.Notify(*job, false);
  hub_.RunOnce();
  EXPECT_EQ(hub_.num_watchers(), 1);
  hub_.Unsubscribe(*job, *other);
  EXPECT_EQ(hub_.num_watchers(), 0);
  hub_.Unsubscribe(*job, *other);  // twice is fine
  clock_.Advance(absl::Minutes(1));
  hub_.Notify(*job, false);
  hub_.RunOnce();
  EXPECT_EQ(other->news(), 1);
}

TEST_F(WatchHubTest, HearsOfNewsAgainAfterTheLastWatcherHadLeft) {
  const std::shared_ptr<Job> job = MakeJob(hub_);
  const auto watcher = std::make_shared<Recorder>();
  hub_.Subscribe(job, watcher);
  hub_.Notify(*job, false);  // still to be told when the watcher leaves
  hub_.Unsubscribe(*job, *watcher);
  hub_.RunOnce();
  hub_.Subscribe(job, watcher);
  clock_.Advance(absl::Seconds(1));
  hub_.Notify(*job, false);
  hub_.RunOnce();
  EXPECT_EQ(watcher->news(), 1);
}

TEST_F(WatchHubTest, RunsTimersWhenTheyAreDue) {
  int runs = 0;
  const int64_t handle = hub_.AddTimer([&](absl::Time now) {
    ++runs;
    return now + absl::Seconds(3);
  });
  EXPECT_EQ(hub_.RunOnce(), clock_.Now() + absl::Seconds(3));
  clock_.Advance(absl::Seconds(2));
  hub_.RunOnce();
  EXPECT_EQ(runs, 1);
  hub_.Wake();
  hub_.RunOnce();
  EXPECT_EQ(runs, 2);
  clock_.Advance(absl::Seconds(3));
  hub_.RunOnce();
  EXPECT_EQ(runs, 3);
  hub_.RemoveTimer(handle);
  clock_.Advance(absl::Seconds(10));
  hub_.RunOnce();
  EXPECT_EQ(runs, 3);
}

TEST_F(WatchHubTest, ClosingEndsEveryWatchOnce) {
  const std::shared_ptr<Job> job = MakeJob(hub_);
  const auto watcher = std::make_shared<Recorder>();
  hub_.Subscribe(job, watcher);
  hub_.Close();
  hub_.Close();
  EXPECT_EQ(watcher->closed(), 1);
  hub_.Notify(*job, true);
  hub_.RunOnce();
  EXPECT_EQ(watcher->news(), 0);
  const auto late = std::make_shared<Recorder>();
  hub_.Subscribe(job, late);
  EXPECT_EQ(late->closed(), 1);
}

TEST_F(WatchHubTest, AWatcherMaySubscribeAndLeaveFromItsSignal) {
  class Leaver final : public Watcher {
   public:
    Leaver(WatchHub& hub, std::shared_ptr<Job> job) : hub_(hub), job_(std::move(job)) {}
    void OnSignal(Signal) override {
      ++signals_;
      hub_.Unsubscribe(*job_, *this);
    }
    int signals() const { return signals_; }

   private:
    WatchHub& hub_;
    const std::shared_ptr<Job> job_;
    int signals_ = 0;
  };
  const std::shared_ptr<Job> job = MakeJob(hub_);
  const auto leaver = std::make_shared<Leaver>(hub_, job);
  hub_.Subscribe(job, leaver);
  hub_.Notify(*job, true);
  hub_.RunOnce();
  hub_.Notify(*job, true);
  hub_.RunOnce();
  EXPECT_EQ(leaver->signals(), 1);
}

TEST_F(WatchHubTest, ItsThreadDeliversNewsAndTimers) {
  WatchHubOptions options;
  options.clock = [] { return absl::Now(); };
  options.round_interval = absl::ZeroDuration();
  WatchHub hub(options);
  std::latch ran(2);
  std::atomic<int> runs = 0;
  const int64_t handle = hub.AddTimer([&](absl::Time) {
    if (++runs <= 2) ran.count_down();
    return absl::InfiniteFuture();
  });
  const std::shared_ptr<Job> job = MakeJob(hub);
  const auto watcher = std::make_shared<Recorder>();
  hub.Subscribe(job, watcher);
  for (int i = 1; i <= 20; ++i) {
    hub.Notify(*job, false);
    watcher->WaitForNews(i);
  }
  while (runs < 1) std::this_thread::yield();
  hub.Wake();
  ran.wait();
  hub.RemoveTimer(handle);
  hub.Close();
  EXPECT_EQ(watcher->closed(), 1);
}

TEST_F(WatchHubTest, SubscribersAndNewsMayRace) {
  WatchHubOptions options;
  options.clock = [] { return absl::Now(); };
  options.round_interval = absl::ZeroDuration();
  WatchHub hub(options);
  const std::shared_ptr<Job> job = MakeJob(hub);
  std::atomic<bool> done = false;
  std::jthread maker([&] {
    while (!done) hub.Notify(*job, false);
  });
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        const auto watcher = std::make_shared<Recorder>();
        hub.Subscribe(job, watcher);
        watcher->WaitForNews(1);
        if (i % 2 == 0) hub.Unsubscribe(*job, *watcher);
      }
    });
  }
  threads.clear();
  done = true;
}

}  // namespace
}  // namespace emserve::server
