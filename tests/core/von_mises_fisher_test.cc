// The von Mises-Fisher emission: closed forms, directions and concentrations, what it refuses.
#include "core/emission/von_mises_fisher.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "core/em/fit.h"
#include "core/emission/concentration.h"
#include "core/emission/directions.h"
#include "core/numerics/bessel.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/emission_subject.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kPi = std::numbers::pi;

MakeEmission Make(int num_components, VonMisesFisherOptions options = {}) {
  return [=](const Summary& summary, const std::vector<std::string>& names) {
    return MakeVonMisesFisher(options, num_components, summary, names);
  };
}

std::vector<double> Unit(std::vector<double> v) {
  EXPECT_TRUE(Normalize(v, v));
  return v;
}

std::vector<double> RandomUnit(int num_columns, Random& random) {
  std::vector<double> v(num_columns);
  for (double& x : v) x = random.Normal();
  return Unit(v);
}

// Row i about direction i mod directions.size().
Data Bundles(int64_t num_rows, const std::vector<std::vector<double>>& directions,
             double concentration, uint64_t seed) {
  Random random(seed, 1);
  const size_t num_columns = directions[0].size();
  Data data{.num_columns = static_cast<int>(num_columns), .values = {}, .weights = {}};
  std::vector<double> row(num_columns);
  for (int64_t i = 0; i < num_rows; ++i) {
    SampleDirection(directions[i % directions.size()], concentration, random, row);
    data.values.insert(data.values.end(), row.begin(), row.end());
  }
  return data;
}

TEST(VonMisesFisherDensity, IsTheClosedFormInThreeDimensions) {
  const Data data{.num_columns = 3, .values = {0, 0, 1, 0, 1, 0, 0.6, 0, 0.8}, .weights = {}};
  EmissionOnBlock subject(Make(2), data);
  for (const double kappa : {0.0, 1e-9, 0.3, 2.0, 30.0, 500.0}) {
    subject.Prepare({0, 0, 1, 0, 0, 1, kappa, 1});
    const std::vector<double> log_density = subject.LogDensity();
    // kappa / (4 pi sinh kappa) exp(kappa cos)
    const double log_peak =
        kappa < 1e-8 ? -std::log(4 * kPi)
                     : std::log(kappa / (2 * kPi)) - std::log(-std::expm1(-2 * kappa)) - kappa;
    EXPECT_NEAR(log_density[0], log_peak + kappa, 2e-15 * (10 + kappa)) << kappa;
    EXPECT_NEAR(log_density[1], log_peak, 2e-15 * (10 + kappa)) << kappa;
    EXPECT_NEAR(log_density[2], log_peak + 0.8 * kappa, 2e-15 * (10 + kappa)) << kappa;
    for (int i = 3; i < subject.block.stride; ++i) EXPECT_TRUE(std::isfinite(log_density[i]));
  }
}

TEST(VonMisesFisherDensity, IntegratesToOne) {
  Random random(3, 0);
  for (const int num_columns : {2, 4, 7}) {
    constexpr int kRows = 40000;
    Data data{.num_columns = num_columns, .values = {}, .weights = {}};
    for (int i = 0; i < kRows; ++i) {
      const std::vector<double> row = RandomUnit(num_columns, random);
      data.values.insert(data.values.end(), row.begin(), row.end());
    }
    EmissionOnBlock subject(Make(1), data);
    Theta params = RandomUnit(num_columns, random);
    params.push_back(2.5);
    subject.Prepare(params);
    const std::vector<double> log_density = subject.LogDensity();
    const double log_surface =
        std::log(2) + 0.5 * num_columns * std::log(kPi) - std::lgamma(0.5 * num_columns);
    double sum = 0;
    for (int i = 0; i < kRows; ++i) sum += std::exp(log_density[i] + log_surface);
    EXPECT_NEAR(sum / kRows, 1, 0.03) << num_columns;
  }
}

TEST(VonMisesFisherDensity, IsTheNormalDensityWhenConcentrated) {
  // In the plane at right angles to the mean, variance 1 / kappa in D - 1 dimensions.
  for (const double kappa : {1e8, 1e12}) {
    const double angle = 1 / std::sqrt(kappa);
    const Data data{
        .num_columns = 3, .values = {0, std::sin(angle), std::cos(angle)}, .weights = {}};
    EmissionOnBlock subject(Make(1), data);
    subject.Prepare({0, 0, 1, kappa});
    EXPECT_NEAR(subject.LogDensity()[0], std::log(kappa / (2 * kPi)) - 0.5, 1e-7) << kappa;
  }
}

TEST(VonMisesFisherDensity, IsThatOfTheDirectionWhateverTheRoundingOfLengths) {
  Random random(5, 0);
  const std::vector<double> row = RandomUnit(50, random);
  Data data{.num_columns = 50, .values = {}, .weights = {}};
  for (const double length : {1.0, 1 + 9e-7, 1 - 9e-7}) {
    for (const double x : row) data.values.push_back(length * x);
  }
  EmissionOnBlock subject(Make(1), data);
  EXPECT_EQ(subject.RowError(), "");
  Theta params = row;
  params[0] += 1e-4;
  params = Unit(params);
  params.push_back(1e8);
  subject.Prepare(params);
  const std::vector<double> log_density = subject.LogDensity();
  EXPECT_NEAR(log_density[1], log_density[0], 1e-6);
  EXPECT_NEAR(log_density[2], log_density[0], 1e-6);
  const std::vector<double> one = subject.Accumulate(subject.Assigned({0}));
  std::vector<double> resp(subject.block.stride);
  resp[1] = 1;
  const std::vector<double> other = subject.Accumulate(resp);
  for (int d = 0; d < 50; ++d) EXPECT_NEAR(other[d], one[d], 1e-15);
}

TEST(VonMisesFisherMaximize, IsTheClosedFormInThreeDimensions) {
  // (0.6, 0, 0.8) and (-0.6, 0, 0.8) with weights 1 and 2, then +-x alone.
  const Data data{.num_columns = 3,
                  .values = {0.6, 0, 0.8, -0.6, 0, 0.8, 1, 0, 0, -1, 0, 0},
                  .weights = {1, 2, 1, 1}};
  EmissionOnBlock subject(Make(2), data);
  const Theta params = {0, 0, 1, 0, 1, 0, 3, 2};
  subject.Prepare(params);
  const std::vector<double> stats = subject.Accumulate(subject.Assigned({0, 0, 1, 1}));
  const Theta next = subject.Maximize(params, {3, 2}, stats);
  const double length = std::hypot(0.6, 2.4);
  EXPECT_NEAR(next[0], -0.6 / length, 1e-15);
  EXPECT_NEAR(next[1], 0, 1e-15);
  EXPECT_NEAR(next[2], 2.4 / length, 1e-15);
  // A_3(kappa) = coth kappa - 1 / kappa
  EXPECT_NEAR(1 / std::tanh(next[6]) - 1 / next[6], length / 3, 1e-14);
  // Opposite rows have no mean direction: it stays, and the distribution is uniform.
  EXPECT_EQ(next[4], 1);
  EXPECT_EQ(next[7], 0);
}

TEST(VonMisesFisherMaximize, StopsAtTheCeilingWhenRowsAreEqualAndSaysSo) {
  Data data{.num_columns = 4, .values = {}, .weights = {}};
  for (int i = 0; i < 10; ++i) data.values.insert(data.values.end(), {0.5, 0.5, -0.5, 0.5});
  const Subject subject = MixtureOf(Make(1), data);
  FitOptions options;
  options.restarts = 1;
  const auto fit = FitSubject(subject, options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kDegenerate) << fit->best.message;
  EXPECT_EQ(fit->theta.back(), kMaxConcentration);
  ASSERT_EQ(fit->repairs.size(), 1u);
  EXPECT_EQ(fit->repairs[0].reason, kVarianceFloored);
  EXPECT_EQ(fit->repairs[0].component, 0);
  EXPECT_NEAR(fit->repairs[0].amount, 1e-12, 1e-15);
}

TEST(VonMisesFisherMaximize, SharesConcentrations) {
  const std::vector<std::vector<double>> directions = {{1, 0, 0}, {0, 0, 1}};
  const Data data = Bundles(40, directions, 20, 3);
  std::vector<int> rows(40);
  for (int i = 0; i < 40; ++i) rows[i] = i % 2;
  // The mean cosine of all rows, from the two closed forms.
  std::vector<double> sums(6);
  for (int i = 0; i < 40; ++i) {
    for (int d = 0; d < 3; ++d) sums[(i % 2) * 3 + d] += data.values[i * 3 + d];
  }
  const double cosines = Length(std::span(sums).first(3)) + Length(std::span(sums).last(3));
  const auto expect = [&](const MakeEmission& make, const ConstraintOptions& constraints,
                          const Theta& params) {
    EmissionOnBlock subject(make, data);
    ASSERT_TRUE(subject.Constrain(constraints).ok());
    subject.Prepare(params);
    const std::vector<double> stats = subject.Accumulate(subject.Assigned(rows));
    const Theta next = subject.Maximize(params, {20, 20}, stats);
    for (size_t j = 6; j < next.size(); ++j) {
      EXPECT_NEAR(1 / std::tanh(next[j]) - 1 / next[j], cosines / 40, 1e-14);
    }
    EXPECT_EQ(subject.emission->degrees_of_freedom({true, true}), 2 * 2 + 1);
  };
  expect(Make(2, {.shared_concentration = true, .prior_mean = {}}), {}, {1, 0, 0, 0, 1, 0, 3});
  expect(Make(2), {.fixed = {}, .tied = {{"concentrations", {0, 1}}}}, {1, 0, 0, 0, 1, 0, 3, 3});
}

TEST(VonMisesFisherMaximize, KeepsAnEmptyComponentAndSaysSo) {
  const Data data = Bundles(10, {{1, 0, 0}}, 20, 3);
  EmissionOnBlock subject(Make(2), data);
  const Theta params = {1, 0, 0, 0, 1, 0, 3, 4};
  subject.Prepare(params);
  std::vector<double> stats = subject.Accumulate(subject.Assigned(std::vector<int>(10)));
  stats[3] = stats[4] = 1e-13;
  std::vector<Repair> repairs;
  const Theta next = subject.Maximize(params, {10, 1e-13}, stats, &repairs);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kComponentEmpty);
  EXPECT_EQ(repairs[0].component, 1);
  EXPECT_EQ(std::vector(next.begin() + 3, next.begin() + 6), std::vector<double>({0, 1, 0}));
  EXPECT_EQ(next[7], 4);
  EXPECT_NE(next[6], 3);
}

TEST(VonMisesFisherConstraints, HoldFixedDirectionsAndConcentrations) {
  const Data data = Bundles(40, {{1, 0, 0}, {0, 0, 1}}, 20, 3);
  MixtureHyperparameters hyperparameters;
  hyperparameters.constraints.fixed = {{"mean_directions", {3, 4, 5}, {0, 0.6, 0.8}},
                                       {"concentrations", {0}, {7}}};
  const Subject subject = MixtureOf(Make(2), data, hyperparameters);
  Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 2);
  EXPECT_EQ(subject.model->degrees_of_freedom(theta), 1 + 2 + 1);
  EXPECT_TRUE(ObjectiveNeverDecreases(*subject.model, subject.table, theta, 50));
  EXPECT_TRUE(MaximizationMaximizesQ(*subject.model, subject.table, subject.summary, theta));
  for (int i = 0; i < 10; ++i) theta = OneIteration(*subject.model, subject.table, theta);
  EXPECT_EQ(std::vector(theta.begin() + 5, theta.begin() + 9),
            std::vector<double>({0, 0.6, 0.8, 7}));
  EXPECT_NE(theta[9], 7);
}

TEST(VonMisesFisherDegreesOfFreedom, CountWhatIsFreeInTheComponentsThatAreLeft) {
  EmissionOnBlock subject(Make(3), Bundles(10, {{1, 0, 0}}, 20, 3));
  ASSERT_TRUE(subject
                  .Constrain({.fixed = {{"mean_directions", {0, 1, 2}, {1, 0, 0}}},
                              .tied = {{"concentrations", {0, 1}}}})
                  .ok());
  EXPECT_EQ(subject.emission->degrees_of_freedom({true, true, true}), 2 + 2 + 2);
  EXPECT_EQ(subject.emission->degrees_of_freedom({true, false, false}), 1);
  EXPECT_EQ(subject.emission->degrees_of_freedom({false, true, false}), 2 + 1);
  EXPECT_EQ(subject.emission->degrees_of_freedom({false, true, true}), 4 + 2);
}

TEST(VonMisesFisherParameters, AreByComponentUnlessTheyAreShared) {
  for (const bool shared : {false, true}) {
    const EmissionOnBlock subject(Make(2, {.shared_concentration = shared, .prior_mean = {}}),
                                  Bundles(10, {{1, 0, 0}}, 20, 3));
    const Layout& layout = subject.emission->parameters();
    EXPECT_TRUE(layout.Find("mean_directions")->by_component);
    EXPECT_EQ(layout.Find("concentrations")->by_component, !shared);
  }
}

TEST(VonMisesFisherConstraints, RefuseParts) {
  const Data data = Bundles(40, {{1, 0, 0}, {0, 0, 1}}, 20, 3);
  const auto message = [&](const ConstraintOptions& options) {
    EmissionOnBlock subject(Make(2), data);
    const absl::Status status = subject.Constrain(options);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(message({.fixed = {{"mean_directions", {4}, {0}}}, .tied = {}}),
              HasSubstr("constraints: got 1 elements of mean_directions[1] fixed, must be all 3"));
  EXPECT_THAT(message({.fixed = {{"mean_directions", {0, 1, 2}, {1}}}, .tied = {}}),
              HasSubstr("constraints: got mean_directions[0] fixed at a length of 1.7320"));
  EXPECT_THAT(message({.fixed = {}, .tied = {{"mean_directions", {0, 3}}}}),
              HasSubstr("constraints: got ties of mean_directions[0, 0]"));
  EXPECT_THAT(message({.fixed = {{"concentrations", {1}, {-1}}}, .tied = {}}),
              HasSubstr("constraints: got concentrations[1] fixed at -1, must be in [0, "));
}

TEST(VonMisesFisherPrior, CountsAsRows) {
  const Data data = Bundles(40, {{1, 0, 0}}, 20, 3);
  // Five rows of one direction say the same as a prior of strength 5 there.
  Data more = data;
  for (int i = 0; i < 5; ++i) more.values.insert(more.values.end(), {0, 0.6, 0.8});
  const auto fit_one = [](const MakeEmission& make, const Data& rows) {
    FitOptions options;
    options.restarts = 1;
    options.relative_tolerance = 0;
    options.max_iterations = 5;
    return FitSubject(MixtureOf(make, rows), options);
  };
  const auto with_prior =
      fit_one(Make(1, {.prior_mean = {0, 0.6, 0.8}, .prior_strength = 5}), data);
  const auto with_rows = fit_one(Make(1), more);
  ASSERT_TRUE(with_prior.ok() && with_rows.ok());
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(with_prior->theta[i], with_rows->theta[i], 1e-12);
  EXPECT_NEAR(with_prior->objective, with_rows->objective, 1e-10);
  // Without a direction it only lowers the concentration.
  const auto plain = fit_one(Make(1), data);
  const auto damped = fit_one(Make(1, {.prior_mean = {}, .prior_strength = 5}), data);
  ASSERT_TRUE(plain.ok() && damped.ok());
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(damped->theta[i], plain->theta[i], 1e-12);
  const auto mean_cosine = [](double kappa) { return BesselIRatio(0.5, kappa).value; };
  EXPECT_NEAR(mean_cosine(damped->theta[4]), mean_cosine(plain->theta[4]) * 40 / 45, 1e-12);
}

TEST(VonMisesFisherCheckRows, WantsUnitVectors) {
  const Data data = Bundles(10, {{1, 0, 0}}, 20, 3);
  EmissionOnBlock subject(Make(1), data);
  EXPECT_EQ(subject.RowError(), "");
  const auto error = [&](double value) {
    Data bad = data;
    bad.values[3] = value;
    bad.values[4] = bad.values[5] = 0;
    const Table table = bad.ToTable();
    BlockBuffer buffer = table.MakeBuffer(10);
    const Block block = table.Read(0, 10, buffer);
    return std::string(subject.emission->CheckRows(block, {"a", "b", "c"}).message());
  };
  EXPECT_EQ(error(2), "[1]: got a length of 2, must be 1; divide the row by its length");
  EXPECT_THAT(error(0), HasSubstr("[1]: got a length of 0, must be 1"));
  EXPECT_THAT(error(1 + 2e-6), HasSubstr("[1]: got a length of 1"));
  EXPECT_EQ(error(1 + 9e-7), "");
  EXPECT_THAT(error(kNaN), HasSubstr("[1]: got nan in column 'a', must be complete"));
}

TEST(VonMisesFisherRefuses, MissingCellsAndBadOptions) {
  const Data data = Bundles(10, {{1, 0, 0}}, 20, 3);
  const Summary summary = SummaryOf(data.ToTable());
  const auto message = [&](const VonMisesFisherOptions& options) {
    return std::string(MakeVonMisesFisher(options, 2, summary, {"a", "b", "c"}).status().message());
  };
  EXPECT_THAT(message({false, {1, 0}, 1}), HasSubstr("prior_mean: got 2 numbers, must be 3"));
  EXPECT_THAT(message({false, {1, 1, 0}, 1}), HasSubstr("prior_mean: got a length of 1.41421"));
  EXPECT_THAT(message({false, {1, kNaN, 0}, 1}), HasSubstr("prior_mean: got a length of nan"));
  EXPECT_THAT(message({false, {}, -1}), HasSubstr("prior_strength: got -1, must be finite"));
  Data holes = data;
  holes.values[4] = kNaN;
  const absl::Status missing =
      MakeVonMisesFisher({}, 2, SummaryOf(holes.ToTable()), {"a", "b", "c"}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(missing)) << missing;
  EXPECT_THAT(std::string(missing.message()), HasSubstr("columns[b]: got missing cells"));
  const Data narrow{.num_columns = 1, .values = {1, -1}, .weights = {}};
  EXPECT_THAT(
      std::string(MakeVonMisesFisher({}, 2, SummaryOf(narrow.ToTable()), {"a"}).status().message()),
      HasSubstr("columns: got 1, must be at least 2"));
  EmissionOnBlock subject(Make(1), data);
  EXPECT_THAT(std::string(subject.emission->Validate(Theta{1, 0, 0.1, 2}).message()),
              HasSubstr("mean_directions[0]: got a length of 1.00499, must be 1"));
  EXPECT_THAT(std::string(subject.emission->Validate(Theta{1, 0, kNaN, 2}).message()),
              HasSubstr("mean_directions[0]"));
  EXPECT_THAT(std::string(subject.emission->Validate(Theta{1, 0, 0, -2}).message()),
              HasSubstr("concentrations[0]: got -2, must be in [0, 1e+12]"));
}

TEST(VonMisesFisherStatistics, GiveTheirParametersBack) {
  const Data data = Bundles(10, {{1, 0, 0}}, 20, 3);
  EmissionOnBlock subject(Make(2), data);
  for (const double kappa : {0.5, 30.0, 1e8}) {
    ExpectExpectedStatisticsGiveParametersBack(*subject.emission, {0.6, 0, 0.8, 0, 1, 0, 3, kappa},
                                               {0.8, 0, 0.6, 0, 0.8, -0.6, 2, 7},
                                               1e-11 + 1e-16 * kappa);
  }
}

TEST(VonMisesFisherCoordinates, LeadBackFromAnyLength) {
  const Data data = Bundles(10, {{1, 0, 0}}, 20, 3);
  EmissionOnBlock subject(Make(2), data);
  const Theta params = {0.6, 0, 0.8, 0, 1, 0, 3, 20};
  Theta coordinates(8), back(8);
  subject.emission->ToUnconstrained(params, coordinates);
  for (int d = 0; d < 3; ++d) coordinates[d] *= 1e-30;
  coordinates[4] = 0;  // no direction at all
  coordinates[7] = 1000;
  subject.emission->FromUnconstrained(coordinates, params, back);
  EXPECT_TRUE(subject.emission->Validate(back).ok());
  for (int i = 0; i < 7; ++i) EXPECT_NEAR(back[i], params[i], 1e-15);
  EXPECT_EQ(back[7], kMaxConcentration);
}

TEST(VonMisesFisherLaws, Hold) {
  Random random(12, 0);
  std::vector<std::vector<double>> directions;
  for (int k = 0; k < 3; ++k) directions.push_back(RandomUnit(5, random));
  const Data data = Bundles(517, directions, 12, 7);
  ExpectLaws(MixtureOf(Make(3), data), data);
  ExpectLaws(MixtureOf(Make(3, {.shared_concentration = true, .prior_mean = {}}), data), data);
  const Data blobs = Bundles(300, {{1, 0, 0}, {0, 0, 1}}, 5, 3);
  for (const bool shared : {false, true}) {
    const VonMisesFisherOptions options{
        .shared_concentration = shared, .prior_mean = {0, 0.3, 0}, .prior_strength = 4};
    ExpectLaws(MixtureOf(Make(2, options), blobs), blobs);
  }
}

TEST(VonMisesFisherFit, RecoversComponentsInThreeAndAThousandDimensions) {
  Random random(13, 0);
  for (const auto& [num_columns, kappa] : {std::pair(3, 60.0), {1000, 800.0}, {1000, 1e7}}) {
    std::vector<std::vector<double>> directions;
    for (int k = 0; k < 3; ++k) directions.push_back(RandomUnit(num_columns, random));
    if (num_columns == 3) directions = {{1, 0, 0}, {0, 1, 0}, {0, 0.6, -0.8}};
    const Subject subject = MixtureOf(Make(3), Bundles(600, directions, kappa, 7));
    FitOptions options;
    options.restarts = 3;
    const auto fit = FitSubject(subject, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_EQ(fit->best.termination, Termination::kConverged) << fit->best.message;
    for (int k = 0; k < 3; ++k) {
      const std::span<const double> found =
          std::span(fit->theta).subspan(3 + static_cast<size_t>(k) * num_columns, num_columns);
      double best = -1;
      for (const auto& direction : directions) best = std::max(best, Dot(found, direction));
      // 200 rows leave a cosine of 1 - (D - 1) / (2 x 200 kappa A) on average.
      const double value = BesselIRatio(0.5 * num_columns - 1, kappa).value;
      EXPECT_GT(best, 1 - 1.5 * (num_columns - 1) / (200 * kappa * value)) << num_columns;
      EXPECT_NEAR(fit->theta[k], 1. / 3, 0.01);
      const double concentration = fit->theta[3 + 3 * static_cast<size_t>(num_columns) + k];
      EXPECT_NEAR(concentration, kappa, 0.25 * kappa) << num_columns;
    }
  }
}

}  // namespace
}  // namespace emserve::testing
