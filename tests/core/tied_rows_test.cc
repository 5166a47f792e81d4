// Ties between rows of probability vectors: closed forms, optimality, what is refused, and hidden
// Markov models with tied transitions.
#include "core/em/tied_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <stop_token>
#include <string>
#include <vector>

#include "core/em/fit.h"
#include "core/em/simplex_rows.h"
#include "core/emission/poisson.h"
#include "core/latent/hmm.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::DoubleNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

using Theta = std::vector<double>;
using Lists = std::vector<std::vector<int64_t>>;

Constraints On(int num_rows, int64_t size, const Lists& tied,
               const std::vector<FixedElements>& fixed = {}) {
  Layout layout;
  layout.Add("a", {num_rows, size});
  ConstraintOptions options{.fixed = fixed, .tied = {}};
  for (const std::vector<int64_t>& elements : tied) options.tied.push_back({"a", elements});
  return Constraints::Make(layout, options).value();
}

SimplexRows Tied(int num_rows, int64_t size, const Lists& tied,
                 const std::vector<FixedElements>& fixed = {}, double concentration = 1) {
  SimplexRows rows("a", num_rows, size, concentration);
  const absl::Status status = rows.Constrain(On(num_rows, size, tied, fixed));
  EXPECT_TRUE(status.ok()) << status;
  return rows;
}

Theta Even(const SimplexRows& rows, size_t size) {
  Theta even(size);
  rows.SetUniform(even);
  return even;
}

Theta Maximum(const SimplexRows& rows, const Theta& counts, const Theta& now) {
  Theta next(counts.size());
  EXPECT_TRUE(
      rows.Maximize(counts, std::vector<char>(counts.size() / rows.size()), now, next, {}).ok());
  return next;
}
Theta Maximum(const SimplexRows& rows, const Theta& counts) {
  return Maximum(rows, counts, Even(rows, counts.size()));
}

void ExpectSums(const SimplexRows& rows, const Theta& values) {
  for (size_t begin = 0; begin < values.size(); begin += rows.size()) {
    double sum = 0;
    for (size_t i = begin; i < begin + rows.size(); ++i) {
      EXPECT_GE(values[i], 0) << i;
      sum += values[i];
    }
    EXPECT_NEAR(sum, 1, 1e-14) << begin;
  }
}

TEST(TiedRowsMaximize, EqualDiagonalIsItsShareOfAllCounts) {
  const SimplexRows rows = Tied(3, 3, {{0, 4, 8}});
  EXPECT_EQ(rows.num_free(), 7 - 3);
  const Theta counts = {8, 1, 3, 2, 5, 0, 1, 1, 9};
  const double stay = 22. / 30;
  const double go = 1 - stay;
  const Theta expected = {stay, go / 4, go * 3 / 4, go, stay, 0, go / 2, go / 2, stay};
  const Theta next = Maximum(rows, counts);
  EXPECT_THAT(next, Pointwise(DoubleNear(1e-14), expected));
  EXPECT_EQ(next[5], 0);
  EXPECT_EQ(next[0], next[4]);
  EXPECT_EQ(next[0], next[8]);
  ExpectSums(rows, next);
}

TEST(TiedRowsMaximize, SymmetricSwitchingAndCirculants) {
  const SimplexRows two = Tied(2, 2, {{1, 2}});
  EXPECT_EQ(two.num_free(), 1);
  EXPECT_THAT(Maximum(two, {6, 3, 1, 10}), Pointwise(DoubleNear(1e-15), Theta{.8, .2, .2, .8}));
  const SimplexRows circulant = Tied(3, 3, {{0, 4, 8}, {1, 5, 6}, {2, 3, 7}});
  EXPECT_EQ(circulant.num_free(), 2);
  EXPECT_THAT(Maximum(circulant, {1, 2, 3, 1, 1, 4, 0, 2, 6}),
              Pointwise(DoubleNear(1e-14), Theta{.4, .3, .3, .3, .4, .3, .3, .3, .4}));
}

TEST(TiedRowsMaximize, CountsOfThePriorAndFixedElements) {
  // v = (4 + 1) / (4 + 1 + 8 + 1 + ...) of what a fixed 0.5 leaves.
  const SimplexRows rows = Tied(2, 3, {{0, 4}}, {{"a", {2, 5}, {0.5}}}, 1.5);
  const Theta next = Maximum(rows, {3, 2, 9, 4, 1, 7});
  EXPECT_THAT(next,
              Pointwise(DoubleNear(1e-15), Theta{5. / 24, 7. / 24, .5, 7. / 24, 5. / 24, .5}));
}

TEST(TiedRowsMaximize, AGroupWithoutCountsIsZeroUnlessTheRowsNeedIt) {
  // 2 a + c = 1 and a + b = 1 (with 0 fixed): b fills what a leaves.
  const SimplexRows rows = Tied(2, 3, {{0, 1, 3}}, {{"a", {5}, {0}}});
  EXPECT_THAT(Maximum(rows, {2, 1, 1, 3, 0, 0}),
              Pointwise(DoubleNear(1e-14), Theta{3. / 7, 3. / 7, 1. / 7, 3. / 7, 4. / 7, 0}));
  // Only self-transitions were seen: the corner where neither switch is left.
  const SimplexRows stay = Tied(2, 2, {{0, 3}});
  EXPECT_EQ(Maximum(stay, {5, 0, 0, 7}), (Theta{1, 0, 0, 1}));
  EXPECT_THAT(Maximum(stay, {0, 2, 1, 0}), Pointwise(DoubleNear(1e-15), Theta{0, 1, 1, 0}));
  // Degenerate: b = 0 costs nothing and gains nothing.
  const SimplexRows corner = Tied(2, 3, {{0, 3}}, {{"a", {2, 5}, {0, 0.5}}});
  EXPECT_THAT(Maximum(corner, {1, 1, 0, 0, 0, 0}),
              Pointwise(DoubleNear(1e-7), Theta{.5, .5, 0, .5, 0, .5}));
}

TEST(TiedRowsMaximize, KeepsRowsThatNothingSpeaksFor) {
  const SimplexRows rows = Tied(3, 3, {{0, 4}});
  const Theta now = {.5, .2, .3, .1, .5, .4, .7, .1, .2};
  Theta next(9);
  EXPECT_TRUE(
      rows.Maximize(Theta{0, 0, 0, 0, 0, 0, 1, 1, 2}, std::vector<char>{1, 1, 0}, now, next, {})
          .ok());
  EXPECT_EQ(next, (Theta{.5, .2, .3, .1, .5, .4, .25, .25, .5}));
  // Row 1 moves the tied element; what row 0 has besides keeps its ratio.
  EXPECT_TRUE(
      rows.Maximize(Theta{0, 0, 0, 1, 6, 3, 1, 1, 2}, std::vector<char>{1, 0, 0}, now, next, {})
          .ok());
  EXPECT_THAT(next, Pointwise(DoubleNear(1e-6), Theta{.6, .16, .24, .1, .6, .3, .25, .25, .5}));
  ExpectSums(rows, next);
  // 0 stays 0.
  const Theta zero = {.5, 0, .5, .1, .5, .4, .7, .1, .2};
  EXPECT_TRUE(
      rows.Maximize(Theta{0, 0, 0, 1, 6, 3, 1, 1, 2}, std::vector<char>{1, 0, 0}, zero, next, {})
          .ok());
  EXPECT_THAT(next, Pointwise(DoubleNear(1e-14), Theta{.6, 0, .4, .1, .6, .3, .25, .25, .5}));
  EXPECT_EQ(next[1], 0);
}

// Numbers for tests, the same on every machine.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}
  double Uniform() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state_ >> 11) * 0x1p-53;
  }
  int Below(int n) { return static_cast<int>(Uniform() * n); }

 private:
  uint64_t state_;
};

// sum counts log p is concave: where no way to other feasible points leads upwards it is largest.
TEST(TiedRowsMaximize, NoFeasiblePointIsBetterInRandomCases) {
  Numbers random(7);
  int feasible = 0;
  double worst = 0;
  for (int trial = 0; trial < 400; ++trial) {
    const int num_rows = 2 + random.Below(5);
    const int size = 2 + random.Below(5);
    const int cells = num_rows * size;
    std::vector<int64_t> order(cells);
    std::iota(order.begin(), order.end(), int64_t{0});
    for (int i = cells - 1; i > 0; --i) std::swap(order[i], order[random.Below(i + 1)]);
    Lists lists;
    for (int at = 0; at < cells && lists.size() < 4;) {
      const int length = std::min(2 + random.Below(3), cells - at);
      if (length >= 2) lists.emplace_back(order.begin() + at, order.begin() + at + length);
      at += length;
    }
    SimplexRows rows("a", num_rows, size, 1);
    if (!rows.Constrain(On(num_rows, size, lists)).ok()) continue;
    ++feasible;
    Theta counts(cells);
    const auto draw = [&](bool spread) {
      for (double& c : counts) {
        const double scale = spread ? std::pow(10, -random.Below(12)) : 1;
        c = random.Uniform() < 0.4 ? 0 : scale * random.Uniform();
      }
    };
    draw(trial % 2 == 1);
    const Theta best = Maximum(rows, counts);
    const Theta drawn = counts;
    ExpectSums(rows, best);
    ASSERT_TRUE(rows.Validate(best).ok());
    double total = 0;
    for (const double c : drawn) total += c;
    for (int other = 0; other < 40 && total > 0; ++other) {
      draw(true);
      const Theta there = Maximum(rows, counts);
      for (double length = 1; length > 1e-12; length /= 4) {
        double gain = 0;
        for (int i = 0; i < cells; ++i) {
          if (drawn[i] > 0) gain += drawn[i] * std::log1p(length * (there[i] / best[i] - 1));
        }
        worst = std::max(worst, gain / total);
      }
    }
    // At the maximum the values as counts lead to themselves.
    Theta coordinates(cells);
    Theta back(cells);
    rows.ToCoordinates(best, coordinates);
    rows.FromCoordinates(coordinates, back);
    EXPECT_THAT(back, Pointwise(DoubleNear(1e-9), best)) << trial;
    // And a second maximisation keeps them.
    double gain = 0;
    const Theta again = Maximum(rows, drawn, best);
    for (int i = 0; i < cells; ++i) {
      if (drawn[i] > 0) gain += drawn[i] * std::log(again[i] / best[i]);
    }
    EXPECT_GE(gain, 0) << trial;
    EXPECT_LE(gain, 1e-13 * total) << trial;
  }
  EXPECT_GT(feasible, 150);
  EXPECT_LE(worst, 1e-14);
}

TEST(TiedRowsMaximize, HoldsForManyRows) {
  constexpr int kRows = 40;
  Lists lists(1);
  for (int k = 0; k < kRows; ++k) lists[0].push_back(k * (kRows + 1));
  // And symmetric off the diagonal, in part.
  for (int k = 0; k + 1 < kRows; k += 2) {
    lists.push_back({int64_t{k} * kRows + k + 1, int64_t{k + 1} * kRows + k});
  }
  const SimplexRows rows = Tied(kRows, kRows, lists);
  EXPECT_EQ(rows.num_free(), kRows * kRows - (kRows - 1) - kRows / 2 - kRows);
  Numbers random(3);
  Theta counts(kRows * kRows);
  for (double& c : counts) c = random.Uniform() < 0.5 ? 0 : random.Uniform();
  ExpectSums(rows, Maximum(rows, counts));
}

TEST(TiedRowsConstrain, RefusesTiesWithoutPositiveSolution) {
  const auto refused = [](int num_rows, int64_t size, const Lists& tied,
                          const std::vector<FixedElements>& fixed = {}) {
    SimplexRows rows("a", num_rows, size, 1);
    const absl::Status status = rows.Constrain(On(num_rows, size, tied, fixed));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  // 2 a = 1, and 2 a + b = 1.
  EXPECT_THAT(refused(2, 3, {{0, 1, 3, 4}}, {{"a", {2}, {0}}}),
              HasSubstr("constraints: got ties that join a[0] with a[1] and contradict each "
                        "other, must leave positive probabilities"));
  // a + b = 1 and a + b = 0.5.
  EXPECT_THAT(refused(2, 3, {{0, 3}, {1, 4}}, {{"a", {2, 5}, {0, 0.5}}}), HasSubstr("contradict"));
  // a = 0.6, and 2 a + b = 1.
  EXPECT_THAT(refused(2, 3, {{0, 3, 4}}, {{"a", {1, 2}, {0.4, 0}}}), HasSubstr("contradict"));
  // Nothing is left for a tied element.
  EXPECT_THAT(refused(2, 2, {{0, 3}}, {{"a", {1}, {1}}}), HasSubstr("contradict"));
}

TEST(TiedRowsConstrain, TakesRowsThatFollowFromOthers) {
  // [a, b] and [b, a].
  const SimplexRows crosswise = Tied(2, 2, {{0, 3}, {1, 2}});
  EXPECT_EQ(crosswise.num_free(), 1);
  EXPECT_EQ(crosswise.num_free({true, false}), 1);
  EXPECT_THAT(Maximum(crosswise, {3, 1, 0, 1}),
              Pointwise(DoubleNear(1e-15), Theta{.8, .2, .2, .8}));
}

TEST(TiedRowsValidate, TiedElementsAgree) {
  const SimplexRows rows = Tied(2, 2, {{0, 3}});
  EXPECT_TRUE(rows.Validate(Theta{.4, .6, .6, .4}).ok());
  const absl::Status status = rows.Validate(Theta{.4, .6, .5, .5});
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("a[1, 1]: got 0.5, must be 0.4, that of a[0, 0], to which it is tied"));
}

// The deepest fall of the objective.
class Climb final : public Observer {
 public:
  void OnIteration(const Progress& progress) override {
    if (progress.phase == Phase::kClimb && progress.change) {
      least = std::min(least, *progress.change);
    }
  }
  void OnWarning(int, const std::string& reason, const std::string& message) override {
    ADD_FAILURE() << reason << ": " << message;
  }
  double least = 0;
};

// A fit of counts that switch between three levels.
TEST(TiedRowsInHmm, FitsClimbWithAsManyParametersAsAreFree) {
  Numbers random(11);
  std::vector<double> values;
  int state = 0;
  for (int t = 0; t < 600; ++t) {
    if (random.Uniform() < 0.15) state = (state + 1 + random.Below(2)) % 3;
    const double mean = state == 0 ? 1 : state == 1 ? 6 : 15;
    double left = std::exp(-mean);
    int count = 0;
    for (double p = random.Uniform(); p > left; p *= random.Uniform()) ++count;
    values.push_back(count);
  }
  const Table table = Data{.num_columns = 1, .values = values, .weights = {}}.ToTable();
  for (const InitialDistribution initial :
       {InitialDistribution::kFree, InitialDistribution::kStationary}) {
    for (const Acceleration acceleration :
         {Acceleration::kNone, Acceleration::kSquarem, Acceleration::kAnderson}) {
      HmmHyperparameters hyperparameters;
      hyperparameters.initial = initial;
      hyperparameters.constraints.tied = {{"transitions", {0, 4, 8}}, {"transitions", {1, 3}}};
      const std::unique_ptr<Model> model =
          MakeHmm(MakePoisson({}, 3, SummaryOf(table), table.names()).value(), hyperparameters)
              .value();
      const int64_t of_initial = initial == InitialDistribution::kFree ? 2 : 0;
      FitOptions options;
      options.acceleration = acceleration;
      options.restarts = 2;
      options.seed = 5;
      Pool pool(1);
      Pool::Share share(pool);
      Climb climb;
      const absl::StatusOr<FitResult> fit =
          Fit(*model, table, SummaryOf(table), options,
              {.share = &share, .stop = {}, .observer = &climb, .clock = {}});
      ASSERT_TRUE(fit.ok()) << fit.status();
      EXPECT_GE(climb.least, -1e-9);
      EXPECT_EQ(model->degrees_of_freedom(fit->theta), of_initial + (9 - 3) - 3 + 3);
      const Theta& theta = fit->theta;
      EXPECT_NEAR(theta[3 + 0], 0.85, 0.05);
      EXPECT_NEAR(theta[3 + 4], theta[3 + 0], 1e-15);
      EXPECT_NEAR(theta[3 + 8], theta[3 + 0], 1e-15);
      EXPECT_NEAR(theta[3 + 3], theta[3 + 1], 1e-15);
      EXPECT_TRUE(model->Validate(theta).ok());
    }
  }
}

TEST(TiedRows, MaximizingEndsOnceItIsAskedTo) {
  const SimplexRows rows = Tied(3, 3, {{0, 4}});
  const Theta now = Even(rows, 9);
  Theta next(9);
  std::stop_source stop;
  const std::vector<char> none(3);
  const Theta counts = {4, 2, 1, 1, 6, 3, 1, 1, 2};
  EXPECT_TRUE(rows.Maximize(counts, none, now, next, stop.get_token()).ok());
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(rows.Maximize(counts, none, now, next, stop.get_token())));
}

}  // namespace
}  // namespace emserve::testing
