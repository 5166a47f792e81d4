// What a hidden Markov model says of rows: forecasts, pseudo-residuals and long-run figures,
// against all paths one by one and by hand.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/em/chain.h"
#include "core/em/messages.h"
#include "core/emission/gaussian.h"
#include "core/emission/poisson.h"
#include "core/latent/hmm.h"
#include "core/numerics/normal_quantile.h"
#include "gtest/gtest.h"
#include "tests/core/broken_model.h"
#include "tests/core/chain_data.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

using Theta = std::vector<double>;
using Rows = std::vector<std::vector<double>>;  // [rows][components or columns]

Theta Joined(const std::vector<Theta>& parts) {
  Theta theta;
  for (const Theta& part : parts) theta.insert(theta.end(), part.begin(), part.end());
  return theta;
}

// Every output, row by row.
struct Outputs {
  Rows posterior, forecast, forecast_mean, forecast_variance, conditional_mean,
      conditional_variance, residual, forecast_residual;
};

// Of blocks of `block_rows` rows, with their messages.
Outputs InferAll(const Model& model, const Table& table, const Theta& theta, int block_rows,
                 int64_t steps = 1) {
  const int64_t num_rows = table.num_rows();
  const Partition partition{.num_rows = num_rows,
                            .block_rows = block_rows,
                            .num_blocks = (num_rows + block_rows - 1) / block_rows,
                            .num_lanes = 1};
  Pool pool(1);
  Pool::Share share(pool);
  const auto prepared = model.NewPrepared();
  const auto workspace = model.NewWorkspace(block_rows);
  EXPECT_TRUE(model.Prepare(theta, *prepared).ok());
  const Chain& chain = *model.chain();
  Messages messages(model, table, partition, share, nullptr);
  EXPECT_TRUE(messages.Run(*prepared, {}).ok());
  const int num_states = model.num_components();
  std::vector<double> ahead(static_cast<size_t>(chain.num_hidden()) * num_states);
  EXPECT_TRUE(chain.Ahead(*prepared, steps, nullptr, ahead).ok());
  Outputs all;
  for (int64_t b = 0; b < partition.num_blocks; ++b) {
    BlockBuffer buffer = table.MakeBuffer(block_rows);
    const Block block =
        messages.Informed(table.Read(partition.first_row(b), partition.rows(b), buffer));
    const auto size = static_cast<size_t>(std::max(num_states, block.num_columns)) * block.stride;
    std::vector<std::vector<double>> values(8, std::vector<double>(size));
    RowOutputs outputs;
    outputs.posterior = values[0].data();
    outputs.ahead = ahead.data();
    outputs.forecast = values[1].data();
    outputs.forecast_mean = values[2].data();
    outputs.forecast_variance = values[3].data();
    outputs.conditional_mean = values[4].data();
    outputs.conditional_variance = values[5].data();
    outputs.residual = values[6].data();
    outputs.forecast_residual = values[7].data();
    model.Infer(*prepared, block, *workspace, outputs);
    const auto append = [&](const std::vector<double>& from, int count, Rows& to) {
      for (int t = 0; t < block.num_rows; ++t) {
        to.emplace_back();
        for (int c = 0; c < count; ++c) {
          to.back().push_back(from[static_cast<size_t>(c) * block.stride + t]);
        }
      }
    };
    append(values[0], num_states, all.posterior);
    append(values[1], num_states, all.forecast);
    append(values[2], block.num_columns, all.forecast_mean);
    append(values[3], block.num_columns, all.forecast_variance);
    append(values[4], block.num_columns, all.conditional_mean);
    append(values[5], block.num_columns, all.conditional_variance);
    append(values[6], block.num_columns, all.residual);
    append(values[7], block.num_columns, all.forecast_residual);
  }
  return all;
}

::testing::AssertionResult Near(const Rows& a, const Rows& b, double tolerance) {
  if (a.size() != b.size()) return ::testing::AssertionFailure() << a.size() << " rows";
  for (size_t t = 0; t < a.size(); ++t) {
    for (size_t j = 0; j < a[t].size(); ++j) {
      if (std::isnan(a[t][j]) && std::isnan(b[t][j])) continue;
      if (std::abs(a[t][j] - b[t][j]) <= tolerance) continue;
      return ::testing::AssertionFailure()
             << "row " << t << ", " << j << ": " << a[t][j] << " against " << b[t][j];
    }
  }
  return ::testing::AssertionSuccess();
}

// A Poisson chain of three states whose rows are in two sequences, with a missing cell, a label,
// and weights that hide a row and count another twice.
struct Counts {
  explicit Counts(bool semi_markov, bool forbids = false) : lasts(semi_markov) {
    transitions = semi_markov ? Theta{0, 0.6, 0.4, 0.1, 0, 0.9, 0.75, 0.25, 0}
                  : forbids   ? Theta{0.5, 0.5, 0, 0, 0.6, 0.4, 0, 0, 1}
                              : Theta{0.5, 0.3, 0.2, 0.1, 0.6, 0.3, 0.25, 0.05, 0.7};
    hyperparameters.durations = semi_markov ? DurationKind::kFree : DurationKind::kGeometric;
    hyperparameters.max_duration = semi_markov ? 3 : 0;
    if (forbids) hyperparameters.transitions = TransitionPattern::kLeftRight;
  }

  Table ToTable() const {
    ChainData data;
    data.rows.num_columns = 2;
    data.rows.weights = weights;
    data.lengths = lengths;
    for (size_t t = 0; t < counts.size(); ++t) {
      data.rows.values.push_back(counts[t]);
      data.rows.values.push_back(labels[t]);
    }
    Table::Options options;
    options.columns = {0};
    options.label_column = 1;
    options.label_components = 3;
    return data.ToTable(std::move(options));
  }
  std::unique_ptr<Model> MakeModel(const Table& table) const {
    return MakeHmm(MakePoisson({}, 3, SummaryOf(table), table.names()).value(), hyperparameters)
        .value();
  }
  Theta theta() const { return Joined({initial, transitions, lasts ? durations : Theta(), rates}); }

  // p(row t | state k) and its label; 1 for a row that says nothing.
  double Likelihood(size_t t, int k) const {
    if (labels[t] >= 0 && labels[t] != k) return 0;
    const double x = counts[t];
    if (std::isnan(x)) return 1;
    return std::exp(weights[t] * (x * std::log(rates[k]) - rates[k] - std::lgamma(x + 1)));
  }
  // p(x < count) + p(x = count) / 2, and the rest.
  std::pair<double, double> Cumulative(size_t t, int k) const {
    double below = 0;
    double p = std::exp(-rates[k]);
    for (int x = 0; x < counts[t]; ++x) {
      below += p;
      p *= rates[k] / (x + 1);
    }
    return {below + p / 2, 1 - below - p / 2};
  }

  // p(state at `goal` | rows of the sequence [first, end) but `out`), which lies in the sequence or
  // behind it; over all paths.
  std::vector<double> StatesAt(size_t goal, size_t first, size_t end, size_t out) const {
    std::vector<double> states(3);
    const int longest = lasts ? 3 : 1;
    // The state of row t is `k`, and goes on for `left` rows more, this one included.
    const std::function<void(size_t, int, int, int, double)> extend =
        [&](size_t t, int k, int left, int at_goal, double weight) {
          if (t < end && t != out) weight *= Likelihood(t, k);
          if (weight == 0) return;
          if (t == goal) at_goal = k;
          if (t + 1 >= end && at_goal >= 0) {
            states[at_goal] += weight;
            return;
          }
          if (left > 1) return extend(t + 1, k, left - 1, at_goal, weight);
          for (int next = 0; next < 3; ++next) {
            for (int d = 1; d <= longest; ++d) {
              const double enters =
                  transitions[k * 3 + next] * (lasts ? durations[next * 3 + d - 1] : 1);
              extend(t + 1, next, d, at_goal, weight * enters);
            }
          }
        };
    for (int k = 0; k < 3; ++k) {
      for (int d = 1; d <= longest; ++d) {
        extend(first, k, d, -1, initial[k] * (lasts ? durations[k * 3 + d - 1] : 1));
      }
    }
    double total = 0;
    for (const double p : states) total += p;
    for (double& p : states) p /= total;
    return states;
  }

  double Residual(size_t t, const std::vector<double>& states) const {
    if (std::isnan(counts[t])) return kNaN;
    double p = 0;
    double q = 0;
    for (int k = 0; k < 3; ++k) {
      const auto [left, right] = Cumulative(t, k);
      p += states[k] * left;
      q += states[k] * right;
    }
    return p < q ? NormalQuantile(p) : -NormalQuantile(q);
  }

  bool lasts;
  std::vector<int64_t> lengths = {6, 4};
  std::vector<double> counts = {1, 4, kNaN, 9, 7, 0, 2, 3, 5, 8};
  std::vector<double> labels = {-1, -1, -1, 2, -1, -1, -1, 1, -1, -1};
  std::vector<double> weights = {1, 2, 1, 1, 0, 1, 1, 1, 1, 1};
  Theta initial = {0.7, 0.2, 0.1};
  Theta transitions;
  Theta durations = {0.1, 0.3, 0.6, 0.5, 0, 0.5, 0, 1, 0};
  Theta rates = {1, 4, 8};
  HmmHyperparameters hyperparameters;
};

enum class Kind { kMarkov, kLeftRight, kSemiMarkov };

class HmmOutputs : public ::testing::TestWithParam<Kind> {
 protected:
  HmmOutputs()
      : problem_(GetParam() == Kind::kSemiMarkov, GetParam() == Kind::kLeftRight),
        table_(problem_.ToTable()),
        model_(problem_.MakeModel(table_)) {
    EXPECT_TRUE(model_->Validate(problem_.theta()).ok());
  }
  // First row of t's sequence, and the row behind it.
  size_t First(size_t t) const { return t < 6 ? 0 : 6; }
  size_t End(size_t t) const { return t < 6 ? 6 : 10; }

  const Counts problem_;
  const Table table_;
  const std::unique_ptr<Model> model_;
};

TEST_P(HmmOutputs, ForecastsAgreeWithAllPaths) {
  for (const int64_t steps : {1, 2, 5}) {
    Rows states;
    Rows mean;
    Rows variance;
    for (size_t t = 0; t < 10; ++t) {
      states.push_back(problem_.StatesAt(t + steps, First(t), t + 1, SIZE_MAX));
      double first = 0;
      double second = 0;
      for (int k = 0; k < 3; ++k) {
        const double rate = problem_.rates[k];
        first += states.back()[k] * rate;
        second += states.back()[k] * (rate + rate * rate);
      }
      mean.push_back({first});
      variance.push_back({second - first * first});
    }
    for (const int block_rows : {1, 2, 3, 7, 16}) {
      const Outputs outputs = InferAll(*model_, table_, problem_.theta(), block_rows, steps);
      EXPECT_TRUE(Near(outputs.forecast, states, 1e-14)) << block_rows << " " << steps;
      EXPECT_TRUE(Near(outputs.forecast_mean, mean, 1e-13)) << block_rows << " " << steps;
      EXPECT_TRUE(Near(outputs.forecast_variance, variance, 1e-12)) << block_rows << " " << steps;
    }
  }
}

// Rows without cells behind the last one are what is forecast.
TEST_P(HmmOutputs, ForecastsAreEmptyRowsToCome) {
  Counts longer = problem_;
  for (int t = 0; t < 5; ++t) {
    longer.counts.push_back(kNaN);
    longer.labels.push_back(-1);
    longer.weights.push_back(1);
    ++longer.lengths.back();
  }
  const Outputs seen = InferAll(*model_, longer.ToTable(), problem_.theta(), 16);
  for (const int64_t steps : {1, 2, 5}) {
    const Outputs outputs = InferAll(*model_, table_, problem_.theta(), 16, steps);
    const auto row = [steps](const Rows& rows) { return Rows{rows[9 + steps]}; };
    const auto last = [](const Rows& rows) { return Rows{rows[9]}; };
    EXPECT_TRUE(Near(last(outputs.forecast), row(seen.posterior), 1e-14));
    EXPECT_TRUE(Near(last(outputs.forecast_mean), row(seen.conditional_mean), 1e-13));
    EXPECT_TRUE(Near(last(outputs.forecast_variance), row(seen.conditional_variance), 1e-12));
  }
}

// Residuals, and forecast ones, of all paths.
std::pair<Rows, Rows> EnumeratedResiduals(const Counts& problem) {
  std::pair<Rows, Rows> residuals;
  for (size_t t = 0; t < 10; ++t) {
    const size_t first = t < 6 ? 0 : 6;
    const size_t end = t < 6 ? 6 : 10;
    residuals.first.push_back({problem.Residual(t, problem.StatesAt(t, first, end, t))});
    residuals.second.push_back({problem.Residual(t, problem.StatesAt(t, first, t, t))});
  }
  return residuals;
}

::testing::AssertionResult ResidualsAgreeWithAllPaths(const Model& model, const Counts& problem) {
  const Table table = problem.ToTable();
  const auto [residuals, forecast_residuals] = EnumeratedResiduals(problem);
  for (const int block_rows : {1, 2, 3, 7, 16}) {
    const Outputs outputs = InferAll(model, table, problem.theta(), block_rows);
    auto same = Near(outputs.residual, residuals, 1e-13);
    if (same) same = Near(outputs.forecast_residual, forecast_residuals, 1e-13);
    if (!same) return same << " in blocks of " << block_rows;
  }
  return ::testing::AssertionSuccess();
}

TEST_P(HmmOutputs, ResidualsAgreeWithAllPaths) {
  EXPECT_TRUE(ResidualsAgreeWithAllPaths(*model_, problem_));
  EXPECT_TRUE(std::isnan(EnumeratedResiduals(problem_).first[2][0]));
}

INSTANTIATE_TEST_SUITE_P(Kinds, HmmOutputs,
                         ::testing::Values(Kind::kMarkov, Kind::kLeftRight, Kind::kSemiMarkov),
                         [](const ::testing::TestParamInfo<Kind>& test) -> std::string {
                           if (test.param == Kind::kMarkov) return "markov";
                           return test.param == Kind::kLeftRight ? "left_right" : "semi_markov";
                         });

// A model that forgets to leave the row itself out has residuals that are too small.
TEST(HmmResiduals, ResidualsThatSeeTheirRowAreFound) {
  class Peeking : public Broken {
   public:
    explicit Peeking(const Model& sound) : Broken(sound), sound_(sound) {}
    void Infer(const Prepared& prepared, const Block& block, Workspace& workspace,
               RowOutputs outputs) const override {
      double* const residual = std::exchange(outputs.residual, nullptr);
      sound_.Infer(prepared, block, workspace, outputs);
      for (int t = 0; t < block.num_rows; ++t) {
        std::vector<double> states;
        for (int k = 0; k < 3; ++k) {
          states.push_back(outputs.posterior[static_cast<size_t>(k) * block.stride + t]);
        }
        residual[t] = problem.Residual(block.first_row + t, states);
      }
    }
    const Counts problem{false};

   private:
    const Model& sound_;
  };
  const Counts problem(false);
  const Table table = problem.ToTable();
  const std::unique_ptr<Model> model = problem.MakeModel(table);
  EXPECT_TRUE(ResidualsAgreeWithAllPaths(*model, problem));
  EXPECT_FALSE(ResidualsAgreeWithAllPaths(Peeking(*model), problem));
}

// Two states at 0 and 2 with variance 1, beginning in either; rows at 1 and 0. Of the first row the
// other says that it lies in state 0 or 1 as the densities of 0, 1 : e^-2, and the transitions of
// .9 and .1 have it: (.9 + .1 e^-2) to (.1 + .9 e^-2).
TEST(HmmResiduals, ResidualsByHand) {
  const Data data{.num_columns = 1, .values = {1, 0}, .weights = {}};
  const Table table = data.ToTable();
  const std::unique_ptr<Model> model = MakeHmm(MakeGaussian(GaussianOptions{Covariance::kDiagonal},
                                                            2, SummaryOf(table), table.names())
                                                   .value())
                                           .value();
  const Theta theta = {0.5, 0.5, 0.9, 0.1, 0.1, 0.9, 0, 2, 1, 1};
  const Outputs outputs = InferAll(*model, table, theta, 2);
  const auto phi = [](double z) { return std::erfc(-z / std::sqrt(2.0)) / 2; };
  const double first = 0.9 + 0.1 * std::exp(-2.0);
  const double second = 0.1 + 0.9 * std::exp(-2.0);
  EXPECT_NEAR(outputs.residual[0][0],
              NormalQuantile((first * phi(1) + second * phi(-1)) / (first + second)), 1e-14);
  EXPECT_NEAR(outputs.forecast_residual[0][0], 0, 1e-14);
  // Row 0 lies in the middle and says nothing; row 1 is the last, so that both are the same.
  EXPECT_NEAR(outputs.residual[1][0], NormalQuantile((phi(0) + phi(-2)) / 2), 1e-14);
  EXPECT_NEAR(outputs.forecast_residual[1][0], outputs.residual[1][0], 1e-14);
}

// A sequence of one row is drawn from the mixture with the initial weights.
TEST(HmmResiduals, ResidualsOfOneRowAreTheMixtures) {
  const Counts problem(false);
  for (const double count : {0.0, 3.0, 40.0}) {
    Counts one = problem;
    one.lengths = {1};
    one.counts = {count};
    one.labels = {0};  // its own label says nothing of it
    one.weights = {1};
    const Table table = one.ToTable();
    const Outputs outputs = InferAll(*one.MakeModel(table), table, one.theta(), 1);
    if (count < 10) {
      EXPECT_NEAR(outputs.residual[0][0], one.Residual(0, one.initial), 1e-14);
    } else {
      // Beyond where 1 - p has digits: by the upper tail alone.
      EXPECT_GT(outputs.residual[0][0], 6);
      EXPECT_TRUE(std::isfinite(outputs.residual[0][0]));
    }
    EXPECT_EQ(outputs.forecast_residual[0][0], outputs.residual[0][0]);
  }
}

// Of a long series drawn from the model itself: forecast residuals are independent and standard
// normal, ordinary ones standard normal each. Bounds of 4.5 standard errors.
TEST(HmmResiduals, ResidualsOfTheTruthAreStandardNormal) {
  constexpr int kRows = 20000;
  Data data{.num_columns = 2, .values = std::vector<double>(2 * kRows), .weights = {}};
  for (int j = 0; j < 2 * kRows; ++j) data.values[j] = j % 7;
  const Table like = data.ToTable();
  const std::unique_ptr<Model> model =
      MakeHmm(MakeGaussian(GaussianOptions{Covariance::kDiagonal}, 3, SummaryOf(like), like.names())
                  .value())
          .value();
  const Theta theta = Joined({{0.4, 0.3, 0.3},
                              {0.8, 0.1, 0.1, 0.3, 0.5, 0.2, 0.05, 0.05, 0.9},
                              {0, 0, 3, -1, 8, 2},
                              {1, 2, 4, 0.5, 1, 1}});
  const auto prepared = model->NewPrepared();
  ASSERT_TRUE(model->Prepare(theta, *prepared).ok());
  Random random(5, 0);
  int hidden = -1;
  for (int t = 0; t < kRows; ++t) {
    hidden = model->chain()->SampleNext(*prepared, hidden, random,
                                        std::span(data.values).subspan(2 * t, 2));
  }
  const Outputs outputs = InferAll(*model, data.ToTable(), theta, 512);
  for (const Rows* const residuals : {&outputs.residual, &outputs.forecast_residual}) {
    for (int c = 0; c < 2; ++c) {
      double sum = 0;
      double squares = 0;
      double products = 0;
      for (int t = 0; t < kRows; ++t) {
        const double z = (*residuals)[t][c];
        sum += z;
        squares += z * z;
        if (t > 0) products += z * (*residuals)[t - 1][c];
      }
      const double error = 4.5 / std::sqrt(static_cast<double>(kRows));
      // Ordinary ones depend on each other, if little: twice the error.
      const double factor = residuals == &outputs.residual ? 2 : 1;
      EXPECT_NEAR(sum / kRows, 0, factor * error);
      EXPECT_NEAR(squares / kRows, 1, factor * error * std::sqrt(2.0));
      if (factor == 1) {
        EXPECT_NEAR(products / kRows, 0, error);
      }
    }
  }
}

struct LongRun {
  Theta stationary, durations;
};

LongRun LongRunOf(int num_states, const Theta& of_chain,
                  const HmmHyperparameters& hyperparameters = {}) {
  const Data data{.num_columns = 1, .values = {1, 2, 3}, .weights = {}};
  const Table table = data.ToTable();
  const std::unique_ptr<Model> model =
      MakeHmm(MakePoisson({}, num_states, SummaryOf(table), table.names()).value(), hyperparameters)
          .value();
  const Theta theta = Joined({of_chain, Theta(num_states, 1.0)});
  EXPECT_TRUE(model->Validate(theta).ok()) << model->Validate(theta);
  return {model->chain()->StationaryOf(theta), model->chain()->ExpectedDurations(theta)};
}

void ExpectNear(const Theta& a, const Theta& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t k = 0; k < a.size(); ++k) {
    if (a[k] != b[k]) {
      EXPECT_NEAR(a[k], b[k], 1e-14 * std::abs(b[k])) << k;
    }
  }
}

TEST(LongRun, OfTwoStatesByHand) {
  const LongRun figures = LongRunOf(2, {0.5, 0.5, 0.9, 0.1, 0.3, 0.7});
  ExpectNear(figures.stationary, {0.75, 0.25});
  ExpectNear(figures.durations, {10, 1 / 0.3});
}

// A duration is the inverse of what leaves the state, not of 1 less what stays.
TEST(LongRun, KeepsTheDigitsOfRareExits) {
  const LongRun figures = LongRunOf(2, {0.5, 0.5, 1, 1e-18, 3e-18, 1});
  ExpectNear(figures.stationary, {0.75, 0.25});
  ExpectNear(figures.durations, {1e18, 1 / 3e-18});
}

TEST(LongRun, StatesThatAreLeftForGoodHaveNoShare) {
  // State 0 leads through 2 to the pair of 1 and 3.
  const LongRun pair =
      LongRunOf(4, {1, 0, 0, 0, 0.5, 0, 0.5, 0, 0, 0.25, 0, 0.75, 0, 0, 0, 1, 0, 0.5, 0, 0.5});
  ExpectNear(pair.stationary, {0, 0.4, 0, 0.6});
  ExpectNear(pair.durations, {2, 4.0 / 3, 1, 2});
  const LongRun class_of_two = LongRunOf(3, {1, 0, 0, 0.5, 0.25, 0.25, 0, 0.9, 0.1, 0, 0.2, 0.8});
  ExpectNear(class_of_two.stationary, {0, 2.0 / 3, 1.0 / 3});
  ExpectNear(class_of_two.durations, {2, 10, 5});
  const LongRun absorbing = LongRunOf(2, {1, 0, 0.9, 0.1, 0, 1});
  ExpectNear(absorbing.stationary, {0, 1});
  ExpectNear(absorbing.durations, {10, kInfinity});
}

TEST(LongRun, IsUndecidedWhereSeveralClassesAreNeverLeft) {
  EXPECT_TRUE(LongRunOf(2, {0.5, 0.5, 1, 0, 0, 1}).stationary.empty());
  // State 1 leads to either of the others for good.
  EXPECT_TRUE(LongRunOf(3, {0, 1, 0, 1, 0, 0, 0.3, 0.4, 0.3, 0, 0, 1}).stationary.empty());
  ExpectNear(LongRunOf(1, {1, 1}).stationary, {1});
  // In turn for ever: a distribution that stays, if no limit.
  ExpectNear(LongRunOf(2, {1, 0, 0, 1, 1, 0}).stationary, {0.5, 0.5});
}

TEST(LongRun, VisitsCountForAsLongAsTheyLast) {
  HmmHyperparameters lasting;
  lasting.durations = DurationKind::kFree;
  lasting.max_duration = 3;
  const LongRun figures = LongRunOf(2, {0.5, 0.5, 0, 1, 1, 0, 0.5, 0.5, 0, 0, 0, 1}, lasting);
  ExpectNear(figures.durations, {1.5, 3});
  ExpectNear(figures.stationary, {1.0 / 3, 2.0 / 3});
  // The last state of a stepwise chain is never left.
  lasting.transitions = TransitionPattern::kStepwise;
  const LongRun ends = LongRunOf(2, {1, 0, 0, 1, 0, 1, 0.5, 0.5, 0, 0, 0, 1}, lasting);
  ExpectNear(ends.durations, {1.5, kInfinity});
  ExpectNear(ends.stationary, {0, 1});
  // Poisson of rate 2, cut behind 3 steps: 1, 2, 2 by weight.
  HmmHyperparameters poisson;
  poisson.durations = DurationKind::kPoisson;
  poisson.max_duration = 3;
  const LongRun cut = LongRunOf(2, {0.5, 0.5, 0, 1, 1, 0, 2, 1e-8}, poisson);
  EXPECT_NEAR(cut.durations[0], (1 + 2 * 2 + 3 * 2) / 5.0, 1e-14);
  EXPECT_NEAR(cut.durations[1], 1, 1e-7);
}

}  // namespace
}  // namespace emserve::testing
