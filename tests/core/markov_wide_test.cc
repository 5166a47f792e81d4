// Recursions in numbers of wide range, against logarithms where states are far apart, and the
// numbers themselves.
#include "core/numerics/markov_wide.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/numerics/markov.h"
#include "core/runtime/random.h"
#include "gtest/gtest.h"
#include "tests/core/markov_problem.h"

namespace emserve::testing {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

// One sequence by logarithms, an exponential for every transition.
Smoothed InLogs(const Problem& p) {
  Smoothed result(p);
  const int M = p.hidden();
  std::vector<double> score(p.cells());
  std::vector<double> normaliser(p.T);
  std::vector<double> scratch(p.chain().num_scratch());
  LogForward(Paths::kAll, p.log_chain(), p.rows(), p.log_likelihood.data(), score.data(),
             normaliser.data());
  for (const double n : normaliser) result.log_likelihood += n;
  const std::vector<double> anything(M, 1.0);
  for (int t = 0; t < p.T; ++t) {
    std::vector<double> behind(M);
    if (t + 1 < p.T) {
      LogBackward(Paths::kAll, p.log_chain(), {.num_rows = p.T - t - 1, .before = anything.data()},
                  p.log_likelihood.data() + static_cast<size_t>(t + 1) * p.K, behind.data(),
                  scratch.data());
    }
    std::vector<double> ahead = behind;
    for (int h = 0; h < M; ++h) {
      result.filtered[t * M + h] = std::exp(score[t * M + h]);
      behind[h] += score[t * M + h];
      ahead[h] += p.log_likelihood[t * p.K + h / p.D];
    }
    const double total = LogSum(Paths::kAll, behind.data(), M);
    for (const double both : behind) result.smoothed.push_back(std::exp(both - total));
    // Of the pairs before: by what is hidden at both rows.
    if (t == 0) continue;
    std::vector<double> joint;
    for (int g = 0; g < M; ++g) {
      for (int h = 0; h < M; ++h) {
        joint.push_back(score[(t - 1) * M + g] + LogTransition(p.log_chain(), g, h) + ahead[h]);
      }
    }
    const double all = LogSum(Paths::kAll, joint.data(), M * M);
    for (int g = 0; g < M; g += p.D) {
      for (int h = 0; h < M; ++h) {
        const double log_pair = joint[g * M + h] - all;
        if (log_pair == kImpossible) continue;
        const int64_t pair = g / p.D * p.K + h / p.D;
        result.pairs[pair] += std::exp(log_pair - p.log_transitions[pair]);
        if (p.D > 1) result.pairs[p.K * p.K + h] += std::exp(log_pair - p.log_durations[h]);
      }
    }
  }
  return result;
}

// States this many standard deviations apart on a line, rows that visit them in turn and back, and
// a chain of the given kind.
Problem FarApart(int num_states, int num_rows, int max_duration, double apart, double leaves) {
  Problem p(num_states, num_rows, false, max_duration, 11);
  Random random(5, 0);
  std::fill(p.transitions.begin(), p.transitions.end(), 0.0);
  for (int i = 0; i < p.K; ++i) {
    p.initial[i] = i == 0 ? 1 : 0;
    p.transitions[i * p.K + i] = 1 - leaves;
    p.transitions[i * p.K + (i + 1) % p.K] += leaves;
  }
  p.TakeLogarithms();
  for (int t = 0; t < p.T; ++t) {
    const double x = apart * (t * 2 / 3 % p.K) + random.Uniform();
    double largest = kImpossible;
    for (int k = 0; k < p.K; ++k) {
      const double z = x - apart * k;
      p.log_likelihood[t * p.K + k] = -z * z / 2;
      largest = std::max(largest, -z * z / 2);
    }
    for (int k = 0; k < p.K; ++k) {
      p.log_likelihood[t * p.K + k] -= largest;
      p.likelihood[t * p.K + k] = std::exp(p.log_likelihood[t * p.K + k]);
    }
  }
  return p;
}

void ExpectAsInLogs(const Problem& p, double relative) {
  const Smoothed wide = InWide(p, p.rows());
  const Smoothed logs = InLogs(p);
  EXPECT_NEAR(wide.log_likelihood, logs.log_likelihood,
              1e-12 * std::abs(logs.log_likelihood) + 1e-12);
  ASSERT_EQ(wide.smoothed.size(), logs.smoothed.size());
  ExpectNear(wide.filtered, logs.filtered, relative);
  ExpectNear(wide.smoothed, logs.smoothed, relative);
  const std::vector<double> pairs = p.CountsOfPairs(wide.pairs);
  const std::vector<double> expected = p.CountsOfPairs(logs.pairs);
  for (size_t j = 0; j < pairs.size(); ++j) {
    EXPECT_NEAR(pairs[j], expected[j], relative * (1 + expected[j])) << j;
  }
}

// Logarithms themselves round to eps times their size.
TEST(MarkovFarApart, AgreesWithLogarithms) {
  for (const int max_duration : {1, 4}) {
    for (const int num_states : {2, 5, 13}) {
      for (const double apart : {3.0, 20.0, 100.0, 1e6}) {
        for (const double leaves : {0.5, 1e-30, 1e-100, 1e-300}) {
          SCOPED_TRACE(absl::StrCat(num_states, " states ", apart, " apart, leaving with ", leaves,
                                    ", lasting ", max_duration));
          const Problem p = FarApart(num_states, 40, max_duration, apart, leaves);
          ExpectAsInLogs(p, 1e-13 + 1e-15 * apart * apart * num_states * num_states);
        }
      }
    }
  }
}

// Transitions that doubles do not hold, as at temperatures: only logarithms know them.
TEST(MarkovFarApart, TransitionsBelowADoubleCount) {
  Problem p = FarApart(4, 30, 1, 20, 0.5);
  for (int i = 0; i < p.K; ++i) {
    p.log_transitions[i * p.K + (i + 1) % p.K] = -2000;
    p.transitions[i * p.K + (i + 1) % p.K] = 0;
  }
  EXPECT_NEAR(InWide(p, p.rows()).log_likelihood, InLogs(p).log_likelihood, 1e-8);
  ExpectNear(InWide(p, p.rows()).smoothed, InLogs(p).smoothed, 1e-10);
}

// Two states that are never left, a million nats less likely than each other in turn: in the end
// they are one nat apart.
TEST(MarkovFarApart, StandsLongChains) {
  constexpr int kRows = 100000;
  Problem p(2, kRows, false, 1, 3);
  p.initial = {0.5, 0.5};
  p.transitions = {1, 0, 0, 1};
  p.TakeLogarithms();
  for (int t = 0; t < kRows; ++t) {
    p.log_likelihood[2 * t] = t % 2 == 0 ? -1e6 : 0;
    p.log_likelihood[2 * t + 1] = t % 2 == 0 ? 0 : -1e6;
  }
  p.log_likelihood[2 * kRows - 2] = -1;
  for (int j = 0; j < 2 * kRows; ++j) p.likelihood[j] = std::exp(p.log_likelihood[j]);
  const Smoothed wide = InWide(p, p.rows());
  const double total = -1e6 * (kRows / 2) + std::log(0.5) + std::log1p(std::exp(-1.0));
  EXPECT_NEAR(wide.log_likelihood, total, 1e-12 * std::abs(total));
  const double share = 1 / (1 + std::exp(1.0));
  for (const int t : {0, kRows / 2, kRows - 1}) {
    EXPECT_NEAR(wide.smoothed[2 * t], share, 1e-10);
    EXPECT_NEAR(wide.smoothed[2 * t + 1], 1 - share, 1e-10);
  }
}

// Sums that are powers of two, down to where significands end.
TEST(MarkovFarApart, LikelihoodsThatArePowersOfTwo) {
  constexpr int kRows = 402;
  Problem p(2, kRows, false, 1, 3);
  p.initial = {1, 0};
  p.transitions = {0.5, 0.5, 0, 1};
  p.TakeLogarithms();
  for (const double each : {1.0, 0.5, 0.25, 0.0625}) {
    std::fill(p.log_likelihood.begin(), p.log_likelihood.end(), std::log(each));
    p.log_likelihood[1] = p.log_likelihood[2] = -1800;
    for (int j = 0; j < 2 * kRows; ++j) p.likelihood[j] = std::exp(p.log_likelihood[j]);
    std::fill_n(p.likelihood.begin() + 4, 2 * kRows - 4, each);
    const Smoothed wide = InWide(p, p.rows());
    for (int t = 0; t < kRows; ++t) {
      EXPECT_NEAR(wide.smoothed[2 * t], t == 0 ? 1 : 0, 1e-12) << t;
      EXPECT_NEAR(wide.smoothed[2 * t] + wide.smoothed[2 * t + 1], 1, 1e-12) << t;
    }
    ExpectNear(p.CountsOfPairs(wide.pairs), {0, 1, 0, kRows - 2}, 1e-12);
  }
}

// A state that is not there stays so, however unlikely rows are under the one that is.
TEST(MarkovFarApart, StandsTheFarthestLogarithms) {
  constexpr int kRows = 100;
  Problem p(2, kRows, false, 1, 3);
  p.initial = {1, 0};
  p.transitions = {1, 0, 0, 1};
  p.TakeLogarithms();
  for (const double far : {-5e19, -1e205, -1e306}) {
    for (int t = 0; t < kRows; ++t) {
      p.log_likelihood[2 * t] = far;
      p.log_likelihood[2 * t + 1] = 0;
      p.likelihood[2 * t] = 0;
      p.likelihood[2 * t + 1] = 1;
    }
    const Smoothed wide = InWide(p, p.rows());
    EXPECT_NEAR(wide.log_likelihood / far, kRows, 1e-12);
    for (int t = 0; t < kRows; ++t) {
      EXPECT_NEAR(wide.smoothed[2 * t], 1, 1e-12);
      EXPECT_EQ(wide.smoothed[2 * t + 1], 0);
    }
  }
}

TEST(MarkovFarApart, ALikelihoodThatIsNoNumberShows) {
  for (const int max_duration : {1, 3}) {
    for (const double no_number : {std::nan(""), std::numeric_limits<double>::infinity()}) {
      Problem p(3, 6, true, max_duration, 5);
      p.log_likelihood[7] = p.likelihood[7] = no_number;
      EXPECT_TRUE(std::isnan(InWide(p, p.rows()).log_likelihood));
      Widened wide(p);
      wide.Forward(p.rows());
      std::vector<double> out(static_cast<size_t>(p.T) * p.K), message(p.hidden());
      const std::vector<double> anything(p.hidden(), 1.0);
      const ChainRows behind{.num_rows = p.T, .before = anything.data()};
      WidePredict(wide.chain, p.rows(), wide.scores(), out.data(), wide.scratch.data());
      WideLeaveOut(wide.chain, p.rows(), wide.of_rows(), wide.scores(), out.data(),
                   wide.scratch.data());
      WideBackward(wide.chain, behind, wide.of_rows(), message.data(), wide.scratch.data());
      EXPECT_TRUE(std::any_of(message.begin(), message.end(), [](double m) { return m != m; }));
    }
  }
}

TEST(Wides, AreNoNumberOfWhatIsNone) {
  const double none = std::nan("");
  for (const Wide a :
       {WideExp(none), WideExp(-kImpossible), WideExp(none) * Wide{}, WideExp(none) + WideExp(-1e9),
        WideExp(0) * WideExp(none), Inverse(WideExp(none))}) {
    EXPECT_TRUE(std::isnan(LogOf(a)));
    EXPECT_TRUE(std::isnan(ToDouble(a)));
    const std::vector<double> significand = {1, a.significand, 1};
    const std::vector<double> exponent = {3, a.exponent, -5};
    const ConstWides all{significand.data(), exponent.data()};
    EXPECT_TRUE(std::isnan(LogOf(SumOf(all, 3))));
    std::vector<double> doubles(3);
    ToDoubles(all, {1, -3}, 3, doubles.data());
    EXPECT_EQ(doubles[0], 1);
    EXPECT_TRUE(std::isnan(doubles[1]));
    EXPECT_EQ(doubles[2], 0);
  }
  EXPECT_EQ(WideShare(none), 0);
}

TEST(Wides, StandForAnyLogarithm) {
  double before = kImpossible;
  for (double size = 1.7e308; size > 1e-3; size /= 1.9) {
    EXPECT_NEAR(LogOf(WideExp(-size)) / (1 + size), -size / (1 + size), 1e-15) << size;
    EXPECT_NEAR(LogOf(WideExp(size)) / (1 + size), size / (1 + size), 1e-15) << size;
    EXPECT_GT(LogOf(WideExp(-size)), before);
    before = LogOf(WideExp(-size));
    EXPECT_EQ(ToDouble(Wide{} * WideExp(size)), 0);
    EXPECT_EQ((Wide{} * WideExp(size)).exponent, kWideZero);
  }
}

TEST(Wides, DoublesOfPowersOfTwo) {
  for (int power = -600; power <= 600; power += 1) {
    const Wide a = WideExp(0) * Wide{std::ldexp(1.0, power % 200), 0} *
                   Wide{std::ldexp(1.0, power - power % 200 - power / 2), 0} *
                   Wide{std::ldexp(1.0, power / 2), 0};
    EXPECT_EQ(ToDouble(a), std::ldexp(1.0, power));
    double one = 0;
    ToDoubles({&a.significand, &a.exponent}, Inverse(a), 1, &one);
    EXPECT_EQ(one, 1) << power;
  }
}

TEST(Wides, AddAndMultiply) {
  const auto close = [](Wide a, double log) {
    EXPECT_NEAR(LogOf(a), log, 1e-14 * std::abs(log) + 1e-14);
  };
  for (const double log : {0.0, -1.0, -177.4, 177.5, -354.9, -5000.0, 4000.0, -1e9}) {
    close(WideExp(log), log);
    close(WideExp(log) * WideExp(-700.0), log - 700);
    close(WideExp(log) * Inverse(WideExp(-700.0)), log + 700);
    close(WideExp(log) + WideExp(log - 1), log + std::log1p(std::exp(-1.0)));
    close(WideExp(log - 400) + WideExp(log), log);
  }
  EXPECT_EQ(ToDouble(WideExp(kImpossible)), 0);
  EXPECT_EQ(ToDouble(WideExp(kImpossible) + WideExp(0)), 1);
  EXPECT_EQ(ToDouble(WideExp(kImpossible) * WideExp(1e6)), 0);
  EXPECT_NEAR(ToDouble(WideExp(-600)) / std::exp(-600), 1, 1e-13);
  EXPECT_NEAR(ToDouble(WideExp(600)) / std::exp(600), 1, 1e-13);
}

}  // namespace
}  // namespace emserve::testing
