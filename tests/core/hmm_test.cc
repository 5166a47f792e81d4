// Hidden Markov models: published and hand-computed cases, enumeration of all paths.
#include "core/latent/hmm.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/em/chain.h"
#include "core/em/expectation.h"
#include "core/em/fit.h"
#include "core/em/update.h"
#include "core/emission/categorical.h"
#include "core/emission/gaussian.h"
#include "core/emission/poisson.h"
#include "core/latent/mixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/chain_data.h"
#include "tests/core/hmm_cases.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::ElementsAre;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::unique_ptr<Model> CategoricalHmm(int num_states, int64_t num_levels, const Table& table,
                                      const HmmHyperparameters& hyperparameters = {}) {
  return MakeHmm(MakeCategorical(CategoricalOptions{{0}, {num_levels}}, num_states,
                                 SummaryOf(table), table.names())
                     .value(),
                 hyperparameters)
      .value();
}

TEST(Hmm, UmbrellaWorldHasItsPublishedLogLikelihood) {
  const Table table = Column({1, 1, 0, 1, 1});
  const std::unique_ptr<Model> model = CategoricalHmm(2, 2, table);
  const Theta theta = {0.5, 0.5, 0.7, 0.3, 0.3, 0.7, 0.1, 0.9, 0.8, 0.2};
  const HmmPass pass = RunPass(*model, table, theta);
  EXPECT_NEAR(pass.log_likelihood, -3.3725, 5e-5);
  // Russell & Norvig, Artificial Intelligence: filtered after one and two days.
  EXPECT_NEAR(pass.filtered[0][0], 0.818, 5e-4);
  EXPECT_NEAR(pass.filtered[1][0], 0.883, 5e-4);
}

TEST(Hmm, ViterbiFindsThePathComputedByHand) {
  const Table table = Column({0, 1, 2});
  const std::unique_ptr<Model> model = CategoricalHmm(2, 3, table);
  const Theta theta = {0.6, 0.4, 0.7, 0.3, 0.4, 0.6, 0.1, 0.4, 0.5, 0.6, 0.3, 0.1};
  const HmmPass pass = RunPass(*model, table, theta, {.kind = Assignment::Kind::kHard});
  EXPECT_NEAR(std::exp(pass.log_likelihood), 0.01344, 1e-15);
  // Path 1, 0, 0: occupancy 2 and 1, begins in 1, transitions 1 -> 0 and 0 -> 0.
  const std::vector<double> expected = {2, 1, 0, 1, 1, 0, 1, 0};
  for (size_t j = 0; j < expected.size(); ++j) {
    EXPECT_NEAR(pass.statistics[j], expected[j], 1e-15) << j;
  }
}

// All eight paths of the case above, in order.
TEST(Hmm, RanksAllPaths) {
  const Table table = Column({0, 1, 2});
  const std::unique_ptr<Model> model = CategoricalHmm(2, 3, table);
  const Theta theta = {0.6, 0.4, 0.7, 0.3, 0.4, 0.6, 0.1, 0.4, 0.5, 0.6, 0.3, 0.1};
  const std::unique_ptr<Model::Prepared> prepared = model->NewPrepared();
  ASSERT_TRUE(model->Prepare(theta, *prepared).ok());
  const std::unique_ptr<Model::Workspace> workspace = model->NewWorkspace(3);
  BlockBuffer buffer = table.MakeBuffer(3);
  const Block block = table.Read(0, 3, buffer);
  std::vector<std::pair<double, std::vector<int>>> expected;
  for (int code = 0; code < 8; ++code) {
    const std::vector<int> path = {code / 4, code / 2 % 2, code % 2};
    double p = theta[path[0]];
    for (int t = 0; t < 3; ++t) {
      p *= theta[6 + 3 * path[t] + t] * (t > 0 ? theta[2 + 2 * path[t - 1] + path[t]] : 1);
    }
    expected.emplace_back(p, path);
  }
  std::sort(expected.rbegin(), expected.rend());
  for (const int count : {1, 3, 8, 20}) {
    const auto paths =
        model->chain()->BestPathsOf(*prepared, block, *workspace, count, nullptr).value();
    ASSERT_EQ(paths.size(), static_cast<size_t>(std::min(count, 8)));
    for (size_t i = 0; i < paths.size(); ++i) {
      EXPECT_NEAR(std::exp(paths[i].log_density), expected[i].first, 1e-15) << i;
      EXPECT_EQ(paths[i].components, expected[i].second) << i;
    }
  }
}

Data Earthquakes() {
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  for (const std::vector<std::string>& row : ReadCsv("earthquakes.csv")) {
    data.values.push_back(std::strtod(row.at(1).c_str(), nullptr));
  }
  return data;
}

TEST(Hmm, EarthquakesFollowThePublishedPathOfEm) {
  const Table table = Earthquakes().ToTable();
  const std::unique_ptr<Model> model = PoissonHmm(2, table);
  Theta theta = {0.5, 0.5, 0.9, 0.1, 0.1, 0.9, 10, 30};
  Theta next(theta.size());
  std::vector<double> trace;
  for (int iteration = 0; iteration <= 50; ++iteration) {
    const HmmPass pass = RunPass(*model, table, theta);
    trace.push_back(-pass.log_likelihood);
    std::vector<Repair> repairs;
    ASSERT_TRUE(model->MStep(theta, pass.statistics, next, {repairs, {}}).ok());
    theta = next;
    if (iteration == 0) {
      EXPECT_NEAR(theta[6], 13.742, 5e-4);
      EXPECT_NEAR(theta[7], 24.169, 5e-4);
    }
  }
  EXPECT_NEAR(trace[0], 413.27542, 5e-6);
  EXPECT_NEAR(trace[1], 343.76023, 5e-6);
  EXPECT_NEAR(trace[2], 343.13618, 5e-6);
  EXPECT_NEAR(trace[30], 341.87871, 5e-6);
  EXPECT_NEAR(trace[50], 341.87870, 5e-6);
}

TEST(Hmm, EarthquakesReachThePublishedLogLikelihoods) {
  const Table table = Earthquakes().ToTable();
  Pool pool(2);
  Pool::Share share(pool);
  const double published[] = {-341.87870, -328.52748, -326.6749};
  for (int num_states = 2; num_states <= 4; ++num_states) {
    const std::unique_ptr<Model> model = PoissonHmm(num_states, table);
    const absl::StatusOr<FitResult> fit =
        Fit(*model, table, SummaryOf(table), {}, {.share = &share, .stop = {}, .clock = {}});
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_GE(fit->log_likelihood, published[num_states - 2] - 1e-3) << num_states;
  }
}

// Three states and two sequences of up to 8 rows with weights, a missing step and a label.
TEST(Hmm, AgreesWithEnumerationOfAllPaths) {
  const std::vector<double> counts = {1, 4, kNaN, 9, 7, 0, 2, 3, 5, 8, 1, 6};
  const std::vector<double> labels = {-1, -1, -1, 2, -1, -1, 0, -1, -1, 1, -1, -1};
  const std::vector<double> weights = {1, 2, 1, 0.5, 1, 0, 3, 1, 1, 1, 0.25, 1};
  Data data{.num_columns = 2, .values = {}, .weights = weights};
  for (size_t i = 0; i < counts.size(); ++i) {
    data.values.push_back(counts[i]);
    data.values.push_back(labels[i]);
  }
  const std::vector<int64_t> lengths = {7, 5};
  const std::vector<double> sequence_weights = {2, 0.75};
  Table::Options options;
  options.columns = {0};
  options.label_column = 1;
  options.label_components = 3;
  const Table table = ChainData{data, lengths, sequence_weights}.ToTable(options);
  const std::unique_ptr<Model> model = PoissonHmm(3, table);
  const Theta initial = {0.2, 0.5, 0.3};
  const Theta transitions = {0.5, 0.3, 0.2, 0.1, 0.6, 0.3, 0.25, 0, 0.75};
  const Theta rates = {1, 4, 8};
  Theta theta = initial;
  theta.insert(theta.end(), transitions.begin(), transitions.end());
  theta.insert(theta.end(), rates.begin(), rates.end());
  const HmmPass pass = RunPass(*model, table, theta);
  const HmmPass best = RunPass(*model, table, theta, {.kind = Assignment::Kind::kHard});

  double log_likelihood = 0;
  double log_best = 0;
  std::vector<double> initial_counts(3);
  std::vector<double> occupancy(3);
  Theta pairs(9);
  size_t first = 0;
  for (size_t s = 0; s < lengths.size(); ++s) {
    std::vector<std::vector<double>> density;
    for (size_t i = first; i < first + lengths[s]; ++i) {
      density.emplace_back();
      for (int k = 0; k < 3; ++k) {
        const double x = counts[i];
        const double log_p = std::isnan(x) || weights[i] == 0
                                 ? 0
                                 : x * std::log(rates[k]) - rates[k] - std::lgamma(x + 1);
        const bool allowed = labels[i] < 0 || labels[i] == k;
        density.back().push_back(allowed ? std::exp(weights[i] * log_p) : 0);
      }
    }
    const AllPaths all(density, initial, transitions);
    double of_sequence = 0;
    for (size_t t = 0; t < density.size(); ++t) {
      of_sequence += pass.log_density[first + t];
      for (int k = 0; k < 3; ++k) {
        EXPECT_NEAR(pass.posterior[first + t][k], all.posterior[t][k], 1e-14);
        const double weight = std::isnan(counts[first + t]) ? 0 : weights[first + t];
        occupancy[k] += sequence_weights[s] * weight * all.posterior[t][k];
      }
    }
    EXPECT_NEAR(of_sequence, std::log(all.total), 1e-13);
    log_likelihood += sequence_weights[s] * std::log(all.total);
    log_best += sequence_weights[s] * std::log(all.Best());
    for (int k = 0; k < 3; ++k) initial_counts[k] += sequence_weights[s] * all.posterior[0][k];
    for (int j = 0; j < 9; ++j) pairs[j] += sequence_weights[s] * all.pairs[j];
    first += lengths[s];
  }
  EXPECT_NEAR(pass.log_likelihood, log_likelihood, 1e-13);
  EXPECT_NEAR(best.log_likelihood, log_best, 1e-13);
  for (int k = 0; k < 3; ++k) {
    EXPECT_NEAR(pass.statistics[k], occupancy[k], 1e-13);
    EXPECT_NEAR(pass.statistics[3 + k], initial_counts[k], 1e-14);
  }
  for (int j = 0; j < 9; ++j) EXPECT_NEAR(pass.statistics[6 + j], pairs[j], 1e-13);
}

TEST(Hmm, SequencesOfOneRowAreAMixture) {
  const Data data = Blobs(2000, 2, 3, 3, 4);
  const Table rows = data.ToTable();
  const Table table = ChainData{data, std::vector<int64_t>(2000, 1), {}}.ToTable();
  const std::unique_ptr<Model> mixture =
      MakeMixture(MakeGaussian({}, 3, SummaryOf(rows), rows.names()).value()).value();
  const std::unique_ptr<Model> hmm =
      MakeHmm(MakeGaussian({}, 3, SummaryOf(rows), rows.names()).value()).value();
  Theta of_mixture(mixture->parameters().size());
  mixture->Reference(SummaryOf(rows), of_mixture);
  Random random(1, 1);
  for (int j = 3; j < 9; ++j) of_mixture[j] += random.Normal();
  of_mixture[0] = 0.2;
  of_mixture[1] = 0.5;
  of_mixture[2] = 0.3;
  Theta theta(of_mixture.begin(), of_mixture.begin() + 3);
  theta.insert(theta.end(), 9, 1.0 / 3);
  theta.insert(theta.end(), of_mixture.begin() + 3, of_mixture.end());
  // Equal transition rows on one long chain are the same mixture.
  Theta equal(of_mixture.begin(), of_mixture.begin() + 3);
  for (int i = 0; i < 3; ++i) {
    equal.insert(equal.end(), of_mixture.begin(), of_mixture.begin() + 3);
  }
  equal.insert(equal.end(), of_mixture.begin() + 3, of_mixture.end());

  Pool pool(2);
  Pool::Share share(pool);
  Expectation expected(*mixture, rows, share, {});
  const double log_likelihood = expected.Run(of_mixture).value();
  const std::span<const double> of_emission = expected.statistics().subspan(3);
  const HmmPass of_rows = RunPass(*hmm, table, theta);
  const HmmPass of_chain = RunPass(*hmm, rows, equal);
  for (const HmmPass& pass : {of_rows, of_chain}) {
    EXPECT_NEAR(pass.log_likelihood, log_likelihood, 1e-9);
    for (int k = 0; k < 3; ++k) {
      EXPECT_NEAR(pass.statistics[k], expected.statistics()[k], 1e-9);
    }
    for (size_t j = 0; j < of_emission.size(); ++j) {
      EXPECT_NEAR(pass.statistics[15 + j], of_emission[j], 1e-8);
    }
  }
}

TEST(Hmm, FixedPatternsStayAndObjectivesRise) {
  const Table table = ChainData{LongChain(600, 3, 13), {200, 150, 250}, {}}.ToTable();
  Pool pool(2);
  Pool::Share share(pool);
  for (const Algorithm algorithm :
       {Algorithm::kEm, Algorithm::kClassificationEm, Algorithm::kStochasticEm,
        Algorithm::kAnnealedEm, Algorithm::kStepwiseEm}) {
    for (const TransitionPattern pattern :
         {TransitionPattern::kFull, TransitionPattern::kLeftRight, TransitionPattern::kStepwise}) {
      HmmHyperparameters hyperparameters = WithPattern(pattern);
      hyperparameters.transition_concentration = 1.5;
      hyperparameters.stickiness = 2;
      const std::unique_ptr<Model> model = GaussianHmm(3, table, hyperparameters);
      FitOptions options;
      options.algorithm = algorithm;
      options.restarts = 3;
      const absl::StatusOr<FitResult> fit =
          Fit(*model, table, SummaryOf(table), options, {.share = &share, .stop = {}, .clock = {}});
      ASSERT_TRUE(fit.ok()) << fit.status();
      for (const RestartOutcome& outcome : fit->restarts) {
        EXPECT_TRUE(outcome.status.ok()) << outcome.status;
        EXPECT_NE(outcome.termination, Termination::kObjectiveDecreased) << outcome.message;
      }
      for (int i = 0; i < 3; ++i) {
        for (int j = 0; j < 3; ++j) {
          const bool allowed = pattern == TransitionPattern::kFull || j == i ||
                               (pattern == TransitionPattern::kLeftRight ? j > i : j == i + 1);
          EXPECT_EQ(fit->theta[3 + 3 * i + j] > 0, allowed) << i << " " << j;
        }
      }
    }
  }
}

// Zucchini, MacDonald & Langrock (2016), table 3.1: minus log-likelihoods 342.3183 and 329.4603.
TEST(Hmm, StationaryEarthquakesReachThePublishedLogLikelihoods) {
  const Table table = Earthquakes().ToTable();
  Pool pool(2);
  Pool::Share share(pool);
  const double published[] = {-342.3183, -329.4603};
  for (int num_states = 2; num_states <= 3; ++num_states) {
    HmmHyperparameters hyperparameters;
    hyperparameters.initial = InitialDistribution::kStationary;
    const std::unique_ptr<Model> model = PoissonHmm(num_states, table, hyperparameters);
    const absl::StatusOr<FitResult> fit =
        Fit(*model, table, SummaryOf(table), {}, {.share = &share, .stop = {}, .clock = {}});
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_NEAR(fit->log_likelihood, published[num_states - 2], 1e-3) << num_states;
    for (const RestartOutcome& outcome : fit->restarts) {
      EXPECT_NE(outcome.termination, Termination::kObjectiveDecreased) << outcome.message;
    }
    EXPECT_EQ(model->degrees_of_freedom(fit->theta), num_states * num_states);
    for (int j = 0; j < num_states; ++j) {
      double next = 0;
      for (int i = 0; i < num_states; ++i) {
        next += fit->theta[i] * fit->theta[num_states * (1 + i) + j];
      }
      EXPECT_NEAR(next, fit->theta[j], 1e-12);
    }
  }
}

// What one has lost, the collapse policy takes out of the chain.
TEST(Hmm, CollapsedStatesAreDroppedForGood) {
  Data data = LongChain(300, 2, 17);
  for (int i = 100; i < 110; ++i) data.values[i] = 50;  // a state without scatter
  const Table table = data.ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(3, table);
  Pool pool(2);
  Pool::Share share(pool);
  FitOptions options;
  options.collapse = CollapsePolicy::kDrop;
  const absl::StatusOr<FitResult> fit =
      Fit(*model, table, SummaryOf(table), options, {.share = &share, .stop = {}, .clock = {}});
  ASSERT_TRUE(fit.ok()) << fit.status();
  int dropped = 0;
  for (int k = 0; k < 3; ++k) dropped += model->WeightOf(fit->theta, k) == 0.0 ? 1 : 0;
  int reported = 0;
  for (const Repair& repair : fit->repairs) reported += repair.reason == kComponentDropped ? 1 : 0;
  EXPECT_EQ(dropped, reported);
  EXPECT_TRUE(model->Validate(fit->theta).ok());
}

TEST(Hmm, RefusesWhatIsNoChain) {
  const Table table = Earthquakes().ToTable();
  const auto make = [&](const HmmHyperparameters& hyperparameters) {
    return std::string(
        MakeHmm(MakePoisson({}, 2, SummaryOf(table), table.names()).value(), hyperparameters)
            .status()
            .message());
  };
  HmmHyperparameters hyperparameters;
  hyperparameters.initial_concentration = 0.5;
  EXPECT_EQ(make(hyperparameters), "initial_concentration: got 0.5, must be finite and at least 1");
  hyperparameters = {};
  hyperparameters.stickiness = -1;
  EXPECT_EQ(make(hyperparameters), "stickiness: got -1, must be finite and at least 0");
  hyperparameters = {};
  hyperparameters.allowed_transitions = {1, 0, 0, 0};
  EXPECT_EQ(make(hyperparameters),
            "allowed_transitions: got none from state 1, must be at least one");
  hyperparameters.allowed_transitions = {1};
  EXPECT_EQ(make(hyperparameters), "allowed_transitions: got 1 values, must be 2 x 2");
  hyperparameters = WithPattern(TransitionPattern::kLeftRight);
  hyperparameters.initial = InitialDistribution::kStationary;
  EXPECT_EQ(make(hyperparameters),
            "initial: got a stationary distribution, must be free where state 0 cannot be reached "
            "from state 1");
  const std::unique_ptr<Model> model = PoissonHmm(2, table);
  EXPECT_EQ(model->Validate(Theta{0.5, 0.5, 0.9, 0.2, 0.1, 0.9, 1, 2}).message(),
            "transitions[0]: got a sum of 1.1, must be 1 within 1e-06");
}

// Single sequences teach that others never begin elsewhere. They do, however little density is left
// for it.
TEST(Hmm, ASequenceMayBeginWhereHardlyAnyDensityIs) {
  const Table table =
      ChainData{{.num_columns = 1, .values = {60, 60, 0, 60}, .weights = {}}, {2, 2}, {}}.ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(2, table);
  const Theta theta = {1, 0, 0.5, 0.5, 0.5, 0.5, 0, 60, 1, 1};
  const HmmPass pass = RunPass(*model, table, theta);
  const double peak = -0.5 * std::log(2 * M_PI);
  EXPECT_DOUBLE_EQ(pass.log_density[0], peak - 1800);
  EXPECT_DOUBLE_EQ(pass.log_density[1], peak - std::log(2));
  EXPECT_DOUBLE_EQ(pass.log_density[2], peak);
  EXPECT_THAT(pass.posterior[0], ElementsAre(1, 0));
  EXPECT_THAT(pass.posterior[1], ElementsAre(0, 1));
  EXPECT_DOUBLE_EQ(pass.statistics[2], 2);  // both begin in state 0
}

// A sequence that counts for nothing may also be impossible.
TEST(Hmm, AnImpossibleSequenceWithoutWeightLeavesNoTrace) {
  const Table table = ChainData{
      {.num_columns = 1, .values = {0, 1, 0, 2, 2}, .weights = {}},
      {3, 2},
      {1, 0}}.ToTable();
  const std::unique_ptr<Model> model = CategoricalHmm(2, 3, table);
  const Theta theta = {1, 0, 0, 1, 0, 1, 0.5, 0.5, 0, 0.5, 0.5, 0};
  for (const Assignment& assignment : {Assignment{}, Assignment{.kind = Assignment::Kind::kHard}}) {
    const HmmPass pass = RunPass(*model, table, theta, assignment);
    EXPECT_TRUE(std::isfinite(pass.log_likelihood));
    for (const double statistic : pass.statistics) EXPECT_TRUE(std::isfinite(statistic));
  }
}

// The past counts in as many sequences as it had.
TEST(Hmm, AnUpdateCountsOldAndNewSequencesAlike) {
  const Table table = ChainData{
      {.num_columns = 1, .values = {9, 0, 9, 9, 0, 0, 9, 0}, .weights = {}},
      {2, 1, 1, 1, 1, 1, 1},
      {}}.ToTable();
  const Theta theta = {1.0 / 3, 2.0 / 3, 0.8, 0.2, 0.4, 0.6, 0.01, 9};
  const std::unique_ptr<Model> model =
      WithPast(PoissonHmm(2, table), theta, {.num_observations = 12, .num_sequences = 3});
  const HmmPass pass = RunPass(*model, table, theta);
  Theta next(theta.size());
  std::vector<Repair> repairs;
  ASSERT_TRUE(model->MStep(theta, pass.statistics, next, {repairs, {}}).ok());
  EXPECT_NEAR(next[0], (1 + pass.statistics[2]) / 10, 1e-12);
  // Three sequences of four rows are left nine times.
  std::vector<double> past(model->statistics().size());
  model->ExpectedStatistics(theta, 12, 3, past);
  double departures = 0;
  for (int pair = 0; pair < 4; ++pair) departures += past[4 + pair];
  EXPECT_NEAR(departures, 9, 1e-12);
  EXPECT_NEAR(past[0] + past[1], 12, 1e-12);
}

// A start or an imported model cannot bring back transitions that there are not.
TEST(Hmm, RefusesOtherValuesThanFixedOnes) {
  const Table table = Earthquakes().ToTable();
  HmmHyperparameters hyperparameters = WithPattern(TransitionPattern::kLeftRight);
  hyperparameters.constraints.fixed.push_back({"initial", {}, {1, 0}});
  const std::unique_ptr<Model> model = PoissonHmm(2, table, hyperparameters);
  const auto refusal = [&](const Theta& theta) {
    return std::string(model->Validate(theta).message());
  };
  EXPECT_EQ(refusal({1, 0, 0.9, 0.1, 0, 1, 1, 2}), "");
  EXPECT_EQ(refusal({1, 0, 0.9, 0.1, 1e-7, 1 - 1e-7, 1, 2}), "");
  EXPECT_EQ(refusal({1, 0, 0.9, 0.1, 0.25, 0.75, 1, 2}),
            "transitions[1, 0]: got 0.25, must be 0, to which it is fixed");
  EXPECT_EQ(refusal({0.5, 0.5, 0.9, 0.1, 0, 1, 1, 2}),
            "initial[0]: got 0.5, must be 1, to which it is fixed");
}

}  // namespace
}  // namespace emserve::testing
