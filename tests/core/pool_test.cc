#include "core/runtime/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace emserve {
namespace {

TEST(Pool, CallsEveryIndexOnce) {
  for (const int threads : {1, 2, 7}) {
    Pool pool(threads);
    Pool::Share share(pool);
    for (const int64_t count : {0, 1, 2, 3, 100, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      share.For(count, [&](int64_t index, int) { ++calls[static_cast<size_t>(index)]; });
      for (const auto& n : calls) EXPECT_EQ(n, 1);
    }
  }
}

TEST(Pool, SlotsOfConcurrentBodiesDiffer) {
  Pool pool(5);
  Pool::Share share(pool);
  std::vector<std::atomic<bool>> busy(5);
  share.For(5000, [&](int64_t, int slot) {
    ASSERT_GE(slot, 0);
    ASSERT_LT(slot, share.num_slots());
    EXPECT_FALSE(busy[static_cast<size_t>(slot)].exchange(true));
    busy[static_cast<size_t>(slot)] = false;
  });
}

TEST(Pool, UsesAllItsThreads) {
  Pool pool(4);
  Pool::Share share(pool);
  std::latch all(4);  // passes only if four bodies run at the same time
  share.For(4, [&](int64_t, int) { all.arrive_and_wait(); });
  EXPECT_TRUE(all.try_wait());
}

TEST(Pool, LoopsNest) {
  Pool pool(3);
  Pool::Share share(pool);
  std::atomic<int> calls = 0;
  share.For(8, [&](int64_t, int) {
    share.For(8, [&](int64_t, int) { share.For(4, [&](int64_t, int) { ++calls; }); });
  });
  EXPECT_EQ(calls, 256);
}

TEST(Pool, WritesOfBodiesAreVisibleAfterTheLoop) {
  Pool pool(4);
  Pool::Share share(pool);
  for (int round = 0; round < 200; ++round) {
    std::vector<int> plain(64);
    share.For(64, [&](int64_t index, int) { plain[static_cast<size_t>(index)] = round; });
    for (const int value : plain) ASSERT_EQ(value, round);
  }
}

// The small loop needs two bodies at the same time, so it ends only if the worker turns to it while
// the big loop, which lasts until the small one has ended, still has indices to give.
TEST(Pool, ServesASmallLoopDuringABigOne) {
  Pool pool(2);
  std::atomic<int64_t> given_before_small_ended = 0;
  std::atomic<bool> small_ended = false;
  std::latch big_started(1);
  std::thread big([&] {
    Pool::Share share(pool);
    std::once_flag once;
    share.For(1'000'000, [&](int64_t index, int) {
      std::call_once(once, [&] { big_started.count_down(); });
      if (!small_ended) {
        given_before_small_ended = index;
        std::this_thread::yield();
      }
    });
  });
  big_started.wait();
  Pool::Share share(pool);
  std::latch both(2);
  share.For(2, [&](int64_t, int) { both.arrive_and_wait(); });
  small_ended = true;
  big.join();
  EXPECT_LT(given_before_small_ended, 999'999) << "the small loop waited for the big one's end";
}

TEST(Pool, ManySharesWorkAtOnce) {
  Pool pool(3);
  std::atomic<int64_t> calls = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      Pool::Share share(pool);
      for (int round = 0; round < 50; ++round) share.For(20, [&](int64_t, int) { ++calls; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(calls, 8 * 50 * 20);
}

}  // namespace
}  // namespace emserve
