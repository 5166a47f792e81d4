#include "server/executor.h"

#include <atomic>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "server/errors.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

TEST(ExecutorTest, RunsEveryTask) {
  std::atomic<int> ran = 0;
  {
    Executor executor(3, 1000);
    for (int i = 0; i < 500; ++i) {
      ASSERT_THAT(executor.Submit([&] { ++ran; }), IsOk());
    }
  }
  EXPECT_EQ(ran, 500);
}

TEST(ExecutorTest, RefusesWhatExceedsTheQueueAndSaysWhenToRetry) {
  Gate gate;
  std::latch busy(1);
  std::atomic<int> ran = 0;
  Executor executor(1, 2);
  ASSERT_THAT(executor.Submit([&] {
    busy.count_down();
    gate.Wait();
  }),
              IsOk());
  busy.wait();
  EXPECT_THAT(executor.Submit([&] { ++ran; }), IsOk());
  EXPECT_THAT(executor.Submit([&] { ++ran; }), IsOk());
  const absl::Status full = executor.Submit([&] { ++ran; });
  EXPECT_THAT(full, FailsWith(absl::StatusCode::kResourceExhausted, "2"));
  EXPECT_EQ(ReasonOf(full), "EXECUTOR_QUEUE_FULL");
  EXPECT_TRUE(RetryDelayOf(full).has_value());
  executor.Post([&] { ++ran; });  // beyond the bound
  EXPECT_EQ(executor.num_queued(), 3);
  gate.Open();
  executor.Stop();
  EXPECT_EQ(ran, 3);
}

TEST(ExecutorTest, OnceStoppedRefusesSubmitsAndRunsPostsOnTheCaller) {
  Executor executor(1, 2);
  executor.Stop();
  EXPECT_THAT(executor.Submit([] {}), FailsWith(absl::StatusCode::kUnavailable, "shutting down"));
  std::thread::id ran_on;
  executor.Post([&] { ran_on = std::this_thread::get_id(); });
  EXPECT_EQ(ran_on, std::this_thread::get_id());
  executor.Stop();  // twice is fine
}

TEST(ExecutorTest, ReleasesATaskOutsideItsLock) {
  std::latch released(1);
  Executor executor(1, 10);
  // The last holder submits when it goes: that must not meet a held lock.
  struct OnRelease {
    Executor& executor;
    std::latch& released;
    ~OnRelease() {
      EXPECT_THAT(executor.Submit([this_latch = &released] { this_latch->count_down(); }), IsOk());
    }
  };
  auto held = std::make_shared<OnRelease>(executor, released);
  ASSERT_THAT(executor.Submit([held] {}), IsOk());
  held.reset();
  released.wait();
}

TEST(ExecutorTest, TakesTasksFromManyThreads) {
  Executor executor(2, 100000);
  std::atomic<int> ran = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) ASSERT_THAT(executor.Submit([&] { ++ran; }), IsOk());
    });
  }
  threads.clear();
  executor.Stop();
  EXPECT_EQ(ran, 4000);
}

}  // namespace
}  // namespace emserve::server
