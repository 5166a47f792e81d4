// Hidden Markov models: published and hand-computed cases, enumeration of all paths, blocks.
#include "core/latent/hmm.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/em/chain.h"
#include "core/em/expectation.h"
#include "core/em/fit.h"
#include "core/em/messages.h"
#include "core/emission/categorical.h"
#include "core/emission/gaussian.h"
#include "core/emission/poisson.h"
#include "core/latent/mixture.h"
#include "gtest/gtest.h"
#include "tests/core/chain_data.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kImpossible = -std::numeric_limits<double>::infinity();

using Theta = std::vector<double>;

Table Column(std::vector<double> values) {
  return Data{.num_columns = 1, .values = std::move(values), .weights = {}}.ToTable();
}

HmmHyperparameters WithPattern(TransitionPattern pattern) {
  HmmHyperparameters hyperparameters;
  hyperparameters.transitions = pattern;
  return hyperparameters;
}

std::unique_ptr<Model> PoissonHmm(int num_states, const Table& table,
                                  const HmmHyperparameters& hyperparameters = {}) {
  return MakeHmm(MakePoisson({}, num_states, SummaryOf(table), table.names()).value(),
                 hyperparameters)
      .value();
}

std::unique_ptr<Model> CategoricalHmm(int num_states, int64_t num_levels, const Table& table,
                                      const HmmHyperparameters& hyperparameters = {}) {
  return MakeHmm(MakeCategorical(CategoricalOptions{{0}, {num_levels}}, num_states,
                                 SummaryOf(table), table.names())
                     .value(),
                 hyperparameters)
      .value();
}

// One pass, its statistics and every row's outputs.
struct Pass {
  double log_likelihood = 0;
  std::vector<double> statistics;
  std::vector<double> log_density;             // [rows]
  std::vector<std::vector<double>> posterior;  // [rows][K]
  std::vector<std::vector<double>> filtered;   // [rows][K]
};

Pass RunPass(const Model& model, const Table& table, const Theta& theta,
             const Assignment& assignment = {}, int num_threads = 1) {
  Pool pool(num_threads);
  Pool::Share share(pool);
  Expectation expectation(model, table, share, {});
  const absl::StatusOr<double> log_likelihood = expectation.Run(theta, assignment);
  EXPECT_TRUE(log_likelihood.ok()) << log_likelihood.status();
  Pass pass;
  pass.log_likelihood = log_likelihood.value_or(0);
  pass.statistics.assign(expectation.statistics().begin(), expectation.statistics().end());

  const std::unique_ptr<Model::Prepared> prepared = model.NewPrepared();
  EXPECT_TRUE(model.Prepare(theta, *prepared).ok());
  Lanes lanes(table, model.doubles_per_row(), share, {});
  Messages messages(model, table, lanes.partition(), share, nullptr);
  EXPECT_TRUE(messages.Run(*prepared, {}).ok());
  const std::unique_ptr<Model::Workspace> workspace = model.NewWorkspace(lanes.max_rows());
  const int num_states = model.num_components();
  for (int64_t b = 0; b < lanes.partition().num_blocks; ++b) {
    BlockBuffer buffer = table.MakeBuffer(lanes.max_rows());
    const Block block = messages.Informed(
        table.Read(lanes.partition().first_row(b), lanes.partition().rows(b), buffer));
    std::vector<double> log_density(block.stride);
    std::vector<double> posterior(static_cast<size_t>(num_states) * block.stride);
    std::vector<double> filtered(posterior.size());
    model.Infer(*prepared, block, *workspace,
                {.log_density = log_density.data(),
                 .posterior = posterior.data(),
                 .filtered = filtered.data()});
    for (int t = 0; t < block.num_rows; ++t) {
      pass.log_density.push_back(log_density[t]);
      pass.posterior.emplace_back();
      pass.filtered.emplace_back();
      for (int k = 0; k < num_states; ++k) {
        const size_t j = static_cast<size_t>(k) * block.stride + t;
        pass.posterior.back().push_back(posterior[j]);
        pass.filtered.back().push_back(filtered[j]);
      }
    }
  }
  return pass;
}

TEST(Hmm, UmbrellaWorldHasItsPublishedLogLikelihood) {
  const Table table = Column({1, 1, 0, 1, 1});
  const std::unique_ptr<Model> model = CategoricalHmm(2, 2, table);
  const Theta theta = {0.5, 0.5, 0.7, 0.3, 0.3, 0.7, 0.1, 0.9, 0.8, 0.2};
  const Pass pass = RunPass(*model, table, theta);
  EXPECT_NEAR(pass.log_likelihood, -3.3725, 5e-5);
  // Russell & Norvig, Artificial Intelligence: filtered after one and two days.
  EXPECT_NEAR(pass.filtered[0][0], 0.818, 5e-4);
  EXPECT_NEAR(pass.filtered[1][0], 0.883, 5e-4);
}

TEST(Hmm, ViterbiFindsThePathComputedByHand) {
  const Table table = Column({0, 1, 2});
  const std::unique_ptr<Model> model = CategoricalHmm(2, 3, table);
  const Theta theta = {0.6, 0.4, 0.7, 0.3, 0.4, 0.6, 0.1, 0.4, 0.5, 0.6, 0.3, 0.1};
  const Pass pass = RunPass(*model, table, theta, {.kind = Assignment::Kind::kHard});
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
    const Pass pass = RunPass(*model, table, theta);
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
  const Pass pass = RunPass(*model, table, theta);
  const Pass best = RunPass(*model, table, theta, {.kind = Assignment::Kind::kHard});

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

// Rows of a chain whose states last, with Gaussian densities.
Data LongChain(int64_t num_rows, int num_states, uint64_t seed) {
  Random random(seed, 0);
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  uint64_t state = 0;
  for (int64_t i = 0; i < num_rows; ++i) {
    if (random.Uniform() < 0.05) state = random.Below(num_states);
    data.values.push_back(2.0 * static_cast<double>(state) + random.Normal());
  }
  return data;
}

Theta LongChainTheta(int num_states, double stay) {
  Theta theta(num_states, 1.0 / num_states);
  for (int i = 0; i < num_states; ++i) {
    for (int j = 0; j < num_states; ++j) {
      theta.push_back(i == j ? stay : (1 - stay) / (num_states - 1));
    }
  }
  for (int k = 0; k < num_states; ++k) theta.push_back(2.0 * k + 0.3);
  for (int k = 0; k < num_states; ++k) theta.push_back(1.5);
  return theta;
}

std::unique_ptr<Model> GaussianHmm(int num_states, const Table& table,
                                   const HmmHyperparameters& hyperparameters = {}) {
  return MakeHmm(MakeGaussian(GaussianOptions{Covariance::kDiagonal}, num_states, SummaryOf(table),
                              table.names())
                     .value(),
                 hyperparameters)
      .value();
}

// The plain textbook recursion over the whole chain, in logarithms.
double PlainLogLikelihood(const Data& data, const Theta& theta, int num_states) {
  std::vector<double> score(num_states);
  std::vector<double> next(num_states);
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    for (int j = 0; j < num_states; ++j) {
      const double mean = theta[num_states * (1 + num_states) + j];
      const double variance = theta[num_states * (2 + num_states) + j];
      const double x = data.values[i];
      double sum = 0;
      double largest = kImpossible;
      for (int k = 0; k < num_states && i > 0; ++k) {
        largest = std::max(largest, score[k] + std::log(theta[num_states * (1 + k) + j]));
      }
      for (int k = 0; k < num_states && i > 0; ++k) {
        sum += std::exp(score[k] + std::log(theta[num_states * (1 + k) + j]) - largest);
      }
      next[j] = (i == 0 ? std::log(theta[j]) : largest + std::log(sum)) -
                0.5 * (std::log(2 * M_PI * variance) + (x - mean) * (x - mean) / variance);
    }
    score = next;
  }
  const double largest = *std::max_element(score.begin(), score.end());
  double sum = 0;
  for (const double s : score) sum += std::exp(s - largest);
  return largest + std::log(sum);
}

class LongChains : public ::testing::TestWithParam<int> {};

// 3 states hand transfers on, 18 messages; blocks must not show in either.
TEST_P(LongChains, BlocksLeaveNoTrace) {
  const int num_states = GetParam();
  const Data data = LongChain(3000, num_states, 7);
  const Table table = data.ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(num_states, table);
  const Theta theta = LongChainTheta(num_states, 0.9);
  const Pass pass = RunPass(*model, table, theta);
  const double plain = PlainLogLikelihood(data, theta, num_states);
  EXPECT_NEAR(pass.log_likelihood, plain, 1e-11 * std::abs(plain));
  double pairs = 0;
  for (int j = 0; j < num_states * num_states; ++j) pairs += pass.statistics[2 * num_states + j];
  EXPECT_NEAR(pairs, 2999, 1e-8);
  double sum = 0;
  for (const double of_row : pass.log_density) sum += of_row;
  EXPECT_NEAR(sum, plain, 1e-11 * std::abs(plain));
  // The state of a row is the same whichever pairs it is counted in.
  for (int k = 0; k < num_states; ++k) {
    double from = 0;
    double into = 0;
    for (int j = 0; j < num_states; ++j) {
      from += pass.statistics[2 * num_states + k * num_states + j];
      into += pass.statistics[2 * num_states + j * num_states + k];
    }
    EXPECT_NEAR(from + pass.posterior.back()[k], pass.statistics[k], 1e-9);
    EXPECT_NEAR(into + pass.posterior.front()[k], pass.statistics[k], 1e-9);
  }
}

TEST_P(LongChains, ThreadsDoNotChangeBits) {
  const int num_states = GetParam();
  const Table table = LongChain(40000, num_states, 8).ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(num_states, table);
  const Theta theta = LongChainTheta(num_states, 0.9);
  for (const Assignment& assignment : {Assignment{}, Assignment{.kind = Assignment::Kind::kHard},
                                       Assignment{.kind = Assignment::Kind::kSampled, .seed = 5}}) {
    Pool one(1);
    Pool::Share alone(one);
    Expectation reference(*model, table, alone, {});
    const double expected = reference.Run(theta, assignment).value();
    for (const int num_threads : {2, 7}) {
      Pool pool(num_threads);
      Pool::Share share(pool);
      Expectation expectation(*model, table, share, {});
      EXPECT_EQ(expectation.Run(theta, assignment).value(), expected);
      EXPECT_TRUE(std::equal(reference.statistics().begin(), reference.statistics().end(),
                             expectation.statistics().begin()));
    }
  }
}

// A path is one path: as many pairs as rows, and every state is left as often as entered but for
// the ends.
TEST_P(LongChains, PathsHoldTogetherAcrossBlocks) {
  const int num_states = GetParam();
  const Table table = LongChain(3000, num_states, 9).ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(num_states, table);
  const Theta theta = LongChainTheta(num_states, 0.9);
  for (const Assignment& assignment : {Assignment{.kind = Assignment::Kind::kHard},
                                       Assignment{.kind = Assignment::Kind::kSampled, .seed = 5}}) {
    const Pass pass = RunPass(*model, table, theta, assignment);
    double unequal = 0;
    for (int k = 0; k < num_states; ++k) {
      double from = 0;
      double into = 0;
      for (int j = 0; j < num_states; ++j) {
        from += pass.statistics[2 * num_states + k * num_states + j];
        into += pass.statistics[2 * num_states + j * num_states + k];
      }
      EXPECT_NEAR(from, std::round(from), 1e-9);
      EXPECT_LE(pass.statistics[k] - from, 1 + 1e-9);
      EXPECT_LE(pass.statistics[k] - into, 1 + 1e-9);
      unequal += std::abs(from - into);
    }
    EXPECT_LE(unequal, 2 + 1e-9);
  }
}

INSTANTIATE_TEST_SUITE_P(Transfers, LongChains, ::testing::Values(3, 18));

TEST(Hmm, BestPathOfAChainIsTheSumOfItsParts) {
  // 1000 rows in several blocks: the best path's density from the pass, and by Viterbi on one
  // block.
  const Data data = LongChain(1000, 3, 11);
  const Table table = data.ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(3, table);
  const Theta theta = LongChainTheta(3, 0.9);
  const Pass pass = RunPass(*model, table, theta, {.kind = Assignment::Kind::kHard});
  std::vector<double> score(3);
  std::vector<double> next(3);
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    for (int j = 0; j < 3; ++j) {
      double best = i == 0 ? std::log(theta[j]) : kImpossible;
      for (int k = 0; k < 3 && i > 0; ++k) {
        best = std::max(best, score[k] + std::log(theta[3 + k * 3 + j]));
      }
      const double z = data.values[i] - theta[12 + j];
      next[j] = best - 0.5 * (std::log(2 * M_PI * theta[15 + j]) + z * z / theta[15 + j]);
    }
    score = next;
  }
  EXPECT_NEAR(pass.log_likelihood, *std::max_element(score.begin(), score.end()), 1e-9);
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
  const Pass of_rows = RunPass(*hmm, table, theta);
  const Pass of_chain = RunPass(*hmm, rows, equal);
  for (const Pass& pass : {of_rows, of_chain}) {
    EXPECT_NEAR(pass.log_likelihood, log_likelihood, 1e-9);
    for (int k = 0; k < 3; ++k) {
      EXPECT_NEAR(pass.statistics[k], expected.statistics()[k], 1e-9);
    }
    for (size_t j = 0; j < of_emission.size(); ++j) {
      EXPECT_NEAR(pass.statistics[15 + j], of_emission[j], 1e-8);
    }
  }
}

// A left-right chain whose states are hundreds of orders of magnitude apart: probabilities leave
// the range of doubles, and come to matter later.
TEST(Hmm, NothingUnderflowsThatMattersLater) {
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  // State 1's density is higher on the first 900 rows, but only state 0 can explain the last ones.
  for (int i = 0; i < 900; ++i) data.values.push_back(2);
  for (int i = 0; i < 900; ++i) data.values.push_back(-2);
  const Table table = data.ToTable();
  const std::unique_ptr<Model> model =
      GaussianHmm(2, table, WithPattern(TransitionPattern::kLeftRight));
  const Theta theta = {0.5, 0.5, 0.99, 0.01, 0, 1, -1, 1, 1, 1};
  const Pass pass = RunPass(*model, table, theta);
  EXPECT_NEAR(pass.log_likelihood, PlainLogLikelihood(data, theta, 2), 1e-8);
}

TEST(Hmm, AMillionRowsKeepTheirDigits) {
  const Data data = LongChain(1000000, 2, 12);
  const Table table = data.ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(2, table);
  const Theta theta = LongChainTheta(2, 0.97);
  Pool pool(2);
  Pool::Share share(pool);
  Expectation expectation(*model, table, share, {});
  const double plain = PlainLogLikelihood(data, theta, 2);
  EXPECT_NEAR(expectation.Run(theta).value(), plain, 1e-10 * std::abs(plain));
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

  const Pass pass = RunPass(*model, table, theta);
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
  const Pass expected = RunPass(*markov, table, theta);
  const Pass pass = RunPass(*semi, table, of_semi);
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
