// Where chains are in the long run, also where states are so rare that doubles lose them on the
// way, and transitions of chains that start there.
#include "core/em/stationary.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stop_token>
#include <vector>

#include "core/runtime/random.h"
#include "gtest/gtest.h"

namespace emserve::testing {
namespace {

using Values = std::vector<double>;

Values StationaryOf(const Values& transitions, size_t size) {
  Values stationary(size);
  StationaryDistribution(transitions, stationary);
  return stationary;
}

void ExpectRelative(const Values& values, const Values& expected) {
  ASSERT_EQ(values.size(), expected.size());
  for (size_t k = 0; k < values.size(); ++k) {
    EXPECT_NEAR(values[k], expected[k], 1e-13 * expected[k]) << k;
  }
}

// A chain of positive transitions between all states.
Values Drawn(size_t size, uint64_t seed) {
  Random random(seed, 0);
  Values a(size * size);
  for (size_t i = 0; i < size; ++i) {
    double sum = 0;
    for (size_t j = 0; j < size; ++j) sum += a[i * size + j] = random.Uniform() + 0.01;
    for (size_t j = 0; j < size; ++j) a[i * size + j] /= sum;
  }
  return a;
}

TEST(StationaryDistribution, Stays) {
  for (const size_t size : {1, 2, 5, 20}) {
    const Values a = Drawn(size, size);
    const Values p = StationaryOf(a, size);
    for (size_t j = 0; j < size; ++j) {
      double next = 0;
      for (size_t i = 0; i < size; ++i) next += p[i] * a[i * size + j];
      EXPECT_NEAR(next, p[j], 1e-15);
    }
  }
}

// Up a ladder with 1/10 and down with very little: each rung holds up / down times the one below.
TEST(StationaryDistribution, LosesNothingOfStatesThatAreHardlyLeft) {
  for (const double down : {1e-3, 1e-100, 1e-170, 1e-300, 1e-310}) {
    const Values p = StationaryOf({0.9, 0.1, 0, down, 0.9 - down, 0.1, 0, down, 1 - down}, 3);
    const double ratio = down / 0.1;
    const double sum = 1 + ratio + ratio * ratio;
    EXPECT_NEAR(p[2], 1 / sum, 1e-13);
    EXPECT_NEAR(p[1] / (ratio / sum), 1, 1e-13);
    if (down > 1e-150) {
      EXPECT_NEAR(p[0] / (ratio * ratio / sum), 1, 1e-13);
    } else {
      EXPECT_EQ(p[0], 0);
    }
    ExpectRelative(LongRunShares(Values{0.9, 0.1, 0, down, 0.9, 0.1, 0, down, 1}, Values{1, 1, 1}),
                   StationaryOf({0.9, 0.1, 0, down, 0.9, 0.1, 0, down, 1}, 3));
  }
}

// The only way to state 1 leads through state 3 and has less than any double: 1e-340, and a way
// back as rare as its half.
TEST(StationaryDistribution, LosesNoWayThatIsRarerThanADouble) {
  const double rare = 1e-170;
  const Values p = StationaryOf({0, 0, 1, rare, rare, 1, 0, 0, 1, 0, 0, 0, 1, rare, 0, 0}, 4);
  ExpectRelative(p, {0.5, 0.5 * rare, 0.5, 0.5 * rare});
}

TEST(StationaryDistribution, IsWhereNothingLeadsAway) {
  EXPECT_EQ(StationaryOf({0.5, 0.5, 0, 1}, 2), (Values{0, 1}));
  EXPECT_EQ(StationaryOf({1, 0, 0.5, 0.5}, 2), (Values{1, 0}));
  ExpectRelative(StationaryOf({0.5, 0.25, 0.25, 0, 0.5, 0.5, 0, 0.25, 0.75}, 3),
                 {0, 1.0 / 3, 2.0 / 3});
  const Values p = StationaryOf({1, 0, 0, 1}, 2);
  EXPECT_EQ(p[0] + p[1], 1);
}

struct Problem {
  explicit Problem(size_t size)
      : rows("a", static_cast<int>(size), static_cast<int64_t>(size), 1),
        now(Drawn(size, 3)),
        counts(Drawn(size, 4)),
        initial_counts(size) {
    for (size_t k = 0; k < size; ++k) initial_counts[k] = 5.0 * static_cast<double>(k + 1);
    for (double& count : counts) count *= 100;
  }
  double Objective(const Values& a) const {
    const Values p = StationaryOf(a, initial_counts.size());
    double sum = 0;
    for (size_t j = 0; j < a.size(); ++j) sum += counts[j] * std::log(a[j]);
    for (size_t k = 0; k < p.size(); ++k) sum += initial_counts[k] * std::log(p[k]);
    return sum;
  }

  SimplexRows rows;
  Values now, counts, initial_counts;
};

// No small move of probability between two transitions from a state raises the objective.
TEST(MaximizeStationary, EndsAtAMaximum) {
  for (const size_t size : {2, 3, 6}) {
    const Problem problem(size);
    Values next(size * size);
    Values stationary(size);
    ASSERT_TRUE(MaximizeStationary(problem.rows, problem.counts, problem.initial_counts,
                                   problem.now, next, stationary, {})
                    .ok());
    EXPECT_EQ(stationary, StationaryOf(next, size));
    const double reached = problem.Objective(next);
    for (size_t i = 0; i < size; ++i) {
      for (size_t j = 1; j < size; ++j) {
        for (const double step : {1e-4, -1e-4}) {
          Values moved = next;
          moved[i * size] -= step;
          moved[i * size + j] += step;
          EXPECT_LT(problem.Objective(moved), reached);
        }
      }
    }
  }
}

// Uninterrupted it would take minutes.
TEST(MaximizeStationary, EndsOnceItIsAskedTo) {
  const size_t size = 1000;
  const Problem problem(size);
  Values next(size * size);
  Values stationary(size);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(
      absl::IsCancelled(MaximizeStationary(problem.rows, problem.counts, problem.initial_counts,
                                           problem.now, next, stationary, stop.get_token())));
}

}  // namespace
}  // namespace emserve::testing
