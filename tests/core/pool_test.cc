#include "core/runtime/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <new>
#include <stdexcept>
#include <string>
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

TEST(Pool, UsesAllItsThreadsWithASlotForEach) {
  Pool pool(4);
  Pool::Share share(pool);
  std::latch all(4);  // passes only if four bodies run at the same time
  std::vector<std::atomic<int>> uses(4);
  share.For(4, [&](int64_t, int slot) {
    ++uses[static_cast<size_t>(slot)];
    all.arrive_and_wait();
  });
  for (const auto& n : uses) EXPECT_EQ(n, 1);
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

// The pool has one worker besides the callers. The big loop's caller stays in its first body, so
// the worker alone runs the rest; it must turn to the small loop as soon as that arrives.
TEST(Pool, ServesASmallLoopDuringABigOne) {
  Pool pool(2);
  std::latch worker_in_big(1), small_arrived(1), small_served(1);
  std::atomic<int> big_before_small = 0;
  std::thread big([&] {
    Pool::Share share(pool);
    const std::thread::id caller = std::this_thread::get_id();
    std::atomic<bool> worker_came = false;
    share.For(1000, [&](int64_t, int) {
      if (std::this_thread::get_id() == caller) {
        small_served.wait();
      } else if (!worker_came.exchange(true)) {
        worker_in_big.count_down();
        small_arrived.wait();
      } else if (!small_served.try_wait()) {
        ++big_before_small;
      }
    });
  });
  worker_in_big.wait();
  Pool::Share share(pool);
  const std::thread::id caller = std::this_thread::get_id();
  share.For(2, [&](int64_t, int) {
    if (std::this_thread::get_id() == caller) {
      small_arrived.count_down();
      small_served.wait();
    } else {
      small_served.count_down();
    }
  });
  big.join();
  EXPECT_LE(big_before_small, 1) << "the small loop waited for the big one's end";
}

// Two loops of one share, called from two threads, take turns too.
TEST(Pool, ServesASecondLoopOfTheSameShareDuringTheFirst) {
  Pool pool(2);
  Pool::Share share(pool);
  std::latch worker_in_first(1), second_arrived(1), second_served(1);
  std::atomic<int> first_before_second = 0;
  std::thread first([&] {
    const std::thread::id caller = std::this_thread::get_id();
    std::atomic<bool> worker_came = false;
    share.For(1000, [&](int64_t, int) {
      if (std::this_thread::get_id() == caller) {
        second_served.wait();
      } else if (!worker_came.exchange(true)) {
        worker_in_first.count_down();
        second_arrived.wait();
      } else if (!second_served.try_wait()) {
        ++first_before_second;
      }
    });
  });
  worker_in_first.wait();
  const std::thread::id caller = std::this_thread::get_id();
  share.For(2, [&](int64_t, int) {
    if (std::this_thread::get_id() == caller) {
      second_arrived.count_down();
      second_served.wait();
    } else {
      second_served.count_down();
    }
  });
  first.join();
  EXPECT_LE(first_before_second, 1);
}

// A caller that gave away its last index waits for that body, and its own share's other loops run
// on: no thread waits for one that waits for it.
TEST(Pool, NestedLoopsOfManySharesFinish) {
  Pool pool(3);
  std::atomic<int64_t> calls = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      Pool::Share share(pool);
      std::vector<std::atomic<bool>> busy(3);
      for (int round = 0; round < 20; ++round) {
        share.For(7, [&](int64_t, int slot) {
          EXPECT_FALSE(busy[static_cast<size_t>(slot)].exchange(true));
          share.For(5, [&](int64_t, int) { share.For(3, [&](int64_t, int) { ++calls; }); });
          busy[static_cast<size_t>(slot)] = false;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(calls, 4 * 20 * 7 * 5 * 3);
}

TEST(Pool, RunsALoopOfOneIndexOnTheCallingThread) {
  Pool pool(4);
  Pool::Share share(pool);
  std::thread::id ran_on;
  share.For(1, [&](int64_t, int slot) {
    ran_on = std::this_thread::get_id();
    EXPECT_EQ(slot, 0);
  });
  EXPECT_EQ(ran_on, std::this_thread::get_id());
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

// Four bodies run at the same time and all throw; of the rest none is begun.
TEST(Pool, BodiesThatThrowOnAllThreadsThrowInTheCaller) {
  Pool pool(4);
  Pool::Share share(pool);
  for (int round = 0; round < 50; ++round) {
    std::latch all(4);
    std::atomic<int> calls = 0;
    EXPECT_THROW(share.For(1000,
                           [&](int64_t, int) {
                             ++calls;
                             all.arrive_and_wait();
                             throw std::bad_alloc();
                           }),
                 std::bad_alloc);
    EXPECT_EQ(calls, 4);
    // All threads are there again, each with a slot.
    std::latch again(4);
    std::vector<std::atomic<int>> uses(4);
    share.For(4, [&](int64_t, int slot) {
      ++uses[static_cast<size_t>(slot)];
      again.arrive_and_wait();
    });
    for (const auto& n : uses) EXPECT_EQ(n, 1);
  }
}

// Whichever side throws, the other's body has returned when the caller sees the exception.
TEST(Pool, WaitsForRunningBodiesWhenOneThrows) {
  for (const bool caller_throws : {false, true}) {
    Pool pool(2);
    Pool::Share share(pool);
    const std::thread::id caller = std::this_thread::get_id();
    for (int round = 0; round < 50; ++round) {
      std::latch both(2);
      std::atomic<int> begun = 0;
      std::vector<int> plain(1, 0);
      const auto loop = [&] {
        share.For(100, [&](int64_t, int) {
          if (begun++ < 2) both.arrive_and_wait();
          if ((std::this_thread::get_id() == caller) == caller_throws) {
            throw std::runtime_error("no");
          }
          std::this_thread::yield();
          plain[0] = round + 1;
        });
      };
      EXPECT_THROW(loop(), std::runtime_error);
      EXPECT_EQ(plain[0], round + 1);
    }
  }
}

TEST(Pool, ThrowsOutOfNestedLoopsAndLeavesOtherSharesAlone) {
  Pool pool(3);
  std::atomic<int64_t> calls = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Pool::Share share(pool);
      for (int round = 0; round < 50; ++round) {
        const auto loop = [&] {
          share.For(7, [&](int64_t outer, int) {
            share.For(5, [&](int64_t inner, int) {
              if (t < 2 && outer == 3 && inner == 2) throw std::runtime_error(std::to_string(t));
              if (t >= 2) ++calls;
            });
          });
        };
        if (t >= 2) {
          loop();
          continue;
        }
        try {
          loop();
          ADD_FAILURE() << "nothing was thrown";
        } catch (const std::runtime_error& error) {
          EXPECT_EQ(error.what(), std::to_string(t));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(calls, 2 * 50 * 7 * 5);
}

TEST(Pool, OneThreadThrowsAtOnce) {
  Pool pool(1);
  Pool::Share share(pool);
  int calls = 0;
  EXPECT_THROW(share.For(10,
                         [&](int64_t index, int) {
                           ++calls;
                           if (index == 2) throw std::bad_alloc();
                         }),
               std::bad_alloc);
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace emserve
