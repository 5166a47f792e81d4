// Semi-Markov models: enumeration of all visits, Markov chains as a special case, fits.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/em/fit.h"
#include "core/latent/hmm.h"
#include "gtest/gtest.h"
#include "tests/core/chain_data.h"
#include "tests/core/hmm_cases.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

HmmHyperparameters WithDurations(DurationKind kind, int max_duration) {
  HmmHyperparameters hyperparameters;
  hyperparameters.durations = kind;
  hyperparameters.max_duration = max_duration;
  return hyperparameters;
}

// All segmentations of a sequence into visits, the last one cut off by its end.
TEST(SemiMarkov, AgreesWithEnumerationOfAllVisits) {
  constexpr int kStates = 3;
  constexpr int kLongest = 4;
  const std::vector<double> counts = {1, 4, 5, 9, 7, 0, 2};
  const auto num_rows = static_cast<int>(counts.size());
  const Table table = Column(counts);
  const std::unique_ptr<Model> model =
      PoissonHmm(kStates, table, WithDurations(DurationKind::kFree, kLongest));
  const Theta initial = {0.2, 0.5, 0.3};
  const Theta transitions = {0, 0.6, 0.4, 0.1, 0, 0.9, 0.75, 0.25, 0};
  const Theta durations = {0.1, 0.2, 0.3, 0.4, 0.5, 0, 0.5, 0, 0.25, 0.25, 0.25, 0.25};
  const Theta rates = {1, 4, 8};
  Theta theta = initial;
  for (const Theta& part : {transitions, durations, rates}) {
    theta.insert(theta.end(), part.begin(), part.end());
  }
  const auto density = [&](int t, int k) {
    return std::exp(counts[t] * std::log(rates[k]) - rates[k] - std::lgamma(counts[t] + 1));
  };

  double total = 0;
  double best = 0;
  std::vector<Theta> posterior(num_rows, Theta(kStates));
  Theta pairs(9);
  Theta lasting(kStates * kLongest);
  struct Visit {
    int state, first, length;
  };
  std::vector<Visit> visits;
  const std::function<void(int, double)> extend = [&](int first, double weight) {
    if (first >= num_rows) {
      total += weight;
      best = std::max(best, weight);
      for (size_t v = 0; v < visits.size(); ++v) {
        const Visit& visit = visits[v];
        lasting[visit.state * kLongest + visit.length - 1] += weight;
        if (v > 0) pairs[visits[v - 1].state * kStates + visit.state] += weight;
        for (int t = visit.first; t < std::min(visit.first + visit.length, num_rows); ++t) {
          posterior[t][visit.state] += weight;
        }
      }
      return;
    }
    for (int k = 0; k < kStates; ++k) {
      const double enter =
          visits.empty() ? initial[k] : transitions[visits.back().state * kStates + k];
      for (int d = 1; d <= kLongest; ++d) {
        double next = weight * enter * durations[k * kLongest + d - 1];
        for (int t = first; t < std::min(first + d, num_rows); ++t) next *= density(t, k);
        if (next == 0) continue;
        visits.push_back({k, first, d});
        extend(first + d, next);
        visits.pop_back();
      }
    }
  };
  extend(0, 1);

  const HmmPass pass = RunPass(*model, table, theta);
  EXPECT_NEAR(pass.log_likelihood, std::log(total), 1e-13);
  EXPECT_NEAR(RunPass(*model, table, theta, {.kind = Assignment::Kind::kHard}).log_likelihood,
              std::log(best), 1e-13);
  for (int t = 0; t < num_rows; ++t) {
    for (int k = 0; k < kStates; ++k) {
      EXPECT_NEAR(pass.posterior[t][k], posterior[t][k] / total, 1e-14) << t << " " << k;
    }
  }
  const std::vector<double>& statistics = pass.statistics;
  for (int j = 0; j < 9; ++j) EXPECT_NEAR(statistics[6 + j], pairs[j] / total, 1e-13) << j;
  for (int j = 0; j < kStates * kLongest; ++j) {
    EXPECT_NEAR(statistics[15 + j], lasting[j] / total, 1e-13) << j;
  }
}

// Visits of geometric length, left for any other state, are a Markov chain.
TEST(SemiMarkov, GeometricVisitsAreAMarkovChain) {
  const Data data = LongChain(2000, 2, 21);
  const Table table = data.ToTable();
  constexpr int kLongest = 400;
  const std::unique_ptr<Model> semi =
      GaussianHmm(2, table, WithDurations(DurationKind::kFree, kLongest));
  const std::unique_ptr<Model> markov = GaussianHmm(2, table);
  const double stay[] = {0.9, 0.8};
  Theta theta = {0.3, 0.7, 0.9, 0.1, 0.2, 0.8, 0, 2, 1, 1};
  Theta of_semi = {0.3, 0.7, 0, 1, 1, 0};
  for (const double p : stay) {
    double left = 1;
    for (int d = 1; d < kLongest; ++d) {
      of_semi.push_back((1 - p) * std::pow(p, d - 1));
      left -= of_semi.back();
    }
    of_semi.push_back(left);
  }
  of_semi.insert(of_semi.end(), theta.begin() + 6, theta.end());
  const HmmPass expected = RunPass(*markov, table, theta);
  const HmmPass pass = RunPass(*semi, table, of_semi);
  EXPECT_NEAR(pass.log_likelihood, expected.log_likelihood, 1e-9);
  for (size_t t = 0; t < pass.posterior.size(); ++t) {
    ASSERT_NEAR(pass.posterior[t][0], expected.posterior[t][0], 1e-10) << t;
  }
}

TEST(SemiMarkov, ObjectivesRiseAndThreadsDoNotChangeBits) {
  const Table table = ChainData{LongChain(500, 3, 22), {300, 80, 120}, {}}.ToTable();
  for (const DurationKind kind :
       {DurationKind::kFree, DurationKind::kPoisson, DurationKind::kNegativeBinomial}) {
    for (const TransitionPattern pattern :
         {TransitionPattern::kFull, TransitionPattern::kStepwise}) {
      HmmHyperparameters hyperparameters = WithDurations(kind, 25);
      hyperparameters.transitions = pattern;
      const std::unique_ptr<Model> model = GaussianHmm(3, table, hyperparameters);
      std::optional<FitResult> first;
      for (const int num_threads : {1, 3}) {
        Pool pool(num_threads);
        Pool::Share share(pool);
        FitOptions options;
        options.restarts = 3;
        options.max_iterations = 60;
        const absl::StatusOr<FitResult> fit = Fit(*model, table, SummaryOf(table), options,
                                                  {.share = &share, .stop = {}, .clock = {}});
        ASSERT_TRUE(fit.ok()) << fit.status();
        for (const RestartOutcome& outcome : fit->restarts) {
          EXPECT_TRUE(outcome.status.ok()) << outcome.status;
          EXPECT_NE(outcome.termination, Termination::kObjectiveDecreased) << outcome.message;
        }
        if (first) {
          EXPECT_EQ(first->theta, fit->theta);
        }
        first = *fit;
      }
    }
  }
}

// Visits of a known distribution are found again.
TEST(SemiMarkov, DurationsAreRecovered) {
  Random random(31, 0);
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  const double rate[] = {4, 12};
  for (int visit = 0; visit < 400; ++visit) {
    int length = 1;
    for (double left = std::exp(-rate[visit % 2]), p = random.Uniform(), mass = left; p > mass;) {
      left *= rate[visit % 2] / length++;
      mass += left;
    }
    for (int t = 0; t < length; ++t) data.values.push_back(3.0 * (visit % 2) + random.Normal());
  }
  const Table table = data.ToTable();
  Pool pool(2);
  Pool::Share share(pool);
  for (const DurationKind kind : {DurationKind::kPoisson, DurationKind::kNegativeBinomial}) {
    const std::unique_ptr<Model> model = GaussianHmm(2, table, WithDurations(kind, 60));
    FitOptions options;
    options.restarts = 3;
    const absl::StatusOr<FitResult> fit =
        Fit(*model, table, SummaryOf(table), options, {.share = &share, .stop = {}, .clock = {}});
    ASSERT_TRUE(fit.ok()) << fit.status();
    const auto [low, high] = std::minmax(fit->theta[6], fit->theta[7]);
    EXPECT_NEAR(low, rate[0], 0.5);
    EXPECT_NEAR(high, rate[1], 1);
  }
}

}  // namespace
}  // namespace emserve::testing
