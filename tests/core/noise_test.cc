// The uniform noise component: its density, what it leaves to the inner emission, and outliers.
#include "core/emission/noise.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/em/fit.h"
#include "core/emission/gaussian.h"
#include "core/emission/product.h"
#include "core/emission/student_t.h"
#include "core/latent/mixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/emission_probe.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Emission> Inner(int num_components, const Data& data,
                                Covariance covariance = Covariance::kFull) {
  const Table table = data.ToTable();
  return MakeGaussian({.covariance = covariance}, num_components, SummaryOf(table), table.names())
      .value();
}
std::unique_ptr<Emission> Noisy(int num_components, const Data& data,
                                Covariance covariance = Covariance::kFull) {
  const Table table = data.ToTable();
  return WithNoise(Inner(num_components, data, covariance), SummaryOf(table), table.names())
      .value();
}

absl::StatusOr<FitResult> FitModel(const Model& model, const Data& data, FitOptions options = {}) {
  Pool pool(1);
  Pool::Share share(pool);
  const Table table = data.ToTable();
  RunOptions run;
  run.share = &share;
  return Fit(model, table, SummaryOf(table), options, run);
}

// Faithful, and 40 rows uniform on a box four times as wide.
Data FaithfulWithOutliers() {
  Data data = Faithful();
  Random random(3, 0);
  for (int i = 0; i < 40; ++i) {
    data.values.push_back(-4 + 15 * random.Uniform());
    data.values.push_back(-20 + 200 * random.Uniform());
  }
  return data;
}

TEST(NoiseDensity, IsUniformOnTheBoxOfTheData) {
  const Data data{.num_columns = 2, .values = {1, 10, 3, 14, 2, 30, 1.5, 11}, .weights = {}};
  const auto emission = Noisy(1, data, Covariance::kDiagonal);
  std::vector<double> params(emission->parameters().size());
  emission->Reference(SummaryOf(data.ToTable()), params);
  EXPECT_EQ(std::vector<double>(params.end() - 4, params.end()),
            (std::vector<double>{1, 10, 3, 30}));
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = NAN;
  const Data rows{.num_columns = 2,
                  .values = {2, 20, 1, 30, nan, 12, 3, nan, nan, nan, 0.99, 20, nan, 31, 2, 1e9},
                  .weights = {}};
  EmissionProbe probe(*emission, rows);
  std::vector<double> log_density = probe.LogDensity(params);
  const double both = -std::log(40);
  const double expected[] = {both, both, -std::log(20), -std::log(2), 0, -inf, -inf, -inf};
  for (int i = 0; i < 8; ++i) {
    const double got = probe.at(log_density, 1, i);
    EXPECT_TRUE(got == expected[i] || std::abs(got - expected[i]) < 1e-14) << i << ": " << got;
  }
  for (int i = 8; i < probe.block().stride; ++i) EXPECT_EQ(probe.at(log_density, 1, i), 0);
}

TEST(NoiseDensity, MixtureIntegratesToOne) {
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  const double step = 1e-3;
  for (double x = -30 + step / 2; x < 30; x += step) data.values.push_back(x);
  const auto model = MakeMixture(Noisy(2, data)).value();
  // weights, means, covariances, box.
  const Theta theta = {0.3, 0.5, 0.2, -2, 5, 1, 4, -10, 20};
  ASSERT_TRUE(model->Validate(theta).ok());
  const Table table = data.ToTable();
  const int n = static_cast<int>(table.num_rows());
  BlockBuffer buffer(n, 1);
  const Block block = table.Read(0, n, buffer);
  const auto prepared = model->NewPrepared();
  const auto workspace = model->NewWorkspace(n);
  ASSERT_TRUE(model->Prepare(theta, *prepared).ok());
  std::vector<double> log_density(block.stride);
  model->Infer(*prepared, block, *workspace, {.log_density = log_density.data()});
  double integral = 0;
  for (int i = 0; i < n; ++i) integral += step * std::exp(log_density[i]);
  EXPECT_NEAR(integral, 1, 1e-6);
}

TEST(NoiseLeaves, TheInnerEmissionAsItIs) {
  const Data data = WithHoles(Iris(), 1);
  const auto inner = Inner(2, data);
  const auto emission = Noisy(2, data);
  EXPECT_EQ(emission->num_components(), 3);
  EXPECT_EQ(emission->num_seeds(), 2);
  EXPECT_EQ(emission->degrees_of_freedom({true, true, true}),
            inner->degrees_of_freedom({true, true}));
  EXPECT_EQ(emission->degrees_of_freedom({true, true, false}),
            inner->degrees_of_freedom({true, true}));
  EXPECT_EQ(emission->degrees_of_freedom({true, false, true}),
            inner->degrees_of_freedom({true, false}));
  EXPECT_EQ(emission->statistics().size(), inner->statistics().size());
  const std::vector<double> params = RandomParameters(*emission, data, 1);
  const auto own = std::span(params).first(inner->parameters().size());
  EmissionProbe a(*inner, data);
  EmissionProbe b(*emission, data);
  std::vector<double> x = a.LogDensity(own);
  std::vector<double> y = b.LogDensity(params);
  for (int k = 0; k < 2; ++k) {
    for (int i = 0; i < 150; ++i) EXPECT_EQ(a.at(x, k, i), b.at(y, k, i));
  }
  const std::vector<double> r = b.RandomResponsibilities(2);
  const std::vector<double> stats = b.Statistics(params, r);
  EXPECT_EQ(a.Statistics(own, {r.begin(), r.begin() + 2 * a.block().stride}), stats);
  std::vector<Repair> repairs;
  const std::vector<double> next = b.Maximize(params, b.Occupancy(r), stats, &repairs);
  EXPECT_TRUE(repairs.empty());
  EXPECT_EQ(std::vector<double>(next.end() - 8, next.end()),
            std::vector<double>(params.end() - 8, params.end()));
}

TEST(NoiseLaws, Hold) {
  const Data data = FaithfulWithOutliers();
  const auto emission = Noisy(2, data);
  const std::vector<double> params = RandomParameters(*emission, data, 1);
  EXPECT_TRUE(MaximizesExpectedLogDensity(*emission, data, params, 1));
  EXPECT_TRUE(ExpectedStatisticsGiveParametersBack(*emission, params));
  EXPECT_TRUE(CoordinatesRoundTrip(*emission, params));
  EXPECT_TRUE(RecenteringChangesNoExpectation(*emission, data, params,
                                              RandomParameters(*emission, data, 2)));
  for (const bool holes : {false, true}) {
    const Data rows = holes ? WithHoles(data, 4) : data;
    const Table table = rows.ToTable();
    const auto model = MakeMixture(Noisy(2, rows)).value();
    const Theta theta = RandomTheta(*model, table, SummaryOf(table), 1);
    EXPECT_TRUE(ObjectiveNeverDecreases(*model, table, theta, 60));
    EXPECT_TRUE(StatisticsAddUp(*model, table, theta));
    EXPECT_TRUE(ThreadsDoNotChangeBits(*model, table, SummaryOf(table)));
    if (!holes) {
      EXPECT_TRUE(EStepDoesNotAllocate(*model, table, theta));
    }
  }
}

TEST(NoiseLaws, HoldAroundOtherEmissionsToo) {
  const Data data = WithHoles(FaithfulWithOutliers(), 2);
  const Table table = data.ToTable();
  const Summary summary = SummaryOf(table);
  std::vector<ProductPart> parts;
  parts.push_back({"t", MakeStudentT({}, 2, SummaryOfColumns(summary, 0, 1), {"0"}).value()});
  parts.push_back({"g", MakeGaussian({}, 2, SummaryOfColumns(summary, 1, 1), {"1"}).value()});
  auto emission = WithNoise(MakeProduct(std::move(parts)).value(), summary, table.names()).value();
  const ConstraintOptions constraints{.fixed = {{"g.means", {0}, {55}}, {"weights", {2}, {0.1}}},
                                      .tied = {{"t.degrees_of_freedom", {}}}};
  const auto model =
      MakeMixture(std::move(emission), {.weight_concentration = 2, .constraints = constraints})
          .value();
  const Theta theta = RandomTheta(*model, table, summary, 1);
  EXPECT_TRUE(ObjectiveNeverDecreases(*model, table, theta, 60));
  const Theta next = OneIteration(*model, table, theta);
  EXPECT_NEAR(next[2], 0.1, 1e-15);
}

TEST(NoiseFit, TakesTheOutliersAndLeavesTheClusters) {
  const Data data = FaithfulWithOutliers();
  FitOptions options;
  options.restarts = 5;
  const auto model = MakeMixture(Noisy(2, data)).value();
  const auto fit = FitModel(*model, data, options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kConverged) << fit->best.message;
  // 40 of 312 rows, of which few lie on the clusters.
  EXPECT_NEAR(fit->theta[2], 40.0 / 312, 0.03);
  const auto clean = FitModel(*MakeMixture(Inner(2, Faithful())).value(), Faithful(), options);
  ASSERT_TRUE(clean.ok());
  const int low = fit->theta[3] < fit->theta[5] ? 0 : 1;
  const int of_clean = clean->theta[2] < clean->theta[4] ? 0 : 1;
  for (const int k : {0, 1}) {
    const int here = k == 0 ? low : 1 - low;
    const int there = k == 0 ? of_clean : 1 - of_clean;
    EXPECT_NEAR(fit->theta[3 + 2 * here], clean->theta[2 + 2 * there], 0.05);
    EXPECT_NEAR(fit->theta[4 + 2 * here], clean->theta[3 + 2 * there], 0.7);
  }
  // The box is the data's.
  const Summary summary = SummaryOf(data.ToTable());
  EXPECT_EQ(fit->theta[fit->theta.size() - 4], summary.minimum[0]);
  EXPECT_EQ(fit->theta.back(), summary.maximum[1]);
  EXPECT_EQ(model->degrees_of_freedom(fit->theta), 2 + 4 + 6);
  // Far better than without.
  const auto without = FitModel(*MakeMixture(Inner(2, data)).value(), data, options);
  ASSERT_TRUE(without.ok());
  EXPECT_GT(fit->objective, without->objective + 50);
}

TEST(NoiseFit, KeepsAGivenBox) {
  const Data data = FaithfulWithOutliers();
  const auto model = MakeMixture(Noisy(2, data)).value();
  FitOptions options;
  options.restarts = 1;
  options.start = StartMethod::kGiven;
  const Table table = data.ToTable();
  options.given = RandomTheta(*model, table, SummaryOf(table), 1);
  std::copy_n(std::vector<double>{-100, -200, 100, 200}.begin(), 4, options.given.end() - 4);
  for (const Acceleration acceleration : {Acceleration::kNone, Acceleration::kSquarem}) {
    options.acceleration = acceleration;
    const auto fit = FitModel(*model, data, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_EQ(std::vector<double>(fit->theta.end() - 4, fit->theta.end()),
              (std::vector<double>{-100, -200, 100, 200}));
  }
}

// A component that starts anew takes its own place in arrays that the noise has none in.
TEST(NoiseFit, RespawnsOtherComponents) {
  // Three rows at one point draw a component into a collapse.
  Data data = FaithfulWithOutliers();
  for (int i = 0; i < 12; ++i) data.values.insert(data.values.end(), {9, 150});
  const Table table = data.ToTable();
  const auto model =
      MakeMixture(
          WithNoise(MakeGaussian({.ridge = 1e-6}, 4, SummaryOf(table), table.names()).value(),
                    SummaryOf(table), table.names())
              .value())
          .value();
  FitOptions options;
  options.restarts = 8;
  options.collapse = CollapsePolicy::kRespawn;
  options.max_respawns = 3;
  const auto fit = FitModel(*model, data, options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  for (const RestartOutcome& restart : fit->restarts) {
    EXPECT_TRUE(restart.status.ok()) << restart.status;
  }
  EXPECT_TRUE(model->Validate(fit->theta).ok());
}

TEST(NoiseConditional, IsTheMiddleOfTheBoxInItsShare) {
  const Data data{.num_columns = 2, .values = {0, NAN, 4, 10, 1, 2}, .weights = {}};
  const auto emission = Noisy(2, data, Covariance::kDiagonal);
  // Box [0, 4] x [2, 10]; the inner components, even, have means 2 and 4 and variances 3 and 5
  // there: together mean 3 and variance 5.
  const std::vector<double> params = {1, 2, 1, 4, 2, 3, 2, 5, 0, 2, 4, 10};
  EmissionProbe probe(*emission, data);
  const int stride = probe.block().stride;
  for (const double share : {0.0, 0.25, 1.0}) {
    std::vector<double> posterior(3 * stride);
    probe.at(posterior, 0, 0) = probe.at(posterior, 1, 0) = (1 - share) / 2;
    probe.at(posterior, 2, 0) = share;
    const auto cells = probe.Conditional(params, posterior);
    const double mean = (1 - share) * 3 + share * 6;
    EXPECT_NEAR(cells.mean[stride], mean, 1e-14);
    EXPECT_NEAR(
        cells.variance[stride],
        (1 - share) * (5 + std::pow(3 - mean, 2)) + share * (64.0 / 12 + std::pow(6 - mean, 2)),
        1e-13);
    EXPECT_EQ(cells.mean[0], 0);
    EXPECT_EQ(cells.variance[0], 0);
    EXPECT_EQ(cells.mean[stride + 1], 10);
  }
}

TEST(NoiseSample, IsUniformOnTheBox) {
  const Data data{.num_columns = 2, .values = {0, 2, 4, 10, 1, 2}, .weights = {}};
  const auto emission = Noisy(1, data, Covariance::kDiagonal);
  const auto prepared = emission->NewPrepared();
  ASSERT_TRUE(
      emission->Prepare(std::vector<double>{100, 100, 1e-4, 1e-4, 0, 2, 4, 10}, *prepared).ok());
  Random random(1, 0);
  std::vector<double> row(2);
  double sum = 0;
  double square = 0;
  for (int i = 0; i < 20000; ++i) {
    emission->Sample(*prepared, 1, random, row);
    ASSERT_TRUE(row[0] >= 0 && row[0] <= 4 && row[1] >= 2 && row[1] <= 10);
    sum += row[1];
    square += row[1] * row[1];
  }
  EXPECT_NEAR(sum / 20000, 6, 0.1);
  EXPECT_NEAR(square / 20000 - std::pow(sum / 20000, 2), 64.0 / 12, 0.15);
  emission->Sample(*prepared, 0, random, row);
  EXPECT_NEAR(row[0], 100, 1);
}

TEST(NoiseChecks, NameWhatIsWrong) {
  const Data data = Faithful();
  const Table table = data.ToTable();
  const auto emission = Noisy(2, data);
  std::vector<double> params = RandomParameters(*emission, data, 1);
  EXPECT_TRUE(emission->Validate(params).ok());
  for (const double bad : {1e9, std::nan(""), -HUGE_VAL}) {
    params[params.size() - 3] = bad;
    EXPECT_THAT(std::string(emission->Validate(params).message()),
                HasSubstr("noise_minimum[1]: got "));
  }
  const ConstraintOptions constraints{.fixed = {{"noise_maximum", {1}, {3}}}, .tied = {}};
  EXPECT_THAT(
      std::string(MakeMixture(Noisy(2, data), {.constraints = constraints}).status().message()),
      HasSubstr("constraints: got some on noise_minimum or noise_maximum, must be none"));

  // Spherical covariances live with a constant column, a box does not.
  const Data constant{.num_columns = 2, .values = {1, 5, 2, 5, 4, 5}, .weights = {}};
  const Table of_constant = constant.ToTable();
  const absl::Status status =
      WithNoise(Inner(1, constant, Covariance::kSpherical), SummaryOf(of_constant), {"x", "y"})
          .status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("columns[y]: got values from 5 to 5, must"));
}

}  // namespace
}  // namespace emserve::testing
