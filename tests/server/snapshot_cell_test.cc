#include "server/registry/snapshot_cell.h"

#include <atomic>
#include <cstdint>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace emserve::server {
namespace {

// A value that knows how many of its kind live, and whether it is whole.
struct Counted {
  Counted(int64_t n, std::atomic<int64_t>& count) : first(n), second(n), live(count) { ++live; }
  ~Counted() {
    first = -1;
    second = -2;
    --live;
  }
  int64_t first;
  int64_t second;
  std::atomic<int64_t>& live;
};

TEST(SnapshotCellTest, HoldsTheValueStoredLast) {
  SnapshotCell<int> cell(std::make_shared<const int>(1));
  EXPECT_EQ(*cell.Load(), 1);
  cell.Store(std::make_shared<const int>(2));
  EXPECT_EQ(*cell.Load(), 2);
}

TEST(SnapshotCellTest, AReaderKeepsWhatItLoaded) {
  std::atomic<int64_t> live = 0;
  SnapshotCell<Counted> cell(std::make_shared<const Counted>(1, live));
  const std::shared_ptr<const Counted> kept = cell.Load();
  cell.Store(std::make_shared<const Counted>(2, live));
  EXPECT_EQ(kept->first, 1);
  EXPECT_EQ(live, 2);
}

TEST(SnapshotCellTest, FreesWhatNobodyHolds) {
  std::atomic<int64_t> live = 0;
  {
    SnapshotCell<Counted> cell(std::make_shared<const Counted>(0, live));
    for (int i = 1; i <= 100; ++i) {
      cell.Store(std::make_shared<const Counted>(i, live));
      EXPECT_EQ(live, 1);
    }
  }
  EXPECT_EQ(live, 0);
}

// More readers than slots, several writers: every load is whole, and no reader ever sees time run
// backwards.
TEST(SnapshotCellTest, RacingReadersSeeWholeValuesInOrder) {
  constexpr int kReaders = 80;
  constexpr int kLoads = 400;
  constexpr int kStores = 300;
  std::atomic<int64_t> live = 0;
  {
    SnapshotCell<Counted> cell(std::make_shared<const Counted>(0, live));
    std::latch start(kReaders + 2);
    std::mutex order;
    int64_t next = 0;
    std::vector<std::jthread> threads;
    for (int w = 0; w < 2; ++w) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        for (int i = 0; i < kStores; ++i) {
          const std::lock_guard lock(order);
          cell.Store(std::make_shared<const Counted>(++next, live));
        }
      });
    }
    for (int r = 0; r < kReaders; ++r) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        int64_t newest = 0;
        for (int i = 0; i < kLoads; ++i) {
          const std::shared_ptr<const Counted> value = cell.Load();
          ASSERT_EQ(value->first, value->second);
          ASSERT_GE(value->first, newest);
          newest = value->first;
        }
      });
    }
    threads.clear();
    EXPECT_EQ(cell.Load()->first, 2 * kStores);
    EXPECT_EQ(live, 1);
  }
  EXPECT_EQ(live, 0);
}

TEST(SnapshotCellTest, WritersMayStoreAtOnce) {
  std::atomic<int64_t> live = 0;
  SnapshotCell<Counted> cell(std::make_shared<const Counted>(0, live));
  std::vector<std::jthread> threads;
  for (int w = 0; w < 4; ++w) {
    threads.emplace_back([&, w] {
      for (int i = 0; i < 500; ++i) cell.Store(std::make_shared<const Counted>(w, live));
    });
  }
  threads.clear();
  EXPECT_EQ(live, 1);
}

}  // namespace
}  // namespace emserve::server
