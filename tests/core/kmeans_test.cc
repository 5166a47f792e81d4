// k-means: published sums of squares, bounds, and what it shares with mixtures.
#include "core/latent/kmeans.h"

#include <cmath>
#include <limits>
#include <vector>

#include "core/em/expectation.h"
#include "core/em/fit.h"
#include "core/families.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<FitResult> FitKMeans(const KMeansOptions& options, const Data& data,
                                    FitOptions fit_options = {}) {
  fit_options.relative_tolerance = 0;
  fit_options.absolute_tolerance = 0;
  fit_options.parameter_tolerance = 1e-12;
  if (fit_options.start == StartMethod::kAuto) fit_options.restarts = 50;
  return FitData(options, data, fit_options);
}

// Within-cluster sums of squares of iris, as R's kmeans and scikit-learn find them.
TEST(KMeans, ReachesThePublishedSumsOfSquaresOfIris) {
  const std::pair<int, double> published[] = {
      {2, 152.34795176}, {3, 78.85144142614601}, {4, 57.22847321}, {5, 46.44618205}};
  for (const auto& [num_components, inertia] : published) {
    const auto fit = FitKMeans({.num_components = num_components}, Iris());
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_NEAR(-fit->objective, inertia, 1e-6) << num_components;
  }
}

// Distances between seeds are those that the objective has: a column of small numbers matters
// little.
TEST(KMeans, SeedsAreDrawnInTheUnitsOfTheCells) {
  Random random(3, 0);
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  double inertia = 0;
  for (int i = 0; i < 400; ++i) {
    const double noise = random.Uniform();
    data.values.insert(data.values.end(), {1000.0 * (i % 8), noise});
    inertia += (noise - 0.5) * (noise - 0.5);
  }
  int found = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    FitOptions options;
    options.start = StartMethod::kKMeansPlusPlus;
    options.restarts = 1;
    options.seed = seed;
    const auto fit = FitKMeans({.num_components = 8}, data, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    found += -fit->objective < 1.1 * inertia;
  }
  EXPECT_GE(found, 18);
}

// Labels by plain distances, for comparison.
std::vector<double> Sums(const Data& data, std::span<const double> centres) {
  const size_t columns = static_cast<size_t>(data.num_columns);
  const size_t num_centres = centres.size() / columns;
  std::vector<double> counts(num_centres);
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (size_t k = 0; k < num_centres; ++k) {
      double squares = 0;
      for (size_t c = 0; c < columns; ++c) {
        const double z = data.values[i * columns + c] - centres[k * columns + c];
        squares += z * z;
      }
      if (squares < least) {
        least = squares;
        best = k;
      }
    }
    counts[best] += 1;
  }
  return counts;
}

TEST(KMeans, BoundsDoNotChangeLabels) {
  const Data data = Blobs(5003, 7, 9, 2, 3);
  const KMeansOptions options{.num_components = 9};
  const Subject subject = MakeSubject(options, data);
  Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
  Pool pool(2);
  Pool::Share share(pool);
  ::emserve::Expectation expectation(*subject.model, subject.table, share, {});
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(expectation.Run(theta).ok());
    const std::vector<double> expected = Sums(data, theta);
    for (size_t k = 0; k < expected.size(); ++k) {
      ASSERT_EQ(expectation.statistics()[k], expected[k]) << "pass " << i << ", centre " << k;
    }
    std::vector<Repair> repairs;
    Theta next(theta.size());
    ASSERT_TRUE(subject.model->MStep(theta, expectation.statistics(), next, {repairs, {}}).ok());
    theta = next;
  }
}

TEST(KMeans, WeightsAreMultiplicities) {
  Data repeated = Iris();
  Data weighted = Iris();
  for (int64_t i = 0; i < 150; ++i) {
    weighted.weights.push_back(i < 50 ? 2 : 1);
    if (i >= 50) continue;
    for (int c = 0; c < 4; ++c) repeated.values.push_back(weighted.values[i * 4 + c]);
  }
  const auto a = FitKMeans({.num_components = 3}, weighted);
  const auto b = FitKMeans({.num_components = 3}, repeated);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NEAR(a->objective, b->objective, 1e-9);
}

TEST(KMeans, SphericalIsBlindToLengths) {
  Data data = Blobs(600, 3, 3, 4, 5);
  Data scaled = data;
  for (size_t i = 0; i < scaled.values.size(); ++i) scaled.values[i] *= 1 + (i / 3) % 7;
  const auto a = FitKMeans({.num_components = 3, .spherical = true}, data);
  const auto b = FitKMeans({.num_components = 3, .spherical = true}, scaled);
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_NEAR(a->objective, b->objective, 1e-9);
  for (int k = 0; k < 3; ++k) {
    double squares = 0;
    for (int c = 0; c < 3; ++c) squares += std::pow(a->theta[k * 3 + c], 2);
    EXPECT_NEAR(squares, 1, 1e-12);
  }
}

TEST(KMeans, SphericalRefusesARowWithoutDirection) {
  Data data = Blobs(20, 3, 3, 4, 5);
  for (int c = 0; c < 3; ++c) data.values[7 * 3 + c] = 0;
  const auto fit = FitKMeans({.num_components = 3, .spherical = true}, data);
  ASSERT_FALSE(fit.ok());
  EXPECT_THAT(std::string(fit.status().message()), HasSubstr("data[7]: got a length of 0"));
}

TEST(KMeans, SphericalPassesOverARowWithoutWeight) {
  Data data = Blobs(20, 3, 3, 4, 5);
  data.weights.assign(20, 1.0);
  data.weights[7] = 0;
  for (int c = 0; c < 3; ++c) data.values[7 * 3 + c] = 0;
  const auto fit = FitKMeans({.num_components = 3, .spherical = true}, data);
  EXPECT_TRUE(fit.ok()) << fit.status();
}

TEST(KMeans, SphericalCentreOfRowsThatCancelOutIsTheFirstAxisAndReported) {
  const Data data{.num_columns = 2, .values = {1, 0, -1, 0}, .weights = {}};
  const auto fit = FitKMeans({.num_components = 1, .spherical = true}, data);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->theta, (std::vector<double>{1, 0}));
  EXPECT_EQ(fit->objective, -4);
  ASSERT_EQ(fit->repairs.size(), 1u);
  EXPECT_EQ(fit->repairs[0].reason, kDirectionUndefined);
  EXPECT_EQ(fit->repairs[0].component, 0);
}

TEST(KMeans, SphericalStartsAreExactWhereTheTableIsFarFromItsDirections) {
  // Lengths of 1e12: a mean of the table's as reference would leave 1e-4 of the directions' digits.
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 40; ++i) {
    data.values.insert(data.values.end(), {1e12, 1e12 * (i % 2 == 0 ? 2.0 : -2.0)});
  }
  FitOptions options;
  options.max_iterations = 0;
  options.start = StartMethod::kKMeansPlusPlus;
  options.restarts = 1;
  const auto fit = FitKMeans({.num_components = 2, .spherical = true}, data, options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  for (int k = 0; k < 2; ++k) EXPECT_NEAR(fit->theta[2 * k], 1 / std::sqrt(5.0), 1e-15);
}

TEST(KMeans, SphericalRefusesCentresOfAnotherLength) {
  FitOptions options;
  options.start = StartMethod::kGiven;
  options.restarts = 1;
  options.given = {0.6, 0.8, 0.3, 0.4};
  const auto fit =
      FitKMeans({.num_components = 2, .spherical = true}, Blobs(20, 2, 2, 4, 5), options);
  EXPECT_TRUE(absl::IsInvalidArgument(fit.status())) << fit.status();
  EXPECT_THAT(std::string(fit.status().message()), HasSubstr("centres[1]: got a length of 0.5"));
}

// Rows around -10 and 10, where three centres in the middle leave one without rows.
Data TwoEnds(int num_columns) {
  Random random(4, 0);
  Data data{.num_columns = num_columns, .values = {}, .weights = {}};
  for (int i = 0; i < 60; ++i) {
    for (int c = 0; c < num_columns; ++c) {
      data.values.push_back((c > 0 ? 0 : i % 2 == 0 ? -10 : 10) + random.Normal());
    }
  }
  return data;
}

FitOptions FromTheMiddle(uint64_t seed) {
  FitOptions options;
  options.seed = seed;
  options.start = StartMethod::kRandomResponsibilities;
  options.restarts = 1;
  options.max_iterations = 1;
  options.collapse = CollapsePolicy::kRespawn;
  return options;
}

TEST(KMeans, CentreWithoutRowsStartsAnew) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    FitOptions options = FromTheMiddle(seed);
    const auto anew = FitKMeans({.num_components = 3}, TwoEnds(1), options);
    options.max_respawns = 0;
    const auto held = FitKMeans({.num_components = 3}, TwoEnds(1), options);
    ASSERT_TRUE(anew.ok() && held.ok()) << anew.status();
    ASSERT_EQ(anew->repairs.size(), 1u);
    EXPECT_EQ(anew->repairs[0].reason, kComponentRespawned);
    for (int k = 0; k < 3; ++k) {
      EXPECT_EQ(anew->theta[k] == held->theta[k], k != anew->repairs[0].component) << k;
    }
  }
}

TEST(KMeans, CentreThatIsTiedToOthersDoesNotStartAnew) {
  KMeansOptions options{.num_components = 3};
  options.constraints.tied = {{"centres", {1, 3, 5}}};
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const auto fit = FitKMeans(options, TwoEnds(2), FromTheMiddle(seed));
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_EQ(fit->theta[1], fit->theta[3]);
    EXPECT_EQ(fit->theta[1], fit->theta[5]);
    ASSERT_EQ(fit->repairs.size(), 1u);
    EXPECT_EQ(fit->repairs[0].reason, kComponentEmpty);
  }
}

// The centre of one cluster is the mean of the observed cells of every column.
TEST(KMeans, MissingCellsTakeNoPartInMeans) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Data data{.num_columns = 2, .values = {1, 10, 3, nan, nan, 30, 5, 50}, .weights = {}};
  const auto fit = FitKMeans({.num_components = 1}, data);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_DOUBLE_EQ(fit->theta[0], 3);
  EXPECT_DOUBLE_EQ(fit->theta[1], 30);
  EXPECT_DOUBLE_EQ(fit->objective, -(4 + 0 + 4 + 400 + 0 + 400));
}

TEST(KMeans, KeepsFixedAndTiedCentres) {
  KMeansOptions options{.num_components = 3};
  options.constraints.fixed = {{"centres", {0, 1, 2, 3}, {5, 3.4, 1.5, 0.2}}};
  options.constraints.tied = {{"centres", {4, 8}}};
  const auto fit = FitKMeans(options, Iris());
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->theta[0], 5);
  EXPECT_EQ(fit->theta[3], 0.2);
  EXPECT_EQ(fit->theta[4], fit->theta[8]);
  EXPECT_NE(fit->theta[5], fit->theta[9]);
}

TEST(KMeans, MiniBatchesEndNearTheOptimum) {
  const Data data = Blobs(20000, 4, 5, 6, 8);
  FitOptions options;
  options.restarts = 5;
  const auto whole = FitKMeans({.num_components = 5}, data);
  options.algorithm = Algorithm::kStepwiseEm;
  options.stepwise_batch_rows = 1000;
  options.max_iterations = 0;
  const auto batches = FitKMeans({.num_components = 5}, data, options);
  ASSERT_TRUE(whole.ok() && batches.ok()) << batches.status();
  EXPECT_GE(batches->objective, 1.02 * whole->objective);
}

TEST(KMeans, IsTheLimitOfVanishingVariance) {
  const auto centres = FitKMeans({.num_components = 3}, Iris());
  ASSERT_TRUE(centres.ok());
  // A mixture with its variance fixed near 0 and even weights has the same centres.
  MixtureOptions mixture{3, GaussianOptions{Covariance::kTiedSpherical}};
  mixture.constraints.fixed = {{"variances", {}, {1e-6}}, {"weights", {}, {1.0 / 3}}};
  FitOptions options;
  options.restarts = 20;
  const auto fit = FitData(mixture, Iris(), options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  const double inertia =
      -2e-6 * (fit->objective + 150 * (std::log(3.0) + 2 * std::log(2e-6 * std::acos(-1.0))));
  EXPECT_NEAR(inertia, -centres->objective, 1e-4);
}

}  // namespace
}  // namespace emserve::testing
