#include "server/jobs/event_log.h"

#include <atomic>
#include <latch>
#include <set>
#include <thread>
#include <vector>

#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

constexpr absl::Time kNow = absl::UnixEpoch();

IterationEvent Iteration(int64_t n) {
  return {.restart = 0, .iteration = n, .objective = -1.0 * n};
}
WarningEvent Warning(const std::string& reason) { return {reason, "a message", 0}; }

bool IsIteration(const JobEvent& event) {
  return std::holds_alternative<IterationEvent>(event.what);
}

std::vector<JobEvent> All(const EventLog& log) {
  std::vector<JobEvent> all;
  for (int64_t after = 0;;) {
    EventBatch batch = log.Read(after, 7);
    if (batch.events.empty()) return all;
    all.insert(all.end(), batch.events.begin(), batch.events.end());
    after = batch.cursor;
  }
}

int64_t CountReason(const EventLog& log, const std::string& reason) {
  int64_t count = 0;
  for (const JobEvent& event : All(log)) {
    const auto* warning = std::get_if<WarningEvent>(&event.what);
    count += warning != nullptr && warning->reason == reason ? 1 : 0;
  }
  return count;
}

TEST(EventLogTest, NumbersEventsFromOneWithoutAGap) {
  EventLog log(1000);
  EXPECT_EQ(log.last_sequence(), 0);
  log.Append(kNow, StateChangeEvent{JobState::kPending});
  for (int i = 0; i < 200; ++i) log.Append(kNow, Iteration(i));
  log.Append(kNow, Warning("REASON"));
  const std::vector<JobEvent> all = All(log);
  ASSERT_EQ(all.size(), 202u);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].sequence, static_cast<int64_t>(i) + 1);
  EXPECT_EQ(std::get<IterationEvent>(all[150].what).iteration, 149);
  EXPECT_EQ(log.last_sequence(), 202);
}

TEST(EventLogTest, ReadsFromACursorInBoundedBatches) {
  EventLog log(1000);
  for (int i = 0; i < 10; ++i) log.Append(kNow, Iteration(i));
  const EventBatch batch = log.Read(4, 3);
  ASSERT_EQ(batch.events.size(), 3u);
  EXPECT_EQ(batch.events[0].sequence, 5);
  EXPECT_EQ(batch.cursor, 7);
  EXPECT_EQ(batch.skipped_count, 0);
  EXPECT_TRUE(log.Read(10, 3).events.empty());
  EXPECT_EQ(log.Read(10, 3).cursor, 10);
  EXPECT_TRUE(log.Read(12, 3).events.empty());  // a cursor beyond the end stays where it is
  EXPECT_EQ(log.Read(12, 3).cursor, 12);
}

TEST(EventLogTest, StaysBoundedHoweverLongAFitRuns) {
  constexpr int64_t kMax = 500;
  EventLog log(kMax);
  log.Append(kNow, StateChangeEvent{JobState::kRunning});
  for (int64_t i = 0; i < 3000000; ++i) log.Append(kNow, Iteration(i));
  log.Append(kNow, StateChangeEvent{JobState::kSucceeded});
  EXPECT_LE(log.last_sequence(), kMax);
  const std::vector<JobEvent> all = All(log);
  EXPECT_EQ(std::get<StateChangeEvent>(all.back().what).state, JobState::kSucceeded);
  EXPECT_EQ(CountReason(log, "EVENTS_THINNED"), 1);
  // The beginning is complete and even the last tenth of the fit has left events.
  for (int i = 0; i < 100; ++i) EXPECT_EQ(std::get<IterationEvent>(all[i + 1].what).iteration, i);
  int64_t newest = 0;
  for (const JobEvent& event : all) {
    if (IsIteration(event)) newest = std::get<IterationEvent>(event.what).iteration;
  }
  EXPECT_GT(newest, 1000000);
}

TEST(EventLogTest, ThereIsNothingAfterASequenceThatIsNotThere) {
  EventLog log(100);
  for (int i = 0; i < 5; ++i) log.Append(absl::Now(), StateChangeEvent{JobState::kRunning});
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const int64_t after : {int64_t{5}, int64_t{6}, kMost, int64_t{-1}, -kMost}) {
    EXPECT_TRUE(log.Read(after, 3).events.empty()) << after;
    EXPECT_TRUE(log.ReadThinned(after, 3).events.empty()) << after;
    EXPECT_EQ(log.Read(after, 3).cursor, after);
  }
}

TEST(EventLogTest, DoesNotThinWhatHasRoom) {
  EventLog log(1000);
  for (int i = 0; i < 370; ++i) EXPECT_TRUE(log.Append(kNow, Iteration(i)));
  EXPECT_EQ(CountReason(log, "EVENTS_THINNED"), 0);
}

TEST(EventLogTest, AFloodOfOneWarningLeavesRoomForAnother) {
  constexpr int64_t kMax = 1000;
  EventLog log(kMax);
  for (int i = 0; i < 100000; ++i) log.Append(kNow, Warning("FLOOD"));
  EXPECT_TRUE(log.Append(kNow, Warning("RARE")));
  for (int i = 0; i < 100000; ++i) log.Append(kNow, Iteration(i));
  log.Append(kNow, StateChangeEvent{JobState::kFailed});
  EXPECT_LE(log.last_sequence(), kMax);
  EXPECT_GE(CountReason(log, "FLOOD"), 100);
  EXPECT_EQ(CountReason(log, "RARE"), 1);
}

TEST(EventLogTest, ManyReasonsStayBoundedToo) {
  constexpr int64_t kMax = 200;
  EventLog log(kMax);
  for (int i = 0; i < 1000; ++i) log.Append(kNow, Warning("REASON_" + std::to_string(i)));
  for (int i = 0; i < 1000; ++i) log.Append(kNow, Iteration(i));
  for (int i = 0; i < 7; ++i) log.Append(kNow, StateChangeEvent{JobState::kRunning});
  EXPECT_LE(log.last_sequence(), kMax);
}

TEST(EventLogTest, GivesAReaderFarBehindAnEvenSelection) {
  EventLog log(10000);
  log.Append(kNow, StateChangeEvent{JobState::kRunning});
  for (int i = 0; i < 2000; ++i) {
    log.Append(kNow, Iteration(i));
    if (i == 1000) log.Append(kNow, Warning("MIDDLE"));
  }
  log.Append(kNow, StateChangeEvent{JobState::kSucceeded});
  const EventBatch batch = log.ReadThinned(0, 100);
  EXPECT_EQ(batch.cursor, log.last_sequence());
  ASSERT_EQ(batch.events.size(), 100u);
  EXPECT_EQ(batch.skipped_count, log.last_sequence() - 100);
  int64_t others = 0;
  int64_t before = 0;
  int64_t largest_gap = 0;
  for (const JobEvent& event : batch.events) {
    others += IsIteration(event) ? 0 : 1;
    EXPECT_GT(event.sequence, before);
    largest_gap = std::max(largest_gap, event.sequence - before);
    before = event.sequence;
  }
  EXPECT_EQ(others, 3);  // all of them
  EXPECT_LE(largest_gap, 25);
  EXPECT_EQ(std::get<IterationEvent>(batch.events[98].what).iteration, 1999);  // the newest
}

TEST(EventLogTest, ThinnedReadingNeverLeavesOutWarnings) {
  EventLog log(4000);
  for (int i = 0; i < 90; ++i) log.Append(kNow, Warning("A"));
  for (int i = 0; i < 50; ++i) log.Append(kNow, Iteration(i));
  for (int i = 0; i < 90; ++i) log.Append(kNow, Warning("B"));
  int64_t after = 0;
  int64_t skipped = 0;
  std::vector<JobEvent> seen;
  while (after < log.last_sequence()) {
    const EventBatch batch = log.ReadThinned(after, 40);
    ASSERT_LE(batch.events.size(), 40u);
    ASSERT_GT(batch.cursor, after);
    EXPECT_EQ(batch.cursor - after,
              static_cast<int64_t>(batch.events.size()) + batch.skipped_count);
    seen.insert(seen.end(), batch.events.begin(), batch.events.end());
    skipped += batch.skipped_count;
    after = batch.cursor;
  }
  int64_t warnings = 0;
  for (const JobEvent& event : seen) warnings += IsIteration(event) ? 0 : 1;
  EXPECT_EQ(warnings, 180);
  EXPECT_EQ(static_cast<int64_t>(seen.size()) + skipped, log.last_sequence());
}

TEST(EventLogTest, ThinnedReadingOfLittleIsComplete) {
  EventLog log(1000);
  for (int i = 0; i < 40; ++i) log.Append(kNow, Iteration(i));
  const EventBatch batch = log.ReadThinned(0, 40);
  EXPECT_EQ(batch.events.size(), 40u);
  EXPECT_EQ(batch.skipped_count, 0);
}

// Writers of several threads and readers at once: sequences stay gapless and readers see whole
// events.
TEST(EventLogTest, ReadersRaceWithWriters) {
  constexpr int kWriters = 3;
  constexpr int kEvents = 3000;
  EventLog log(40000);
  std::latch start(kWriters + 3);
  std::atomic<int> writing = kWriters;
  std::vector<std::jthread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      start.arrive_and_wait();
      for (int i = 0; i < kEvents; ++i) {
        log.Append(kNow, IterationEvent{.restart = w, .iteration = i, .objective = 1.0 * i});
        if (i % 100 == 0) log.Append(kNow, Warning("R" + std::to_string(w)));
      }
      --writing;
    });
  }
  for (int r = 0; r < 3; ++r) {
    threads.emplace_back([&, r] {
      start.arrive_and_wait();
      int64_t after = 0;
      int64_t accounted = 0;
      bool last_look = false;
      while (!last_look) {
        last_look = writing == 0;
        const EventBatch batch = r == 0 ? log.ReadThinned(after, 50) : log.Read(after, 1000000);
        int64_t before = after;
        for (const JobEvent& event : batch.events) {
          ASSERT_GT(event.sequence, before);
          before = event.sequence;
          if (const auto* iteration = std::get_if<IterationEvent>(&event.what)) {
            ASSERT_EQ(iteration->objective, 1.0 * iteration->iteration);
          } else if (const auto* warning = std::get_if<WarningEvent>(&event.what)) {
            ASSERT_EQ(warning->message, "a message");
          }
        }
        accounted += static_cast<int64_t>(batch.events.size()) + batch.skipped_count;
        after = batch.cursor;
        ASSERT_EQ(accounted, after);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(log.last_sequence(), kWriters * (kEvents + kEvents / 100));
}

TEST(EventLogTest, CountsItsMemory) {
  EventLog log(10000);
  const int64_t before = log.footprint();
  for (int i = 0; i < 50; ++i) log.Append(kNow, WarningEvent{"R", std::string(10000, 'x'), 0});
  EXPECT_GE(log.footprint() - before, 500000);
}

// A sweep's candidates and its warnings share a quarter of the room.
TEST(EventLogTest, KeepsCandidatesWhileThereIsRoomAndSaysSoWhenThereIsNot) {
  EventLog log(100);
  const int64_t before = log.footprint();
  const auto row = std::make_shared<SweepRow>();
  int kept = 0;
  for (int i = 0; i < 200; ++i) kept += log.Append(kNow, CandidateEvent{row}) ? 1 : 0;
  EXPECT_EQ(kept, 25);
  EXPECT_GE(log.footprint() - before, 25 * static_cast<int64_t>(sizeof(SweepRow)));
  EXPECT_EQ(log.last_sequence(), 26);  // with the warning
  for (int i = 0; i < 100000; ++i) log.Append(kNow, Iteration(i));
  EXPECT_TRUE(log.Append(kNow, StateChangeEvent{JobState::kSucceeded}));
  EXPECT_LE(log.last_sequence(), 100);
  // A reader that is far behind misses iterations, but no candidate.
  int candidates = 0;
  for (const JobEvent& event : log.ReadThinned(0, 40).events) {
    candidates += std::holds_alternative<CandidateEvent>(event.what) ? 1 : 0;
  }
  EXPECT_EQ(candidates, 25);
}

}  // namespace
}  // namespace emserve::server
