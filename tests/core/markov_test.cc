// Recursions along a chain: plain, of wide range and in logarithms, against all paths one by one.
#include "core/numerics/markov.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/numerics/markov_wide.h"
#include "core/runtime/random.h"
#include "gtest/gtest.h"
#include "tests/core/chain_data.h"
#include "tests/core/markov_problem.h"

namespace emserve::testing {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

// p(state at t | rows before it, or all others) of all paths where row t says nothing.
std::vector<double> WithoutRow(Problem p, bool behind) {
  std::vector<double> states(static_cast<size_t>(p.T) * p.K);
  const std::vector<double> likelihood = p.likelihood;
  for (int t = 0; t < p.T; ++t) {
    p.likelihood = likelihood;
    for (int k = 0; k < p.K; ++k) p.likelihood[t * p.K + k] = 1;
    const AllPaths all = p.Enumerate(0, behind ? p.T : t + 1);
    for (int h = 0; h < p.hidden(); ++h) states[t * p.K + h / p.D] += all.posterior[t][h];
  }
  return states;
}

struct Outside {
  explicit Outside(const Problem& p)
      : predicted(static_cast<size_t>(p.T) * p.K), others(predicted.size()) {}
  std::vector<double> predicted, others;
};

Outside PlainOutside(const Problem& p, const ChainRows& rows) {
  const Smoothed filtered = Plain(p, rows);
  std::vector<double> scratch(p.chain().num_scratch());
  Outside result(p);
  Predict(p.chain(), rows, filtered.filtered.data(), result.predicted.data(), scratch.data());
  EXPECT_TRUE(LeaveOut(p.chain(), rows, p.likelihood.data(), p.log_likelihood.data(), false,
                       filtered.filtered.data(), result.others.data(), scratch.data()));
  return result;
}

Outside OutsideInWide(const Problem& p, const ChainRows& rows) {
  Widened wide(p);
  wide.Forward(rows);
  Outside result(p);
  WidePredict(wide.chain, rows, wide.scores(), result.predicted.data(), wide.scratch.data());
  WideLeaveOut(wide.chain, rows, wide.of_rows(), wide.scores(), result.others.data(),
               wide.scratch.data());
  return result;
}

// States, rows, whether transitions are missing, longest duration.
class Markov : public ::testing::TestWithParam<std::tuple<int, int, bool, int>> {
 protected:
  Markov()
      : problem_(std::get<0>(GetParam()), std::get<1>(GetParam()), std::get<2>(GetParam()),
                 std::get<3>(GetParam()), 7),
        all_(problem_.Enumerate(0, problem_.T)) {}

  const Problem problem_;
  const AllPaths all_;
};

TEST_P(Markov, SmoothingAgreesWithAllPaths) {
  const int M = problem_.hidden();
  for (const Smoothed& result :
       {Plain(problem_, problem_.rows()), InWide(problem_, problem_.rows())}) {
    EXPECT_NEAR(result.log_likelihood, std::log(all_.total), 1e-13);
    for (int t = 0; t < problem_.T; ++t) {
      const AllPaths until = problem_.Enumerate(0, t + 1);
      for (int h = 0; h < M; ++h) {
        EXPECT_NEAR(result.filtered[t * M + h], until.posterior[t][h], 1e-14);
        EXPECT_NEAR(result.smoothed[t * M + h], all_.posterior[t][h], 1e-14);
      }
    }
    ExpectNear(problem_.CountsOfPairs(result.pairs), problem_.Counts(all_.pairs), 1e-13);
  }
}

// Cut anywhere, with what the parts say about each other as messages, in units of their own.
TEST_P(Markov, MessagesJoinWhatIsCut) {
  const Smoothed whole = Plain(problem_, problem_.rows());
  const Outside uncut = PlainOutside(problem_, problem_.rows());
  const int M = problem_.hidden();
  for (int cut = 1; cut < problem_.T; ++cut) {
    Problem head = problem_;
    head.T = cut;
    Problem tail = problem_;
    tail.T = problem_.T - cut;
    tail.likelihood.erase(tail.likelihood.begin(), tail.likelihood.begin() + cut * problem_.K);
    tail.TakeLogarithms();
    std::vector<double> log_behind(M);
    std::vector<double> scratch(problem_.chain().num_scratch());
    const std::vector<double> anything(M, 1.0);
    LogBackward(Paths::kAll, tail.log_chain(), {.num_rows = tail.T, .before = anything.data()},
                tail.log_likelihood.data(), log_behind.data(), scratch.data());
    std::vector<double> wide_behind(M);
    Widened of_rows(tail);
    WideBackward(of_rows.chain, {.num_rows = tail.T, .before = anything.data()}, of_rows.of_rows(),
                 wide_behind.data(), of_rows.scratch.data());
    const auto largest = std::max_element(log_behind.begin(), log_behind.end());
    const double shift = *largest - wide_behind[largest - log_behind.begin()];
    for (int h = 0; h < M; ++h) {
      if (log_behind[h] == kImpossible) {
        EXPECT_EQ(wide_behind[h], kImpossible);
      } else {
        EXPECT_NEAR(wide_behind[h] + shift, log_behind[h], 1e-13);
      }
    }
    const std::vector<double> before(whole.filtered.begin() + (cut - 1) * M,
                                     whole.filtered.begin() + cut * M);
    const std::vector<double> log_before = Logs(before);
    std::vector<double> behind(M);
    for (int h = 0; h < M; ++h) behind[h] = 3 * std::exp(log_behind[h]);

    for (const bool wide : {false, true}) {
      ChainRows first = head.rows();
      first.behind = wide ? log_behind.data() : behind.data();
      const ChainRows last{.num_rows = tail.T, .before = wide ? log_before.data() : before.data()};
      const Smoothed of_head = wide ? InWide(head, first) : Plain(head, first);
      const Smoothed of_tail = wide ? InWide(tail, last) : Plain(tail, last);
      EXPECT_NEAR(of_head.log_likelihood + of_tail.log_likelihood, whole.log_likelihood, 1e-13);
      std::vector<double> smoothed = of_head.smoothed;
      smoothed.insert(smoothed.end(), of_tail.smoothed.begin(), of_tail.smoothed.end());
      ExpectNear(smoothed, whole.smoothed, 1e-13);
      const auto outside = wide ? OutsideInWide : PlainOutside;
      Outside joined = outside(head, first);
      const Outside rest = outside(tail, last);
      joined.predicted.insert(joined.predicted.end(), rest.predicted.begin(), rest.predicted.end());
      joined.others.insert(joined.others.end(), rest.others.begin(), rest.others.end());
      ExpectNear(joined.predicted, uncut.predicted, 1e-13);
      ExpectNear(joined.others, uncut.others, 1e-13);
      std::vector<double> pairs = of_head.pairs;
      for (size_t j = 0; j < pairs.size(); ++j) pairs[j] += of_tail.pairs[j];
      ExpectNear(problem_.CountsOfPairs(pairs), problem_.CountsOfPairs(whole.pairs), 1e-13);
    }
  }
}

TEST_P(Markov, RowsAreLeftOut) {
  const std::vector<double> predicted = WithoutRow(problem_, /*behind=*/false);
  const std::vector<double> others = WithoutRow(problem_, /*behind=*/true);
  for (const Outside& result :
       {PlainOutside(problem_, problem_.rows()), OutsideInWide(problem_, problem_.rows())}) {
    ExpectNear(result.predicted, predicted, 1e-14);
    ExpectNear(result.others, others, 1e-14);
  }
}

// Also where the row itself makes states impossible that the others ask for.
TEST_P(Markov, RowsThatContradictTheOthersAreLeftOut) {
  Problem p = problem_;
  for (int k = 1; k < p.K && p.T > 1; ++k) p.likelihood[p.K + k] = 0;
  p.TakeLogarithms();
  const std::vector<double> others = WithoutRow(p, /*behind=*/true);
  ExpectNear(PlainOutside(p, p.rows()).others, others, 1e-14);
  ExpectNear(OutsideInWide(p, p.rows()).others, others, 1e-14);
}

// The one-step transitions between all that may be hidden, as often as asked for.
TEST_P(Markov, LooksAhead) {
  const int M = problem_.hidden();
  std::vector<double> step(static_cast<size_t>(M) * M);
  for (int h = 0; h < M; ++h) {
    for (int to = 0; to < M; ++to) {
      step[h * M + to] = std::exp(LogTransition(problem_.log_chain(), h, to));
    }
  }
  std::vector<double> power(step.size());
  for (int h = 0; h < M; ++h) power[h * M + h] = 1;
  for (int steps = 0; steps <= 11; ++steps) {
    std::vector<double> expected(static_cast<size_t>(M) * problem_.K);
    std::vector<double> next(power.size());
    for (int h = 0; h < M; ++h) {
      for (int to = 0; to < M; ++to) {
        expected[h * problem_.K + to / problem_.D] += power[h * M + to];
        for (int g = 0; g < M; ++g) next[h * M + to] += power[h * M + g] * step[g * M + to];
      }
    }
    std::vector<double> ahead(expected.size());
    LookAhead(problem_.chain(), steps, ahead);
    ExpectNear(ahead, expected, 1e-14);
    power = next;
  }
}

TEST_P(Markov, WeightsCountPairs) {
  const int M = problem_.hidden();
  std::vector<double> weights(problem_.T);
  for (int t = 0; t < problem_.T; ++t) weights[t] = 0.5 * t;
  std::vector<double> steps(static_cast<size_t>(M) * M);
  for (size_t i = 0; i < all_.paths.size(); ++i) {
    for (int t = 1; t < problem_.T; ++t) {
      const int step = all_.paths[i][t - 1] * M + all_.paths[i][t];
      steps[step] += weights[t] * all_.weights[i] / all_.total;
    }
  }
  for (const Smoothed& result : {Plain(problem_, problem_.rows(), weights.data()),
                                 InWide(problem_, problem_.rows(), weights.data())}) {
    ExpectNear(problem_.CountsOfPairs(result.pairs), problem_.Counts(steps), 1e-13);
  }
}

TEST_P(Markov, BestPathIsTheBestOfAllPaths) {
  std::vector<double> score(problem_.cells());
  std::vector<double> normaliser(problem_.T);
  std::vector<int> states(problem_.T);
  LogForward(Paths::kBest, problem_.log_chain(), problem_.rows(), problem_.log_likelihood.data(),
             score.data(), normaliser.data());
  BestPath(problem_.log_chain(), problem_.rows(), score.data(), states.data());
  // Another than the first is as good but for rounding, as where one state lasts 1 + 3 or 3 + 1.
  const auto found = std::find(all_.paths.begin(), all_.paths.end(), states);
  ASSERT_NE(found, all_.paths.end());
  const size_t index = found - all_.paths.begin();
  EXPECT_GE(all_.weights[index], all_.Best() * (1 - 1e-13));
  double log_density = 0;
  for (const double n : normaliser) log_density += n;
  EXPECT_NEAR(log_density, std::log(all_.Best()), 1e-13);
}

// Row t's number is the first of stream `first` + t.
auto From(uint64_t seed, uint64_t first) {
  return [=](int t) { return Random(seed, first + static_cast<uint64_t>(t)).Uniform(); };
}

// Pearson's statistic of drawn paths against their probabilities.
TEST_P(Markov, DrawnPathsHaveTheirProbabilities) {
  std::vector<double> score(problem_.cells());
  std::vector<double> normaliser(problem_.T);
  LogForward(Paths::kAll, problem_.log_chain(), problem_.rows(), problem_.log_likelihood.data(),
             score.data(), normaliser.data());
  constexpr int kDraws = 20000;
  std::map<std::vector<int>, int> counts;
  std::vector<int> states(problem_.T);
  for (uint64_t seed = 0; seed < kDraws; ++seed) {
    SamplePath(problem_.log_chain(), problem_.rows(), score.data(), From(seed, 40), states.data());
    ++counts[states];
  }
  double chi_square = 0;
  double degrees = -1;
  double rest_expected = 0;
  double rest_drawn = kDraws;
  const auto add = [&](double drawn, double expected) {
    chi_square += (drawn - expected) * (drawn - expected) / expected;
    ++degrees;
  };
  for (size_t i = 0; i < all_.paths.size(); ++i) {
    const double expected = kDraws * all_.weights[i] / all_.total;
    const double drawn = counts[all_.paths[i]];
    if (expected >= 8) {
      add(drawn, expected);
      rest_drawn -= drawn;
    } else {
      rest_expected += expected;
    }
    counts.erase(all_.paths[i]);
  }
  EXPECT_TRUE(counts.empty()) << "impossible paths were drawn";
  if (rest_expected >= 8) add(rest_drawn, rest_expected);
  // Mean and standard deviation of chi-square are the degrees of freedom f and sqrt(2 f).
  EXPECT_LE(chi_square, degrees + 5 * std::sqrt(2 * degrees) + 1);
}

// A row's draw depends on its own stream alone, so that a block's rows do not on the block.
TEST_P(Markov, DrawsDoNotDependOnTheBlock) {
  std::vector<double> score(problem_.cells());
  std::vector<double> normaliser(problem_.T);
  LogForward(Paths::kAll, problem_.log_chain(), problem_.rows(), problem_.log_likelihood.data(),
             score.data(), normaliser.data());
  std::vector<int> whole(problem_.T);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SamplePath(problem_.log_chain(), problem_.rows(), score.data(), From(seed, 5), whole.data());
    for (int cut = 1; cut < problem_.T; ++cut) {
      std::vector<double> chosen(problem_.hidden(), kImpossible);
      chosen[whole[cut - 1]] = 0;
      std::vector<int> tail(problem_.T - cut);
      SamplePath(problem_.log_chain(), {.num_rows = problem_.T - cut, .before = chosen.data()},
                 score.data() + static_cast<size_t>(cut) * problem_.hidden(), From(seed, 5 + cut),
                 tail.data());
      EXPECT_TRUE(std::equal(tail.begin(), tail.end(), whole.begin() + cut));
      std::vector<int> head(cut);
      ChainRows rows{.num_rows = cut, .first_begins = true};
      rows.behind = chosen.data();
      SamplePath(problem_.log_chain(), rows, score.data(), From(seed, 5), head.data());
      EXPECT_TRUE(std::equal(head.begin(), head.end(), whole.begin()));
    }
  }
}

// Rounding does not add up however far: 1 / 3 and 2 / 3 in the long run.
TEST(MarkovByHand, LooksFarAhead) {
  const std::vector<double> even = {0.5, 0.5};
  const std::vector<double> transitions = {0.98, 0.02, 0.01, 0.99};
  std::vector<double> ahead(4);
  for (const int64_t steps : {int64_t{100000}, int64_t{1} << 62}) {
    LookAhead({2, even.data(), transitions.data()}, steps, ahead);
    ExpectNear(ahead, {1.0 / 3, 2.0 / 3, 1.0 / 3, 2.0 / 3}, 1e-14);
  }
}

TEST(MarkovByHand, LooksAheadUntilCancelled) {
  constexpr int kStates = 2;
  constexpr int kDuration = 2000;
  const std::vector<double> even(kStates, 0.5);
  const std::vector<double> turns = {0, 1, 1, 0};
  const std::vector<double> durations(kStates * kDuration, 1.0 / kDuration);
  const MarkovChain chain{kStates, even.data(), turns.data(), kDuration, durations.data()};
  std::vector<double> ahead(kStates * kStates * kDuration);
  int asked = 0;
  EXPECT_FALSE(LookAhead(chain, int64_t{1} << 40, ahead, [&] { return ++asked == 3; }));
  EXPECT_EQ(asked, 3);
  EXPECT_TRUE(LookAhead(chain, 1, ahead, [] { return true; }));  // done before it asks
}

// Row 3 excludes state 0 by more than a double holds. Without row 2 the chain has gone over to
// state 1, which nothing leaves, by then: after row 0, 1 or 2 with 1/2, 1/4 and 1/8.
TEST(MarkovByHand, LeavingOutSaysWhenItLosesAProbabilityThatMatters) {
  Problem p(2, 4, false, 1, 3);
  p.initial = {1, 0};
  p.transitions = {0.5, 0.5, 0, 1};
  p.TakeLogarithms();
  p.log_likelihood = {0, 0, 0, 0, 0, -400, -900, 0};
  for (size_t j = 0; j < 8; ++j) p.likelihood[j] = std::exp(p.log_likelihood[j]);
  std::vector<double> filtered(8);
  std::vector<double> normaliser(4);
  std::vector<double> others(8);
  std::vector<double> scratch(p.chain().num_scratch());
  ASSERT_TRUE(ForwardFilter(p.chain(), p.rows(), p.likelihood.data(), p.log_likelihood.data(), true,
                            filtered.data(), normaliser.data()));
  EXPECT_FALSE(LeaveOut(p.chain(), p.rows(), p.likelihood.data(), p.log_likelihood.data(), false,
                        filtered.data(), others.data(), scratch.data()));
  const Outside wide = OutsideInWide(p, p.rows());
  ExpectNear(wide.others, {1, 0, 1, 0, 1.0 / 7, 6.0 / 7, 0.5, 0.5}, 1e-14);
}

// The rows all but exclude state 1, what follows asks for it or for state 2, which they cannot
// reach: together they are in no double.
Problem AllButContradicted() {
  Problem p(3, 2, false, 1, 3);
  p.initial = {1, 1e-279, 0};
  p.transitions = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  p.likelihood = {1, 1, 1, 1, 1, 1};
  p.TakeLogarithms();
  return p;
}

TEST(MarkovByHand, SmoothingSaysWhenItLosesWhatIsBehind) {
  const Problem p = AllButContradicted();
  const std::vector<double> behind = {0, 1e-99, 1};
  const std::vector<double> log_behind = {kImpossible, std::log(1e-99), 0};
  ChainRows rows = p.rows();
  rows.behind = behind.data();
  std::vector<double> filtered(6);
  std::vector<double> normaliser(2);
  std::vector<double> scratch(p.chain().num_scratch());
  ASSERT_TRUE(ForwardFilter(p.chain(), rows, p.likelihood.data(), p.log_likelihood.data(), false,
                            filtered.data(), normaliser.data()));
  std::vector<double> smoothed = filtered;
  std::vector<double> pairs(9);
  EXPECT_FALSE(BackwardSmooth(p.chain(), rows, p.likelihood.data(), normaliser.data(), nullptr,
                              smoothed.data(), pairs.data(), scratch.data()));
  EXPECT_EQ(smoothed, filtered);
  EXPECT_EQ(pairs, std::vector<double>(9));
  std::vector<double> others(6);
  EXPECT_FALSE(LeaveOut(p.chain(), rows, p.likelihood.data(), p.log_likelihood.data(), false,
                        filtered.data(), others.data(), scratch.data()));
  rows.behind = log_behind.data();
  const Smoothed wide = InWide(p, rows);
  ExpectNear(wide.smoothed, {0, 1, 0, 0, 1, 0}, 1e-12);
  ExpectNear(p.CountsOfPairs(wide.pairs), {0, 0, 0, 0, 1, 0, 0, 0, 0}, 1e-12);
  ExpectNear(OutsideInWide(p, rows).others, {0, 1, 0, 0, 1, 0}, 1e-12);
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<int, int, bool, int>>& test) {
  const auto& [states, rows, zeros, duration] = test.param;
  return absl::StrCat(states, "states_", rows, "rows", zeros ? "_zeros" : "",
                      duration > 1 ? "_that_last" : "");
}

INSTANTIATE_TEST_SUITE_P(Sizes, Markov,
                         ::testing::Combine(::testing::Values(1, 2, 3),
                                            ::testing::Values(1, 2, 4, 6), ::testing::Bool(),
                                            ::testing::Values(1, 3)),
                         NameOf);

TEST(MarkovRows, SequencesOfABlockAreSmoothedApart) {
  const std::array<unsigned char, 6> begins = {1, 0, 0, 1, 1, 0};
  for (const int max_duration : {1, 2}) {
    const Problem whole(3, 6, true, max_duration, 9);
    double log_likelihood = 0;
    std::vector<double> steps(static_cast<size_t>(whole.hidden()) * whole.hidden());
    std::vector<double> smoothed;
    for (const auto& [first, count] : {std::pair(0, 3), {3, 1}, {4, 2}}) {
      const AllPaths all = whole.Enumerate(first, count);
      log_likelihood += std::log(all.total);
      for (size_t j = 0; j < steps.size(); ++j) steps[j] += all.pairs[j];
      for (const auto& row : all.posterior) smoothed.insert(smoothed.end(), row.begin(), row.end());
    }
    const ChainRows rows{.num_rows = 6, .begins = begins.data()};
    for (const Smoothed& together : {Plain(whole, rows), InWide(whole, rows)}) {
      EXPECT_NEAR(together.log_likelihood, log_likelihood, 1e-13);
      ExpectNear(together.smoothed, smoothed, 1e-14);
      ExpectNear(whole.CountsOfPairs(together.pairs), whole.Counts(steps), 1e-13);
    }
  }
}

// Two states, two rows, by hand: p(1, 1) = .5 .8 .5 .8, p(1, 2) = .5 .8 .5 .4, p(2, 1) = .5 .2 .25
// .8, p(2, 2) = .5 .2 .75 .4.
TEST(MarkovByHand, TwoRows) {
  Problem p(2, 2, false, 1, 1);
  p.initial = {0.5, 0.5};
  p.transitions = {0.5, 0.5, 0.25, 0.75};
  p.likelihood = {0.8, 0.2, 0.8, 0.4};
  p.TakeLogarithms();
  const double total = 0.16 + 0.08 + 0.02 + 0.03;
  for (const Smoothed& result : {Plain(p, p.rows()), InWide(p, p.rows())}) {
    EXPECT_NEAR(result.log_likelihood, std::log(total), 1e-15);
    ExpectNear(result.filtered, {0.8, 0.2, 0.18 / total, 0.11 / total}, 1e-15);
    ExpectNear(result.smoothed, {0.24 / total, 0.05 / total, 0.18 / total, 0.11 / total}, 1e-15);
    ExpectNear(result.pairs,
               {0.16 / total / 0.5, 0.08 / total / 0.5, 0.02 / total / 0.25, 0.03 / total / 0.75},
               1e-14);
  }
}

TEST(MarkovByHand, OfEquallyGoodPathsTheOneWithTheSmallestLastStateIsBest) {
  const std::vector<double> even(3, 0.0);
  const std::vector<double> transitions(9, 0.0);
  const std::vector<double> score(12, 0.0);
  std::vector<int> states(4, -1);
  const ChainRows rows{.num_rows = 4, .first_begins = true};
  BestPath({3, even.data(), transitions.data()}, rows, score.data(), states.data());
  EXPECT_EQ(states, (std::vector<int>{0, 0, 0, 0}));
  // States 1 and 2 tie in the last row, and 0 and 2 before it.
  const std::vector<double> tied = {0, -1, 0, -2, 0, 0};
  states.resize(2);
  BestPath({3, even.data(), transitions.data()}, {.num_rows = 2, .first_begins = true}, tied.data(),
           states.data());
  EXPECT_EQ(states, (std::vector<int>{0, 1}));
}

TEST(MarkovByHand, ChoicesFollowBothMessages) {
  const std::vector<double> before = {std::log(0.5), std::log(0.3), std::log(0.2)};
  const std::vector<double> behind = {std::log(0.1), std::log(0.4), kImpossible};
  EXPECT_EQ(BestState(before.data(), nullptr, 3), 0);
  EXPECT_EQ(BestState(before.data(), behind.data(), 3), 1);
  // Shares 5/17 and 12/17.
  EXPECT_EQ(SampleState(before.data(), behind.data(), 3, 0.0), 0);
  EXPECT_EQ(SampleState(before.data(), behind.data(), 3, 5.0 / 17 - 1e-9), 0);
  EXPECT_EQ(SampleState(before.data(), behind.data(), 3, 5.0 / 17 + 1e-9), 1);
  EXPECT_EQ(SampleState(before.data(), behind.data(), 3, 1 - 1e-16), 1);
}

TEST(MarkovByHand, SumsOfLogarithms) {
  const std::vector<double> values = {std::log(2.0), kImpossible, std::log(3.0)};
  EXPECT_NEAR(LogSum(Paths::kAll, values.data(), 3), std::log(5.0), 1e-15);
  EXPECT_EQ(LogSum(Paths::kBest, values.data(), 3), std::log(3.0));
  EXPECT_EQ(LogSum(Paths::kAll, values.data() + 1, 1), kImpossible);
  const std::vector<double> large = {1000, 1000};
  EXPECT_NEAR(LogSum(Paths::kAll, large.data(), 2), 1000 + std::log(2.0), 1e-12);
}

// An impossible row ends one explanation and begins another from even probabilities.
TEST(MarkovByHand, AnImpossibleRowIsSaidToBe) {
  Problem p(2, 3, false, 1, 3);
  for (const size_t j : {2, 3}) {
    p.likelihood[j] = 0;
    p.log_likelihood[j] = kImpossible;
  }
  std::vector<double> filtered(6);
  std::vector<double> normaliser(3);
  ASSERT_TRUE(ForwardFilter(p.chain(), p.rows(), p.likelihood.data(), p.log_likelihood.data(),
                            false, filtered.data(), normaliser.data()));
  EXPECT_GT(normaliser[0], 0);
  EXPECT_EQ(normaliser[1], 0);
  EXPECT_EQ(filtered[2], 0.5);
  EXPECT_GT(normaliser[2], 0);
  const double plain_last = normaliser[2];
  std::vector<double> score(6);
  LogForward(Paths::kAll, p.log_chain(), p.rows(), p.log_likelihood.data(), score.data(),
             normaliser.data());
  EXPECT_EQ(normaliser[1], kImpossible);
  EXPECT_TRUE(std::isfinite(normaliser[2]));
  Widened wide(p);
  wide.Forward(p.rows());
  EXPECT_EQ(wide.normaliser[1], kImpossible);
  EXPECT_EQ(ToDouble(wide.scores()[2]), 0.5);
  EXPECT_NEAR(wide.normaliser[2], std::log(plain_last), 1e-14);
}

// State 0 loses 1000 nats to state 1, which nothing leaves: doubles do not remember state 0 when
// the last row asks for it.
TEST(MarkovByHand, TheFilterSaysWhenItLosesAProbabilityThatMatters) {
  Problem p(2, 3, false, 1, 3);
  p.initial = {0.5, 0.5};
  p.transitions = {0.5, 0.5, 0, 1};
  p.TakeLogarithms();
  p.log_likelihood = {-1000, 0, -1000, 0, 0, -5000};
  for (size_t j = 0; j < 6; ++j) p.likelihood[j] = std::exp(p.log_likelihood[j]);
  std::vector<double> filtered(6);
  std::vector<double> normaliser(3);
  EXPECT_FALSE(ForwardFilter(p.chain(), p.rows(), p.likelihood.data(), p.log_likelihood.data(),
                             false, filtered.data(), normaliser.data()));
  const Smoothed wide = InWide(p, p.rows());
  EXPECT_NEAR(wide.log_likelihood, -2000 + 3 * std::log(0.5), 1e-9);
  ExpectNear(wide.smoothed, {1, 0, 1, 0, 1, 0}, 1e-12);
  // A chain that comes back from anywhere need not remember.
  p.transitions = {0.5, 0.5, 0.5, 0.5};
  EXPECT_TRUE(ForwardFilter(p.chain(), p.rows(), p.likelihood.data(), p.log_likelihood.data(), true,
                            filtered.data(), normaliser.data()));
}

}  // namespace
}  // namespace emserve::testing
