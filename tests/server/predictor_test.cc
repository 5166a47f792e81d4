#include "server/registry/predictor.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "core/em/fit.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"
#include "tests/server/domain_test.h"
#include "tests/server/work_test.h"

namespace emserve::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr PredictionOutputs kAll{.labels = true, .posteriors = true, .log_densities = true};

// Everything that Create takes, good at first.
struct Parts {
  ModelOptions options = Mixture(2);
  Summary summary = UnitSummary(2);
  std::vector<std::string> columns = {"x", "y"};
  std::vector<double> theta = {0.25, 0.75, 0, 0, 10, 10, 1, 0, 0, 1, 1, 0.5, 0.5, 2};

  absl::StatusOr<std::shared_ptr<const Predictor>> Create() const {
    return Predictor::Create(options, summary, columns, theta);
  }
};

// A fitted mixture of `data`.
std::shared_ptr<const Predictor> Fitted(const testing::Data& data, const ModelOptions& options) {
  const Table table = data.ToTable();
  Pool pool(1);
  Pool::Share share(pool);
  const Summary summary = Summarize(table, share, {}).value();
  const auto model = MakeModel(options, summary, table.names()).value();
  FitOptions fit;
  fit.restarts = 1;
  fit.max_iterations = 5;
  RunOptions run;
  run.share = &share;
  const FitResult result = Fit(*model, table, summary, fit, run).value();
  return Predictor::Create(options, summary, table.names(), result.theta).value();
}

// What core says, row by row in one block.
Prediction OfCore(const Model& model, std::span<const double> theta, const Table& table) {
  const auto prepared = model.NewPrepared();
  EXPECT_THAT(model.Prepare(theta, *prepared), IsOk());
  const int rows = static_cast<int>(table.num_rows());
  const auto workspace = model.NewWorkspace(rows);
  BlockBuffer buffer(rows, table.num_columns());
  const Block block = table.Read(0, rows, buffer);
  const int components = model.num_components();
  std::vector<double> log_density(block.stride);
  std::vector<double> posterior(static_cast<size_t>(components) * block.stride);
  RowOutputs outputs;
  outputs.log_density = log_density.data();
  outputs.posterior = posterior.data();
  model.Infer(*prepared, block, *workspace, outputs);
  Prediction expected;
  for (int i = 0; i < rows; ++i) {
    int label = 0;
    for (int k = 0; k < components; ++k) {
      expected.posteriors.push_back(posterior[k * block.stride + i]);
      if (posterior[k * block.stride + i] > posterior[label * block.stride + i]) label = k;
    }
    expected.labels.push_back(label);
    expected.log_densities.push_back(log_density[i]);
  }
  return expected;
}

TEST(PredictorTest, RefusesHostileModelsByName) {
  ASSERT_THAT(Parts().Create(), IsOk());
  const auto refused = [](const char* text, auto spoil,
                          absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
    Parts parts;
    spoil(parts);
    EXPECT_THAT(parts.Create(), FailsWith(code, text));
  };
  refused("num_components: got 0", [](Parts& p) { p.options = Mixture(0); });
  refused("num_components: got -5", [](Parts& p) { p.options = Mixture(-5); });
  refused(
      "num_components: got 101", [](Parts& p) { p.options = Mixture(101); },
      absl::StatusCode::kFailedPrecondition);
  refused("emission.ridge: got nan", [](Parts& p) {
    p.options = MixtureOptions{2, GaussianOptions{.ridge = kNan}};
  });
  refused("covariance", [](Parts& p) { p.options = Mixture(2, static_cast<Covariance>(77)); });
  refused("must be", [](Parts& p) { p.theta.pop_back(); });
  refused("must be", [](Parts& p) { p.theta.clear(); });
  refused("weights", [](Parts& p) { p.theta[0] = -0.25; });
  refused("weights", [](Parts& p) { p.theta[0] = kNan; });
  refused("weights", [](Parts& p) { p.theta[0] = 0.5; });
  refused("means[1, 0]: got inf", [](Parts& p) { p.theta[4] = kInfinity; });
  refused("covariances[1", [](Parts& p) { p.theta[10] = -1; });
  refused("covariances[1", [](Parts& p) { p.theta[11] = p.theta[12] = 5; });
  refused("covariances[1", [](Parts& p) { p.theta[11] = 0.25; });
}

// A gigantic model that is claimed by a few bytes costs nothing.
TEST(PredictorTest, RefusesGiganticClaimsBeforeAnythingIsAllocated) {
  Parts parts;
  parts.summary = UnitSummary(2, std::numeric_limits<int64_t>::max());
  parts.options = Mixture(std::numeric_limits<int>::max());
  EXPECT_THAT(parts.Create(), FailsWith(absl::StatusCode::kInvalidArgument, "got"));
  parts.options = Mixture(300000000);
  EXPECT_THAT(parts.Create(), FailsWith(absl::StatusCode::kInvalidArgument, "got"));
  parts.options = KMeansOptions{300000000};
  EXPECT_THAT(parts.Create(), FailsWith(absl::StatusCode::kInvalidArgument, "got"));
  parts.summary.minimum = {0, 0};
  for (const EmissionOptions& emission :
       {EmissionOptions(StudentTOptions{}), EmissionOptions(BernoulliOptions{}),
        EmissionOptions(CategoricalOptions{}), EmissionOptions(MultinomialOptions{}),
        EmissionOptions(PoissonOptions{}), EmissionOptions(VonMisesFisherOptions{}),
        EmissionOptions(ProductOptions{{{"a", 2, GaussianOptions{}}}})}) {
    parts.options = MixtureOptions{300000000, emission};
    EXPECT_FALSE(parts.Create().ok()) << emission.index();
  }
}

TEST(PredictorTest, PredictsWhatCoreInfers) {
  for (const Covariance covariance :
       {Covariance::kFull, Covariance::kTied, Covariance::kDiagonal, Covariance::kTiedDiagonal,
        Covariance::kSpherical, Covariance::kTiedSpherical}) {
    const testing::Data data = testing::Iris();
    const Table table = data.ToTable();
    const ModelOptions options = Mixture(3, covariance);
    const Summary summary = testing::SummaryOf(table);
    const auto model = MakeModel(options, summary, table.names()).value();
    std::vector<double> theta(static_cast<size_t>(model->parameters().size()));
    model->Reference(summary, theta);
    // Three rows of the data as means.
    const ArraySpec& means = *model->parameters().Find("means");
    for (int k = 0; k < 3; ++k) {
      for (int c = 0; c < 4; ++c) theta[means.offset + 4 * k + c] = table.value(50 * k + 7, c);
    }
    const auto predictor = Predictor::Create(options, summary, table.names(), theta).value();
    const Prediction expected = OfCore(*model, theta, table);
    const Prediction got = predictor->Predict(table, kAll).value();
    EXPECT_EQ(got.labels, expected.labels);
    EXPECT_EQ(got.posteriors, expected.posteriors);
    EXPECT_EQ(got.log_densities, expected.log_densities);
  }
}

TEST(PredictorTest, GivesWhatWasAskedForOnly) {
  const auto predictor = Parts().Create().value();
  const Table table = Table::FromValues({0, 0, 10, 10}, 2, 2).value();
  const Prediction all = predictor->Predict(table, kAll).value();
  EXPECT_THAT(all.labels, ElementsAre(0, 1));
  EXPECT_EQ(all.posteriors.size(), 4u);

  const Prediction labels = predictor->Predict(table, {.labels = true}).value();
  EXPECT_EQ(labels.labels, all.labels);
  EXPECT_THAT(labels.posteriors, IsEmpty());
  EXPECT_THAT(labels.log_densities, IsEmpty());
  const Prediction posteriors = predictor->Predict(table, {.posteriors = true}).value();
  EXPECT_THAT(posteriors.labels, IsEmpty());
  EXPECT_EQ(posteriors.posteriors, all.posteriors);
  const Prediction densities = predictor->Predict(table, {.log_densities = true}).value();
  EXPECT_THAT(densities.posteriors, IsEmpty());
  EXPECT_EQ(densities.log_densities, all.log_densities);
  EXPECT_EQ(predictor->NumOutputColumns(kAll), 4);
  EXPECT_EQ(predictor->NumOutputColumns({.posteriors = true}), 2);
  EXPECT_EQ(predictor->NumOutputColumns({}), 0);
}

TEST(PredictorTest, TheFirstOfEquallyProbableComponentsIsTheLabel) {
  Parts parts;
  parts.theta = {0.5, 0.5, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1};
  const Table table = Table::FromValues({0, 5, 1, 1}, 2, 2).value();
  EXPECT_THAT(parts.Create().value()->Predict(table, {.labels = true}).value().labels,
              ElementsAre(0, 0));
}

TEST(PredictorTest, ComponentsWithoutWeightAreNeverTheLabel) {
  Parts parts;
  parts.theta[0] = 0;
  parts.theta[1] = 1;
  const Table table = Table::FromValues({0, 0}, 1, 2).value();
  const Prediction got = parts.Create().value()->Predict(table, kAll).value();
  EXPECT_THAT(got.labels, ElementsAre(1));
  EXPECT_THAT(got.posteriors, ElementsAre(0, 1));
}

TEST(PredictorTest, NamesTheCellThatIsInfinite) {
  const auto predictor = Parts().Create().value();
  Pool pool(2);
  Pool::Share share(pool);
  for (const double bad : {kInfinity, -kInfinity}) {
    std::vector<double> cells(2 * 50000, 1.0);
    cells[2 * 43210 + 1] = bad;
    const Table table = Table::FromValues(cells, 50000, 2).value();
    EXPECT_THAT(predictor->Predict(table, {.labels = true}),
                FailsWith(absl::StatusCode::kInvalidArgument, "rows[43210]: got"));
    EXPECT_THAT(predictor->Predict(table, {.labels = true}),
                FailsWith(absl::StatusCode::kInvalidArgument, "in column '1'"));
    std::vector<double> out(50000);
    EXPECT_THAT(predictor->PredictRows(
                    table, {.labels = true}, share, {}, [](int) {}, out.data()),
                FailsWith(absl::StatusCode::kInvalidArgument, "rows[43210]: got"));
  }
}

// By hand: given x, y is normal with the regression's mean; the components weigh as x says.
TEST(PredictorTest, ReplacesMissingCellsByTheirMeanGivenTheOthers) {
  Parts parts;
  parts.theta = {0.5, 0.5, 0, 0, 10, 10, 1, 0.5, 0.5, 2, 1, 0, 0, 4};
  const auto predictor = parts.Create().value();
  constexpr PredictionOutputs kCells{.imputed = true, .imputed_variances = true};
  const Table table = Table::FromValues({1, kNan, kNan, 10, 3, 4, kNan, kNan}, 4, 2).value();
  const Prediction got = predictor->Predict(table, kCells).value();
  ASSERT_EQ(got.imputed.size(), 8u);
  EXPECT_EQ(got.imputed[0], 1);
  EXPECT_NEAR(got.imputed[1], 0.5, 1e-9);
  EXPECT_EQ(got.imputed_variances[0], 0);
  EXPECT_NEAR(got.imputed_variances[1], 1.75, 1e-9);
  EXPECT_NEAR(got.imputed[2], 10, 1e-3);  // 10 lies far out in the first component
  EXPECT_EQ(got.imputed[3], 10);
  EXPECT_THAT(std::vector<double>(got.imputed.begin() + 4, got.imputed.begin() + 6),
              ElementsAre(3, 4));
  // A row without a cell has the moments of the mixture.
  EXPECT_NEAR(got.imputed[6], 5, 1e-9);
  EXPECT_NEAR(got.imputed_variances[6], 1 + 25, 1e-9);
  EXPECT_EQ(predictor->NumOutputColumns(kCells), 4);

  const Prediction all = predictor->Predict(table, kAll).value();
  EXPECT_THAT(all.labels, ElementsAre(0, 1, 0, 0));
  EXPECT_EQ(all.log_densities[3], 0);  // of nothing
  EXPECT_NEAR(all.posteriors[6], 0.5, 1e-12);
  EXPECT_THAT(predictor->Predict(table, {.imputed = true}).value().imputed_variances, IsEmpty());

  Pool pool(2);
  Pool::Share share(pool);
  std::vector<double> out(4 * 5);
  ASSERT_THAT(predictor->PredictRows(
                  table, {.labels = true, .imputed = true, .imputed_variances = true}, share, {},
                  [](int) {}, out.data()),
              IsOk());
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(out[5 * i], static_cast<double>(all.labels[i]));
    for (size_t c = 0; c < 2; ++c) {
      EXPECT_EQ(out[5 * i + 1 + c], got.imputed[2 * i + c]);
      EXPECT_EQ(out[5 * i + 3 + c], got.imputed_variances[2 * i + c]);
    }
  }
}

TEST(PredictorTest, RefusesRowsWhereTheModelHasNoDensity) {
  Parts parts;
  parts.options = MixtureOptions{1, PoissonOptions{}};
  parts.summary.minimum = {0, 0};
  parts.theta = {1, 2, 3};
  const auto predictor = parts.Create().value();
  const Table table = Table::FromValues({1, 2, 3, -4}, 2, 2).value();
  EXPECT_THAT(predictor->Predict(table, {.labels = true}),
              FailsWith(absl::StatusCode::kInvalidArgument, "rows[1]: got -4 in column '1'"));
}

TEST(PredictorTest, FamiliesWithoutMissingCellsImputeNone) {
  Parts parts;
  parts.options = MixtureOptions{1, MultinomialOptions{}};
  parts.summary.minimum = {0, 0};
  parts.theta = {1, 0.5, 0.5};
  const auto predictor = parts.Create().value();
  EXPECT_FALSE(predictor->imputes());
  const Table table = Table::FromValues({1, 2}, 1, 2).value();
  EXPECT_THAT(predictor->Predict(table, {.imputed = true}),
              FailsWith(absl::StatusCode::kInvalidArgument, "outputs: got imputed cells"));
  EXPECT_THAT(predictor->Predict(table, {.labels = true}), IsOk());
}

TEST(PredictorTest, RefusesARowWhoseDensityVanishes) {
  const auto predictor = Parts().Create().value();
  const Table table = Table::FromValues({0, 0, 1e200, 0}, 2, 2).value();
  EXPECT_THAT(predictor->Predict(table, {.labels = true}),
              FailsWith(absl::StatusCode::kInvalidArgument, "rows[1]: got"));
  // Far away is fine as long as numbers can say how far.
  const Table far = Table::FromValues({1e100, 0}, 1, 2).value();
  const Prediction got = predictor->Predict(far, kAll).value();
  EXPECT_LT(got.log_densities[0], -1e199);
  EXPECT_NEAR(got.posteriors[0] + got.posteriors[1], 1, 1e-12);
}

TEST(PredictorTest, ManyThreadsWriteTheSameBitsAsOneCall) {
  const testing::Data data = testing::Blobs(60000, 3, 4, 3, 7);
  const auto predictor = Fitted(data, Mixture(4));
  const Table table = data.ToTable();
  const Prediction expected = predictor->Predict(table, kAll).value();
  for (const int threads : {1, 4}) {
    Pool pool(threads);
    Pool::Share share(pool);
    std::atomic<int64_t> rows_done = 0;
    std::vector<double> out(60000 * 6, kNan);
    ASSERT_THAT(predictor->PredictRows(
                    table, kAll, share, {}, [&](int rows) { rows_done += rows; }, out.data()),
                IsOk());
    EXPECT_EQ(rows_done, 60000);
    for (size_t i = 0; i < 60000; ++i) {
      ASSERT_EQ(out[6 * i], static_cast<double>(expected.labels[i]));
      for (size_t k = 0; k < 4; ++k) {
        ASSERT_EQ(out[6 * i + 1 + k], expected.posteriors[4 * i + k]);
      }
      ASSERT_EQ(out[6 * i + 5], expected.log_densities[i]);
    }
  }
}

TEST(PredictorTest, StopsWithinABlock) {
  const auto predictor = Parts().Create().value();
  const Table table = testing::Blobs(200000, 2, 2, 3, 1).ToTable();
  std::vector<double> out(200000);
  for (const int threads : {1, 3}) {
    Pool pool(threads);
    Pool::Share share(pool);
    std::stop_source stop;
    std::atomic<int> blocks = 0;
    const absl::Status status = predictor->PredictRows(
        table, {.labels = true}, share, [&stop] { return stop.stop_requested(); },
        [&](int) {
          ++blocks;
          stop.request_stop();
        },
        out.data());
    EXPECT_THAT(status, FailsWith(absl::StatusCode::kCancelled, ""));
    EXPECT_GE(blocks, 1);
    EXPECT_LE(blocks, threads);  // those that were under way
  }
}

TEST(PredictorTest, ServesManyThreadsAtOnce) {
  const auto predictor = Parts().Create().value();
  const Table table = testing::Blobs(5000, 2, 2, 3, 3).ToTable();
  const Prediction expected = predictor->Predict(table, kAll).value();
  const SampledRows sampled = predictor->Sample(100, 5).value();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(predictor->Predict(table, kAll).value().posteriors, expected.posteriors);
        EXPECT_EQ(predictor->Sample(100, 5).value().rows, sampled.rows);
      }
    });
  }
}

TEST(PredictorTest, TheSameSeedDrawsTheSameRows) {
  const auto predictor = Parts().Create().value();
  const SampledRows rows = predictor->Sample(3000, 42).value();
  ASSERT_EQ(rows.rows.size(), 6000u);
  ASSERT_EQ(rows.labels.size(), 3000u);
  const SampledRows again = predictor->Sample(3000, 42).value();
  EXPECT_EQ(again.rows, rows.rows);
  EXPECT_EQ(again.labels, rows.labels);
  EXPECT_NE(predictor->Sample(3000, 43).value().rows, rows.rows);
  // Fewer rows are the first of more.
  const SampledRows fewer = predictor->Sample(10, 42).value();
  EXPECT_TRUE(std::equal(fewer.rows.begin(), fewer.rows.end(), rows.rows.begin()));
  EXPECT_THAT(predictor->Sample(0, 42).value().rows, IsEmpty());
}

TEST(PredictorTest, SamplesFollowTheModel) {
  const auto predictor = Parts().Create().value();
  constexpr int64_t kRows = 40000;
  const SampledRows sampled = predictor->Sample(kRows, 1).value();
  double count = 0;
  double sums[5] = {};  // of x, y, x^2, y^2, xy of the second component, about its mean
  for (size_t i = 0; i < kRows; ++i) {
    if (sampled.labels[i] != 1) continue;
    const double x = sampled.rows[2 * i] - 10;
    const double y = sampled.rows[2 * i + 1] - 10;
    ++count;
    const double terms[5] = {x, y, x * x, y * y, x * y};
    for (int t = 0; t < 5; ++t) sums[t] += terms[t];
  }
  EXPECT_NEAR(count / kRows, 0.75, 0.01);
  EXPECT_NEAR(sums[0] / count, 0, 0.03);
  EXPECT_NEAR(sums[1] / count, 0, 0.04);
  EXPECT_NEAR(sums[2] / count, 1, 0.05);
  EXPECT_NEAR(sums[3] / count, 2, 0.1);
  EXPECT_NEAR(sums[4] / count, 0.5, 0.05);
  // Where a row came from is where it would be put.
  const Table table = Table::FromValues(sampled.rows, kRows, 2).value();
  EXPECT_EQ(predictor->Predict(table, {.labels = true}).value().labels, sampled.labels);
}

TEST(PredictorTest, StopsWhenTheCallerHasGone) {
  const auto predictor = Parts().Create().value();
  const auto gone = [] { return true; };
  const Table table = Table::FromValues({0, 0, 1, 1}, 2, 2).value();
  EXPECT_THAT(predictor->Predict(table, {.labels = true}, gone),
              FailsWith(absl::StatusCode::kCancelled, ""));
  EXPECT_THAT(predictor->Sample(10, 1, gone), FailsWith(absl::StatusCode::kCancelled, ""));
}

}  // namespace
}  // namespace emserve::server
