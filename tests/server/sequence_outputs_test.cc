// Forecasts, pseudo-residuals, best paths and long-run figures of models of sequences, through the
// domain.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/errors.h"
#include "server/jobs/predict_work.h"
#include "server/registry/model_registry.h"
#include "tests/server/chain_versions.h"
#include "tests/server/fit_test.h"

namespace emserve::server {
namespace {

using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pointwise;
using ::testing::SizeIs;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

PredictionOutputs Forecasts(int64_t horizon) {
  return {.forecasts = true, .forecast_horizon = horizon};
}
PredictionOutputs BestPaths(int num_paths) { return {.best_paths = true, .num_paths = num_paths}; }

// Many states that take turns, each for some of 100 rows.
ModelVersion ManyDurations() {
  constexpr size_t kStates = 100;
  std::vector<double> theta(kStates, 1.0 / kStates);
  for (size_t k = 0; k < kStates; ++k) {
    std::vector<double> next(kStates, 0.0);
    next[(k + 1) % kStates] = 1;
    theta.insert(theta.end(), next.begin(), next.end());
  }
  theta.insert(theta.end(), kStates * 100, 0.01);
  theta.insert(theta.end(), kStates, 3.0);
  return VersionOf(HmmOptions{.num_states = kStates,
                              .emission = PoissonOptions{},
                              .durations = DurationKind::kFree,
                              .max_duration = 100},
                   theta);
}

// An empty row at the end is a forecast too.
TEST(SequenceOutputsTest, ForecastsAreThoseOfEmptyRows) {
  const ModelVersion version = Counts();
  const std::vector<double> values = Drawn(version, 600);
  constexpr PredictionOutputs kCells{.imputed = true, .imputed_variances = true, .filtered = true};
  for (const int64_t horizon : {1, 2, 3, 7}) {
    const Prediction all =
        version.predictor->Predict(InSequences(version, values), Forecasts(horizon)).value();
    ASSERT_THAT(all.forecasts, SizeIs(3 * values.size()));
    ASSERT_THAT(all.forecast_means, SizeIs(values.size()));
    for (const size_t rows : {size_t{1}, size_t{5}, values.size()}) {
      std::vector<double> longer(values.begin(),
                                 values.begin() + static_cast<std::ptrdiff_t>(rows));
      longer.resize(rows + static_cast<size_t>(horizon), kNan);
      const Prediction empty =
          version.predictor->Predict(InSequences(version, longer), kCells).value();
      for (size_t k = 0; k < 3; ++k) {
        EXPECT_NEAR(all.forecasts[3 * (rows - 1) + k], empty.filtered[3 * (longer.size() - 1) + k],
                    1e-12);
      }
      EXPECT_NEAR(all.forecast_means[rows - 1], empty.imputed.back(), 1e-9);
      EXPECT_NEAR(all.forecast_variances[rows - 1], empty.imputed_variances.back(), 1e-9);
    }
  }
  // In the long run nothing is remembered.
  const Prediction far =
      version.predictor->Predict(InSequences(version, values), Forecasts(1'000'000)).value();
  for (size_t i = 0; i < far.forecasts.size(); ++i) {
    EXPECT_NEAR(far.forecasts[i], version.predictor->stationary()[i % 3], 1e-9);
  }
}

TEST(SequenceOutputsTest, WholeRowsAreForecastByStates) {
  const ModelVersion version = VersionOf(
      HmmOptions{.num_states = 2,
                 .emission = ProductOptions{.parts = {{.name = "n",
                                                       .num_columns = 2,
                                                       .emission = MultinomialOptions{}}}}},
      {0.5, 0.5, 0.7, 0.3, 0.3, 0.7, 0.5, 0.5, 0.5, 0.5}, {"x", "y"});
  EXPECT_FALSE(version.predictor->forecasts_cells());
  const Prediction got =
      version.predictor->Predict(InSequences(version, {1, 2, 2, 1}), Forecasts(1)).value();
  EXPECT_THAT(got.forecasts, Each(DoubleNear(0.5, 1e-12)));
  EXPECT_THAT(got.forecast_means, IsEmpty());
  EXPECT_EQ(version.predictor->NumOutputColumns(Forecasts(1)), 2);
  EXPECT_THAT(version.predictor->CheckOutputs({.residuals = true}),
              FailsWith(kInvalid, "outputs: got residuals of a product_hmm, which has no"));
}

// 45 of 100 first days have no umbrella: with one the middle of the step is at 0.725.
TEST(SequenceOutputsTest, ResidualsAreQuantilesOfTheMiddleOfTheStep) {
  const ModelVersion version = Umbrellas();
  constexpr PredictionOutputs kResiduals{.residuals = true, .forecast_residuals = true};
  const Prediction got =
      version.predictor->Predict(InSequences(version, {1, kNan, 0}), kResiduals).value();
  ASSERT_THAT(got.residuals, SizeIs(3));
  EXPECT_NEAR(got.forecast_residuals[0], 0.597760, 1e-5);
  EXPECT_TRUE(std::isnan(got.residuals[1]));
  EXPECT_TRUE(std::isnan(got.forecast_residuals[1]));
  EXPECT_LT(got.residuals[2], 0);
  // The last row has no rows behind it.
  EXPECT_NEAR(got.residuals[2], got.forecast_residuals[2], 1e-12);
  EXPECT_NE(got.residuals[0], got.forecast_residuals[0]);
}

TEST(SequenceOutputsTest, ResidualsOfTheTrueModelAreStandardNormal) {
  const ModelVersion version = Counts();
  const std::vector<double> values = Drawn(version, 5000);
  const Prediction got =
      version.predictor->Predict(InSequences(version, values), {.forecast_residuals = true})
          .value();
  double sum = 0;
  double squares = 0;
  for (const double residual : got.forecast_residuals) {
    sum += residual;
    squares += residual * residual;
  }
  EXPECT_NEAR(sum / 5000, 0, 0.05);
  EXPECT_NEAR(squares / 5000, 1, 0.1);
}

// Forecasts and their residuals need no rows behind: a stream has them step by step.
TEST(SequenceOutputsTest, AStreamForecastsStepByStep) {
  const ModelVersion version = Counts();
  const std::vector<double> values = Drawn(version, 30);
  PredictionOutputs outputs = Forecasts(4);
  outputs.forecast_residuals = true;
  const Prediction whole =
      version.predictor->Predict(InSequences(version, values), outputs).value();
  SequenceState state;
  for (size_t i = 0; i < values.size(); ++i) {
    outputs.residuals = true;
    const Prediction got =
        version.predictor->Predict(InSequences(version, {values[i]}), outputs, nullptr, &state)
            .value();
    for (size_t k = 0; k < 3; ++k) {
      EXPECT_NEAR(got.forecasts[k], whole.forecasts[3 * i + k], 1e-10);
    }
    EXPECT_NEAR(got.forecast_means[0], whole.forecast_means[i], 1e-9);
    EXPECT_NEAR(got.forecast_residuals[0], whole.forecast_residuals[i], 1e-9);
    EXPECT_NEAR(got.residuals[0], whole.forecast_residuals[i], 1e-9);  // by the rows so far
  }
  EXPECT_THAT(version.predictor->Predict(InSequences(version, {3}), BestPaths(2), nullptr, &state),
              FailsWith(kInvalid, "outputs: got best paths for a sequence that goes on"));
}

TEST(SequenceOutputsTest, BestPathsBeginWithTheLabelsAndEndWithAll) {
  const ModelVersion version = Umbrellas();
  PredictionOutputs outputs = BestPaths(5);
  outputs.labels = outputs.sequence_log_likelihoods = outputs.path_log_probabilities = true;
  const Prediction got =
      version.predictor->Predict(InSequences(version, {1, 1, 0}, {2, 1}), outputs).value();
  ASSERT_THAT(got.best_paths, SizeIs(3 * 5));
  ASSERT_THAT(got.best_path_log_probabilities, SizeIs(2 * 5));
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(got.best_paths[5 * i], got.labels[i]);
  // Two days have four paths, one day has two.
  EXPECT_EQ(got.best_paths[4], -1);
  EXPECT_EQ(got.best_path_log_probabilities[4], -kInfinity);
  EXPECT_THAT(std::vector<int64_t>(got.best_paths.begin() + 10, got.best_paths.end()),
              ElementsAre(1, 0, -1, -1, -1));
  for (size_t s = 0; s < 2; ++s) {
    const auto first = got.best_path_log_probabilities.begin() + static_cast<std::ptrdiff_t>(5 * s);
    EXPECT_NEAR(first[0], got.path_log_probabilities[s], 1e-12);
    EXPECT_TRUE(std::is_sorted(first, first + 5, std::greater<>()));
    double sum = 0;
    for (size_t j = 0; j < 5; ++j) sum += std::exp(first[static_cast<std::ptrdiff_t>(j)]);
    EXPECT_NEAR(std::log(sum), got.sequence_log_likelihoods[s], 1e-12);
  }
}

TEST(SequenceOutputsTest, ADatasetHasWhatATableHas) {
  const ModelVersion version = Counts();
  const std::vector<double> values = Drawn(version, 3000);
  const Table table = InSequences(version, values, {1, 1200, 2, 1797});
  PredictionOutputs outputs = Forecasts(3);
  outputs.labels = outputs.residuals = outputs.forecast_residuals = true;
  outputs.sequence_log_likelihoods = outputs.path_log_probabilities = outputs.best_paths = true;
  outputs.num_paths = 4;
  const Prediction one = version.predictor->Predict(table, outputs).value();
  const auto width = static_cast<size_t>(version.predictor->NumOutputColumns(outputs));
  ASSERT_EQ(width, 1u + 3 + 2 + 2 + 2 + 8);
  Pool pool(3);
  Pool::Share share(pool);
  std::vector<double> rows(values.size() * width);
  ASSERT_THAT(version.predictor->PredictRows(
                  table, outputs, share, {}, [](int) {}, rows.data()),
              IsOk());
  for (size_t i = 0; i < values.size(); ++i) {
    const double* const row = rows.data() + i * width;
    const auto s = static_cast<size_t>(table.sequences()->Of(static_cast<int64_t>(i)));
    EXPECT_EQ(row[0], static_cast<double>(one.labels[i]));
    for (size_t k = 0; k < 3; ++k) EXPECT_EQ(row[1 + k], one.forecasts[3 * i + k]);
    EXPECT_EQ(row[4], one.forecast_means[i]);
    EXPECT_EQ(row[5], one.forecast_variances[i]);
    EXPECT_EQ(row[6], one.residuals[i]);
    EXPECT_EQ(row[7], one.forecast_residuals[i]);
    EXPECT_EQ(row[8], one.sequence_log_likelihoods[s]);
    EXPECT_EQ(row[9], one.path_log_probabilities[s]);
    for (size_t j = 0; j < 4; ++j) {
      EXPECT_EQ(row[10 + j], static_cast<double>(one.best_paths[4 * i + j]));
      EXPECT_EQ(row[14 + j], one.best_path_log_probabilities[4 * s + j]);
    }
  }
  EXPECT_THAT(version.predictor->PredictRows(
                  table, outputs, share, [] { return true; }, [](int) {}, rows.data()),
              FailsWith(absl::StatusCode::kCancelled, ""));
}

// Code 2 is impossible: so are its row and its sequence, and nothing else is lost.
TEST(SequenceOutputsTest, ARowThatNoStateAllowsHasALogDensityOnly) {
  const ModelVersion version = VersionOf(
      HmmOptions{.num_states = 2, .emission = CategoricalOptions{.first = {0}, .num_levels = {3}}},
      {0.5, 0.5, 0.9, 0.1, 0.2, 0.8, 0.5, 0.5, 0, 0.4, 0.6, 0});
  const std::vector<double> values = {0, 2, 1, 0, 1};
  const Table table = InSequences(version, values, {3, 2});
  constexpr PredictionOutputs kLogs{
      .log_densities = true, .sequence_log_likelihoods = true, .path_log_probabilities = true};
  const Prediction got = version.predictor->Predict(table, kLogs).value();
  const Prediction second = version.predictor->Predict(InSequences(version, {0, 1}), kLogs).value();
  EXPECT_TRUE(std::isfinite(got.log_densities[0]));
  EXPECT_EQ(got.log_densities[1], -kInfinity);
  EXPECT_TRUE(std::isfinite(got.log_densities[2]));
  EXPECT_THAT(got.sequence_log_likelihoods,
              ElementsAre(-kInfinity, second.sequence_log_likelihoods[0]));
  EXPECT_THAT(got.path_log_probabilities,
              ElementsAre(-kInfinity, second.path_log_probabilities[0]));
  Pool pool(2);
  Pool::Share share(pool);
  std::vector<double> rows(3 * values.size());
  ASSERT_THAT(version.predictor->PredictRows(
                  table, kLogs, share, {}, [](int) {}, rows.data()),
              IsOk());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(rows[3 * i], got.log_densities[i]);
    EXPECT_EQ(rows[3 * i + 1], got.sequence_log_likelihoods[i / 3]);
    EXPECT_EQ(rows[3 * i + 2], got.path_log_probabilities[i / 3]);
  }
  PredictionOutputs labels = kLogs;
  labels.labels = true;
  EXPECT_THAT(version.predictor->Predict(table, labels), FailsWith(kInvalid, "rows[1]: got"));
  EXPECT_THAT(version.predictor->Predict(table, labels), FailsWith(kInvalid, "empty its cells"));
}

TEST(SequenceOutputsTest, OptionsAreRefusedByTheirField) {
  const ModelVersion version = Umbrellas();
  const auto refused = [&](PredictionOutputs outputs, const char* text) {
    EXPECT_THAT(version.predictor->Predict(InSequences(version, {1}), outputs),
                FailsWith(kInvalid, text));
  };
  refused(Forecasts(0), "forecast_horizon: got 0, must be 1 to 1000000");
  refused(Forecasts(1'000'001), "forecast_horizon: got 1000001");
  refused(Forecasts(std::numeric_limits<int64_t>::min()), "forecast_horizon: got -");
  refused(BestPaths(0), "num_paths: got 0, must be 1 to 100");
  refused(BestPaths(101), "num_paths: got 101");
  refused(BestPaths(std::numeric_limits<int>::max()), "num_paths: got 2147483647");

  const ModelVersion mixture = TwoClusterVersion();
  EXPECT_THAT(mixture.predictor->CheckOutputs(Forecasts(1)),
              FailsWith(kInvalid, "outputs: got forecasts of a gaussian_mixture"));
  EXPECT_THAT(mixture.predictor->CheckOutputs({.residuals = true}),
              FailsWith(kInvalid, "outputs: got residuals of a gaussian_mixture"));
  EXPECT_THAT(mixture.predictor->CheckOutputs(BestPaths(1)),
              FailsWith(kInvalid, "outputs: got best paths of a gaussian_mixture"));
}

TEST(SequenceOutputsTest, WhatTakesTooLongIsRefusedBeforeItBegins) {
  const ModelVersion many = ManyDurations();
  EXPECT_THAT(many.predictor->CheckOutputs(Forecasts(2000)), IsOk());
  EXPECT_THAT(many.predictor->CheckOutputs(Forecasts(2001)),
              FailsWith(kInvalid, "forecast_horizon: got 2001, must be 1 to 2000 for a model of"));
  const auto check = [&](const ModelVersion& version, int64_t num_rows, int num_paths,
                         double max_bytes) {
    const Table table =
        InSequences(version, std::vector<double>(static_cast<size_t>(num_rows), 1.0));
    return version.predictor->CheckPaths(table, BestPaths(num_paths), max_bytes);
  };
  EXPECT_THAT(check(many, 20, 2, kInfinity), IsOk());
  EXPECT_THAT(check(many, 20, 3, kInfinity),
              FailsWith(kInvalid,
                        "num_paths: got 3 for a sequence of 20 rows with 10000 things "
                        "that may be hidden in each, must be at most 2"));
  EXPECT_THAT(check(many, 41, 1, kInfinity), FailsWith(kInvalid, "must be for a shorter one"));
  const ModelVersion counts = Counts();
  EXPECT_THAT(check(counts, 60000, 100, Predictor::kMostPathBytes),
              FailsWith(kInvalid, "num_paths: got 100 for a sequence of 60000 rows"));
  EXPECT_THAT(check(counts, 60000, 100, kInfinity), IsOk());
}

// Two states with a few parameters, of which either may last for very long.
ModelVersion LongDurations(int max_duration) {
  return VersionOf(HmmOptions{.num_states = 2,
                              .emission = PoissonOptions{},
                              .durations = DurationKind::kPoisson,
                              .max_duration = max_duration},
                   {0.5, 0.5, 0, 1, 1, 0, 50, 80, 2, 9});
}

TEST(SequenceOutputsTest, DurationsCostWhatMayBeHiddenAndNotTheirParameters) {
  const ModelVersion few = LongDurations(100);
  const ModelVersion many = LongDurations(20000);
  ASSERT_EQ(few.theta.size(), many.theta.size());
  EXPECT_GE(many.predictor->CostOfRow(), 2 * 20000);
  EXPECT_LT(few.predictor->CostOfRow(), 4096);
  EXPECT_EQ(Predictor::NumbersOf(many.predictor->model()), 10 + 4 + 2 * 20000);
  EXPECT_EQ(many.predictor->StateBytes(), 4 * 8 * 2 * 20000);
  SequenceState state;
  ASSERT_THAT(many.predictor->Predict(InSequences(many, {1}), {.labels = true}, nullptr, &state),
              IsOk());
  EXPECT_EQ(static_cast<int64_t>(8 * (state.all.size() + state.best.size())),
            many.predictor->StateBytes());
  EXPECT_EQ(TwoClusterVersion().predictor->StateBytes(), 0);

  // The registry counts them.
  ModelRegistryOptions options;
  options.max_bytes = 500'000;
  options.clock = [] { return absl::UnixEpoch(); };
  ModelRegistry registry(options);
  EXPECT_THAT(registry.Add("few", few), IsOk());
  EXPECT_EQ(ReasonOf(registry.Add("many", many).status()), "MODEL_MEMORY_FULL");
}

TEST(SequenceOutputsTest, MessagesThatNeedTooMuchMemoryAreRefusedBeforeTheyAreMade) {
  const ModelVersion version = LongDurations(20000);
  constexpr PredictionOutputs kFiltered{.filtered = true};
  constexpr PredictionOutputs kLabels{.labels = true};
  // Blocks have 48 rows, and a block two messages of 640 kB, those of best paths apart.
  const Table table = InSequences(version, std::vector<double>(48 * 250, 1.0));
  const absl::StatusOr<Prediction> refused = version.predictor->Predict(table, kLabels);
  EXPECT_THAT(refused, FailsWith(kInvalid, "rows: got 12000 of them"));
  EXPECT_THAT(refused, FailsWith(kInvalid, "send fewer rows, or use a predict job"));
  // Without best paths there is room: the first block is asked for.
  EXPECT_THAT(version.predictor->Predict(table, kFiltered, [] { return true; }),
              FailsWith(absl::StatusCode::kCancelled, ""));
}

// What lies ahead and best paths are given up on the way, not at their end.
TEST(SequenceOutputsTest, LongSearchesEndSoonAfterTheyAreCancelled) {
  const ModelVersion version = LongDurations(1000);
  const Table table = InSequences(version, std::vector<double>(20, 1.0));
  constexpr int kAsked = 10;
  int asked = 0;
  const auto cancelled = [&asked] { return ++asked == kAsked; };
  ASSERT_THAT(version.predictor->Predict(table, {.filtered = true}, cancelled), IsOk());
  for (const PredictionOutputs outputs : {Forecasts(100'000), BestPaths(50)}) {
    asked = 0;
    EXPECT_THAT(version.predictor->Predict(table, outputs, cancelled),
                FailsWith(absl::StatusCode::kCancelled, ""));
    EXPECT_EQ(asked, kAsked);
  }
}

TEST(SequenceOutputsTest, TheLongRunFollowsFromTheParameters) {
  const ModelVersion umbrellas = Umbrellas();
  EXPECT_THAT(umbrellas.predictor->stationary(), Each(DoubleNear(0.5, 1e-12)));
  EXPECT_THAT(umbrellas.predictor->expected_durations(), Each(DoubleNear(1 / 0.3, 1e-12)));
  // Two states of which each is for good: it depends on the first row.
  const ModelVersion apart = VersionOf(HmmOptions{.num_states = 2, .emission = BernoulliOptions{}},
                                       {0.5, 0.5, 1, 0, 0, 1, 0.9, 0.2});
  EXPECT_THAT(apart.predictor->stationary(), IsEmpty());
  EXPECT_THAT(apart.predictor->expected_durations(), ElementsAre(kInfinity, kInfinity));
  EXPECT_THAT(ManyDurations().predictor->expected_durations(), Each(DoubleNear(50.5, 1e-9)));
  EXPECT_THAT(TwoClusterVersion().predictor->expected_durations(), IsEmpty());
}

class SequenceOutputsDatasetTest : public FitTest {
 protected:
  SequenceOutputsDatasetTest() { EXPECT_THAT(server_.registry.Add("m", Umbrellas()), IsOk()); }
  PredictEnvironment predictions() { return {&server_.datasets, &server_.registry, &server_.pool}; }
  static PredictRequest Request(PredictionOutputs outputs) {
    return {.model = "models/m",
            .dataset = "datasets/d",
            .outputs = outputs,
            .sequences = SequenceSource{.column = "day", .lengths = {}, .weights = {}},
            .output_dataset_id = "out"};
  }
};

TEST_F(SequenceOutputsDatasetTest, ColumnsAreNamedAfterWhatTheyHold) {
  UploadCells("d", {"day", "x"}, {1, 1, 1, 1, 2, 1});
  PredictionOutputs outputs = Forecasts(2);
  outputs.residuals = outputs.forecast_residuals = outputs.best_paths = true;
  outputs.num_paths = 3;
  auto work = MakePredictWork(Request(outputs), predictions(), "j");
  ASSERT_THAT(work, IsOk());
  WorkRun run(server_.pool, server_.clock.get());
  ASSERT_THAT(run.Run(**work), IsOk());
  const auto content = server_.datasets.Content("out").value();
  std::vector<std::string> names;
  for (const ColumnSchema& column : content->schema->columns) names.push_back(column.name);
  EXPECT_THAT(names,
              ElementsAre("forecast_0", "forecast_1", "forecast_mean_x", "forecast_variance_x",
                          "residual_x", "forecast_residual_x", "best_path_0", "best_path_1",
                          "best_path_2", "best_path_log_probability_0",
                          "best_path_log_probability_1", "best_path_log_probability_2"));
  const auto cell = [&](int64_t row, int column) { return LoadCell(content->cells, row, column); };
  EXPECT_NEAR(cell(2, 0), 0.5 + 0.16 * (0.45 / 0.55 - 0.5), 1e-12);
  EXPECT_NEAR(cell(2, 5), 0.597760, 1e-5);
  EXPECT_EQ(cell(2, 6), 0);
  EXPECT_EQ(cell(2, 8), -1);
  EXPECT_NEAR(cell(1, 9), std::log(0.45 * 0.7 * 0.9), 1e-12);
  EXPECT_EQ(cell(2, 11), -kInfinity);
}

TEST_F(SequenceOutputsDatasetTest, BadOptionsAreRefusedWhenTheJobIsMade) {
  UploadCells("d", {"day", "x"}, {1, 1, 1, 1, 2, 1});
  const auto refused = [&](PredictionOutputs outputs, const char* text) {
    EXPECT_THAT(MakePredictWork(Request(outputs), predictions(), "j"), FailsWith(kInvalid, text));
  };
  refused(Forecasts(0), "forecast_horizon: got 0");
  refused(BestPaths(101), "num_paths: got 101");
  // Paths count in the job's memory.
  const auto bytes = [&](PredictionOutputs outputs) {
    return MakePredictWork(Request(outputs), predictions(), "j").value()->working_bytes();
  };
  EXPECT_GE(bytes(BestPaths(100)) - bytes(BestPaths(1)), 99 * 2 * 2 * 16);
}

}  // namespace
}  // namespace emserve::server
