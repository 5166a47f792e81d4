// The t emission: closed forms, its Gaussian limit, missing cells, tails and constraints.
#include "core/emission/student_t.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "core/em/fit.h"
#include "core/emission/gaussian.h"
#include "core/latent/mixture.h"
#include "core/numerics/special.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/emission_probe.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Emission> Make(const StudentTOptions& options, int num_components,
                               const Data& data) {
  const Table table = data.ToTable();
  return MakeStudentT(options, num_components, SummaryOf(table), table.names()).value();
}

std::unique_ptr<Model> Mixture(const StudentTOptions& options, int num_components, const Data& data,
                               const ConstraintOptions& constraints = {}) {
  auto model = MakeMixture(Make(options, num_components, data), {.constraints = constraints});
  if (!model.ok()) ADD_FAILURE() << model.status();
  return *std::move(model);
}

absl::StatusOr<FitResult> FitModel(const Model& model, const Data& data, FitOptions options) {
  Pool pool(1);
  Pool::Share share(pool);
  const Table table = data.ToTable();
  RunOptions run;
  run.share = &share;
  return Fit(model, table, SummaryOf(table), options, run);
}

std::vector<double> Array(const Layout& layout, std::span<const double> buffer,
                          const std::string& name) {
  const ArraySpec* const array = layout.Find(name);
  if (array == nullptr) {
    ADD_FAILURE() << "no array " << name;
    return {};
  }
  const auto view = Layout::View(buffer, *array);
  return {view.begin(), view.end()};
}

NormalInverseWishart Shrinking(double shrinkage) {
  NormalInverseWishart prior;
  prior.shrinkage = shrinkage;
  return prior;
}

// Rows of a t with scale matrix A A^T about `mean`.
void AppendT(Data& data, int num_rows, double nu, const std::vector<double>& mean,
             const std::vector<double>& a, Random& random) {
  const auto num_columns = static_cast<int>(mean.size());
  data.num_columns = num_columns;
  for (int i = 0; i < num_rows; ++i) {
    // Chi-squared with whole degrees of freedom.
    double chi = 0;
    for (int j = 0; j < static_cast<int>(nu); ++j) chi += std::pow(random.Normal(), 2);
    std::vector<double> z(num_columns);
    for (double& value : z) value = random.Normal() / std::sqrt(chi / nu);
    for (int r = 0; r < num_columns; ++r) {
      double x = mean[r];
      for (int c = 0; c < num_columns; ++c) x += a[r * num_columns + c] * z[c];
      data.values.push_back(x);
    }
  }
}

Data TwoTails(int num_rows, uint64_t seed) {
  Random random(seed, 0);
  Data data{.num_columns = 3, .values = {}, .weights = {}};
  AppendT(data, num_rows, 3, {0, 0, 0}, {1, 0, 0, 0.5, 1, 0, 0, 0.3, 2}, random);
  AppendT(data, num_rows, 8, {6, 5, -4}, {2, 0, 0, -0.5, 0.7, 0, 0.2, 0, 1}, random);
  return data;
}

TEST(StudentTDensity, IsTheTextbookOneInOneColumn) {
  const Data data{.num_columns = 1, .values = {-4, 0.5, 2, 7e3}, .weights = {}};
  const auto emission = Make({.covariance = Covariance::kFull}, 2, data);
  EmissionProbe probe(*emission, data);
  // means, covariances, degrees of freedom: a Cauchy, and one with 5.
  std::vector<double> log_density = probe.LogDensity(std::vector<double>{0.5, 1, 4, 9, 1, 5});
  for (int i = 0; i < 4; ++i) {
    const double x = data.values[i];
    const double z = (x - 0.5) / 2;
    EXPECT_NEAR(probe.at(log_density, 0, i), -std::log(std::numbers::pi * 2 * (1 + z * z)), 1e-13);
    // Gamma(3) / (Gamma(5/2) sqrt(5 pi)) = 8 / (3 pi sqrt 5).
    const double y = (x - 1) / 3;
    EXPECT_NEAR(
        probe.at(log_density, 1, i),
        std::log(8 / (3 * std::numbers::pi * std::sqrt(5.0) * 3)) - 3 * std::log1p(y * y / 5),
        1e-13);
  }
}

TEST(StudentTDensity, IsTheTextbookOneInTwoColumns) {
  const Data data{.num_columns = 2, .values = {1, 2, -3, 0.5, 4, -4}, .weights = {}};
  const auto emission = Make({.covariance = Covariance::kFull}, 1, data);
  EmissionProbe probe(*emission, data);
  const double nu = 3.5;
  std::vector<double> log_density =
      probe.LogDensity(std::vector<double>{0.5, -1, 2, 0.6, 0.6, 1.5, nu});
  const double determinant = 2 * 1.5 - 0.6 * 0.6;
  for (int i = 0; i < 3; ++i) {
    const double a = data.values[2 * i] - 0.5;
    const double b = data.values[2 * i + 1] + 1;
    const double delta = (1.5 * a * a - 2 * 0.6 * a * b + 2 * b * b) / determinant;
    // Gamma(nu / 2 + 1) / Gamma(nu / 2) = nu / 2, so the constant is 1 / (2 pi sqrt det).
    EXPECT_NEAR(probe.at(log_density, 0, i),
                -std::log(2 * std::numbers::pi * std::sqrt(determinant)) -
                    (nu + 2) / 2 * std::log1p(delta / nu),
                1e-13);
  }
}

TEST(StudentTDensity, ApproachesTheGaussianWithoutLosingDigits) {
  const Data data = Iris();
  const Table table = data.ToTable();
  const auto gaussian = MakeGaussian({}, 3, SummaryOf(table), table.names()).value();
  std::vector<double> params = RandomParameters(*gaussian, data, 1);
  EmissionProbe of_gaussian(*gaussian, data);
  std::vector<double> expected = of_gaussian.LogDensity(params);
  for (const double nu : {1e4, 1e6, 1e9, 1e12}) {
    const auto emission = Make({.maximum_degrees_of_freedom = 1e12}, 3, data);
    std::vector<double> with_tails = params;
    with_tails.insert(with_tails.end(), 3, nu);
    EmissionProbe probe(*emission, data);
    std::vector<double> log_density = probe.LogDensity(with_tails);
    for (int k = 0; k < 3; ++k) {
      for (int i = 0; i < 150; ++i) {
        const double difference = probe.at(log_density, k, i) - probe.at(expected, k, i);
        EXPECT_LE(std::abs(difference), 1e4 / nu + 1e-12) << nu;
      }
    }
  }
  // The next term of the expansion in 1 / nu: (delta^2 - 2 D delta + D (D - 2)) / (4 nu).
  const Data point{.num_columns = 2, .values = {3, 0, 0, 0, 1, 2}, .weights = {}};
  const auto emission = Make({}, 1, point);
  const Table of_point = point.ToTable();
  const auto plain = MakeGaussian({}, 1, SummaryOf(of_point), of_point.names()).value();
  EmissionProbe a(*emission, point);
  EmissionProbe b(*plain, point);
  std::vector<double> t = a.LogDensity(std::vector<double>{0, 0, 1, 0, 0, 1, 1e6});
  std::vector<double> g = b.LogDensity(std::vector<double>{0, 0, 1, 0, 0, 1});
  for (int i = 0; i < 3; ++i) {
    const double delta = std::pow(point.values[2 * i], 2) + std::pow(point.values[2 * i + 1], 2);
    EXPECT_NEAR(1e6 * (t[i] - g[i]), (delta * delta - 4 * delta) / 4, 1e-3) << i;
  }
}

TEST(StudentTDensity, IntegratesToOne) {
  // Trapezoids in y with x = sinh y: tails of |x|^-1.5 need more than a grid in x.
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  const double step = 0.01;
  for (double y = -60; y <= 60; y += step) data.values.push_back(std::sinh(y));
  const auto emission = Make({.ridge = 0}, 3, data);
  EmissionProbe probe(*emission, data);
  std::vector<double> log_density =
      probe.LogDensity(std::vector<double>{0, 1, -2, 1, 4, 0.25, 0.5, 2.3, 40});
  for (int k = 0; k < 3; ++k) {
    double integral = 0;
    for (size_t i = 0; i < data.values.size(); ++i) {
      integral += step * std::exp(probe.at(log_density, k, static_cast<int>(i))) *
                  std::hypot(1, data.values[i]);
    }
    EXPECT_NEAR(integral, 1, 1e-9);
  }
}

TEST(StudentTMissingCells, HaveTheDensityOfTheColumnsThatAreLeft) {
  const Data data = TwoTails(30, 1);
  Data two = data;
  Data left{.num_columns = 2, .values = {}, .weights = {}};
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    two.values[3 * i + 1] = NAN;
    left.values.insert(left.values.end(), {data.values[3 * i], data.values[3 * i + 2]});
  }
  for (const Covariance covariance : {Covariance::kFull, Covariance::kDiagonal}) {
    const auto whole = Make({.covariance = covariance}, 2, data);
    const auto part = Make({.covariance = covariance}, 2, left);
    const std::vector<double> params = RandomParameters(*whole, data, 2);
    std::vector<double> fewer;
    for (const int j : {0, 2, 3, 5}) fewer.push_back(params[j]);
    if (covariance == Covariance::kFull) {
      for (const int j : {0, 2, 6, 8, 9, 11, 15, 17}) fewer.push_back(params[6 + j]);
    } else {
      for (const int j : {0, 2, 3, 5}) fewer.push_back(params[6 + j]);
    }
    fewer.insert(fewer.end(), params.end() - 2, params.end());
    EmissionProbe with_holes(*whole, two);
    EmissionProbe without(*part, left);
    std::vector<double> a = with_holes.LogDensity(params);
    std::vector<double> b = without.LogDensity(fewer);
    for (int k = 0; k < 2; ++k) {
      for (int i = 0; i < 60; ++i) EXPECT_NEAR(with_holes.at(a, k, i), without.at(b, k, i), 1e-12);
    }
    // Precision and tail of the parts agree too, and so do the moments of observed columns.
    const std::vector<double> r = without.RandomResponsibilities(1);
    const std::vector<double> sums = with_holes.Statistics(params, r);
    const std::vector<double> of_part = without.Statistics(fewer, r);
    for (const char* name : {"precision", "tail"}) {
      const auto x = Array(whole->statistics(), sums, name);
      const auto y = Array(part->statistics(), of_part, name);
      for (int k = 0; k < 2; ++k) {
        double missing = 0;
        if (name == std::string("tail")) {
          const double nu = fewer[fewer.size() - 2 + k];
          missing = without.Occupancy(r)[k] *
                    (LogMinusDigamma((nu + 2) / 2) - LogMinusDigamma((nu + 3) / 2));
        }
        EXPECT_NEAR(x[k], y[k] - missing, 1e-11);
      }
    }
    const auto x = Array(whole->statistics(), sums, "first");
    const auto y = Array(part->statistics(), of_part, "first");
    for (int k = 0; k < 2; ++k) {
      EXPECT_NEAR(x[3 * k], y[2 * k], 1e-10);
      EXPECT_NEAR(x[3 * k + 2], y[2 * k + 1], 1e-10);
    }
  }
}

TEST(StudentTMissingCells, CompleteBlocksGiveTheSameOnBothPaths) {
  const Data data = TwoTails(40, 2);
  Data holed = data;
  holed.values.insert(holed.values.end(), {NAN, 1, 2});  // one more row, which has no weight below
  for (const Covariance covariance : {Covariance::kFull, Covariance::kSpherical}) {
    const auto emission = Make({.covariance = covariance}, 2, data);
    const std::vector<double> params = RandomParameters(*emission, data, 2);
    EmissionProbe complete(*emission, data);
    EmissionProbe incomplete(*emission, holed);
    ASSERT_TRUE(complete.block().complete);
    ASSERT_FALSE(incomplete.block().complete);
    std::vector<double> r = complete.RandomResponsibilities(1);
    std::vector<double> padded(2 * incomplete.block().stride);
    std::vector<double> a = complete.LogDensity(params);
    std::vector<double> b = incomplete.LogDensity(params);
    for (int k = 0; k < 2; ++k) {
      for (int i = 0; i < 80; ++i) {
        incomplete.at(padded, k, i) = complete.at(r, k, i);
        EXPECT_NEAR(complete.at(a, k, i), incomplete.at(b, k, i), 1e-12);
      }
    }
    const std::vector<double> s = complete.Statistics(params, r);
    const std::vector<double> t = incomplete.Statistics(params, padded);
    for (size_t j = 0; j < s.size(); ++j) EXPECT_NEAR(s[j], t[j], 1e-9 * (1 + std::abs(s[j])));
  }
}

TEST(StudentTConditional, IsTheRegressionWithTheVarianceOfAT) {
  // Variances 4 and 9, covariance 3; the first cell at 2 standard deviations.
  const Data data{.num_columns = 2, .values = {5, NAN, 0, 0, 1, 2, NAN, NAN}, .weights = {}};
  const auto emission = Make({}, 1, data);
  EmissionProbe probe(*emission, data);
  const double inf = std::numeric_limits<double>::infinity();
  for (const double nu : {0.5, 1.0, 1.5, 4.0}) {
    const auto cells = probe.Conditional(std::vector<double>{1, -1, 4, 3, 3, 9, nu},
                                         std::vector<double>(probe.block().stride, 1.0));
    const int stride = probe.block().stride;
    EXPECT_EQ(cells.mean[0], 5);
    EXPECT_EQ(cells.variance[0], 0);
    EXPECT_NEAR(cells.mean[stride], -1 + 3.0 / 4 * 4, 1e-13);
    const double expected = nu > 1 ? (nu + 4) / (nu - 1) * (9 - 9.0 / 4) : inf;
    EXPECT_EQ(std::isinf(cells.variance[stride]), std::isinf(expected));
    if (nu > 1) {
      EXPECT_NEAR(cells.variance[stride], expected, 1e-12);
    }
    // A row without a cell: the variance of the distribution.
    EXPECT_EQ(cells.mean[3], 1);
    if (nu > 2) {
      EXPECT_NEAR(cells.variance[3], nu / (nu - 2) * 4, 1e-12);
    } else {
      EXPECT_EQ(cells.variance[3], inf);
    }
  }
}

TEST(StudentTConditional, InfiniteVariancesStayInfiniteInMixtures) {
  const Data data{.num_columns = 2, .values = {5, NAN, 0, 0, 1, 2}, .weights = {}};
  const auto emission = Make({}, 3, data);
  EmissionProbe probe(*emission, data);
  std::vector<double> posterior(3 * probe.block().stride);
  probe.at(posterior, 0, 0) = 1e-300;
  probe.at(posterior, 1, 0) = 0.6;
  probe.at(posterior, 2, 0) = 0.4;
  const auto cells = probe.Conditional(
      std::vector<double>{0, 0, 1, 1, 2, 2, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0.5, 5, 5},
      posterior);
  EXPECT_EQ(cells.variance[probe.block().stride], std::numeric_limits<double>::infinity());
  EXPECT_NEAR(cells.mean[probe.block().stride], 0.6 * 1 + 0.4 * 2, 1e-12);
}

TEST(StudentTConditional, AgreesWithSamples) {
  // Rows drawn from the model whose first cell lies near 1.5 have the second's mean and variance.
  const Data data{.num_columns = 2, .values = {1.5, NAN, 0, 0, 1, 2}, .weights = {}};
  const auto emission = Make({}, 1, data);
  const std::vector<double> params = {0, 1, 1, 0.5, 0.5, 2, 6};
  EmissionProbe probe(*emission, data);
  const auto cells = probe.Conditional(params, std::vector<double>(probe.block().stride, 1.0));
  const auto prepared = emission->NewPrepared();
  ASSERT_TRUE(emission->Prepare(params, *prepared).ok());
  Random random(4, 0);
  double count = 0;
  double sum = 0;
  double square = 0;
  std::vector<double> row(2);
  for (int i = 0; i < 1000000; ++i) {
    emission->Sample(*prepared, 0, random, row);
    if (std::abs(row[0] - 1.5) > 0.05) continue;
    count += 1;
    sum += row[1];
    square += row[1] * row[1];
  }
  const double mean = sum / count;
  EXPECT_NEAR(mean, cells.mean[probe.block().stride], 0.05);
  EXPECT_NEAR(square / count - mean * mean, cells.variance[probe.block().stride], 0.15);
}

TEST(StudentTMaximize, MaximizesTheExpectedLogDensity) {
  const Data data = TwoTails(100, 3);
  const Data holed = WithHoles(data, 1);
  for (const Covariance covariance :
       {Covariance::kFull, Covariance::kTied, Covariance::kDiagonal, Covariance::kTiedDiagonal,
        Covariance::kSpherical, Covariance::kTiedSpherical, Covariance::kVEE, Covariance::kEVI}) {
    for (const bool shared : {false, true}) {
      StudentTOptions options{.covariance = covariance, .shared_degrees_of_freedom = shared};
      if (shared) options.prior = Shrinking(3);
      const auto emission = Make(options, 2, data);
      const std::vector<double> params = RandomParameters(*emission, data, 3);
      const bool iterated = covariance == Covariance::kVEE || covariance == Covariance::kEVI;
      if (!iterated) {
        EXPECT_TRUE(MaximizesExpectedLogDensity(*emission, data, params, 7));
        EXPECT_TRUE(MaximizesExpectedLogDensity(*emission, holed, params, 8));
      }
      EXPECT_TRUE(CoordinatesRoundTrip(*emission, params));
      EXPECT_TRUE(RecenteringChangesNoExpectation(*emission, data, params,
                                                  RandomParameters(*emission, data, 4)));
      if (!shared) {
        EXPECT_TRUE(ExpectedStatisticsGiveParametersBack(*emission, params));
      }
    }
  }
}

TEST(StudentTMaximize, ExpectedStatisticsAreThoseOfManyDraws) {
  const Data data{.num_columns = 2, .values = {0, 1, 1, 0, 3, 3}, .weights = {}};
  const auto emission = Make({}, 1, data);
  const std::vector<double> params = {1, 2, 2, 0.5, 0.5, 1, 5};
  const auto prepared = emission->NewPrepared();
  ASSERT_TRUE(emission->Prepare(params, *prepared).ok());
  Random random(9, 0);
  const int n = 200000;
  Data drawn{.num_columns = 2, .values = std::vector<double>(2 * n), .weights = {}};
  for (int i = 0; i < n; ++i) {
    emission->Sample(*prepared, 0, random, std::span(drawn.values.data() + 2 * i, 2));
  }
  EmissionProbe probe(*emission, drawn);
  std::vector<double> r(probe.block().stride);
  std::fill_n(r.begin(), n, 1.0);
  const std::vector<double> stats = probe.Statistics(params, r);
  std::vector<double> expected(stats.size());
  emission->ExpectedStatistics(params, std::vector<double>{n}, expected);
  // Of second moments the lower triangle is kept.
  for (const size_t j : {0, 1, 2, 4, 5, 6, 7}) {
    EXPECT_NEAR(stats[j] / n, expected[j] / n, 0.01) << j;
  }
}

// Everything at once: objective never falls.
TEST(StudentTMixture, ClimbsWithEveryCapability) {
  Data data = WithHoles(TwoTails(150, 5), 2);
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    data.weights.push_back(0.5 + static_cast<double>(i % 4));
  }
  const ConstraintOptions means{.fixed = {{"means", {1}, {0.3}}, {"degrees_of_freedom", {1}, {6}}},
                                .tied = {{"means", {0, 4}}, {"degrees_of_freedom", {0, 2}}}};
  for (const CovarianceInfo& info : CovarianceStructures()) {
    for (const bool constrained : {false, true}) {
      StudentTOptions options{.covariance = info.covariance};
      options.prior = Shrinking(0.5);
      const auto model = Mixture(options, 3, data, constrained ? means : ConstraintOptions());
      const Table table = data.ToTable();
      const Theta theta = RandomTheta(*model, table, SummaryOf(table), 1);
      EXPECT_TRUE(ObjectiveNeverDecreases(*model, table, theta, 40)) << info.name;
      EXPECT_TRUE(StatisticsAddUp(*model, table, theta)) << info.name;
      EXPECT_TRUE(WeightsAreMultiplicities(
          *model, Data{.num_columns = 3, .values = data.values, .weights = {}}, theta))
          << info.name;
      if (!constrained) continue;
      const auto at = Array(model->parameters(), OneIteration(*model, table, theta), "means");
      EXPECT_EQ(at[1], 0.3);
      EXPECT_EQ(at[0], at[4]);
    }
  }
}

TEST(StudentTMixture, ClimbsWithTiedVariancesAndSharedTails) {
  const Data data = WithHoles(TwoTails(150, 5), 2);
  const Table table = data.ToTable();
  const ConstraintOptions tied{.fixed = {{"variances", {2}, {5}}}, .tied = {{"variances", {0, 4}}}};
  const auto model = Mixture(
      {.covariance = Covariance::kDiagonal, .shared_degrees_of_freedom = true}, 2, data, tied);
  const Theta theta = RandomTheta(*model, table, SummaryOf(table), 1);
  EXPECT_TRUE(ObjectiveNeverDecreases(*model, table, theta, 100));
  // Weight 1, means 6 - 1 more free element than no constraints: 6 variances - 1 fixed - 1 tied.
  EXPECT_EQ(model->degrees_of_freedom(theta), 1 + 6 + 4 + 1);
}

TEST(StudentTMixture, KeepsTheLawsOfThePass) {
  const Data data = TwoTails(200, 6);
  const Table table = data.ToTable();
  const Summary summary = SummaryOf(table);
  const auto model = Mixture({}, 2, data);
  const Theta theta = RandomTheta(*model, table, summary, 1);
  EXPECT_TRUE(EStepDoesNotAllocate(*model, table, theta));
  EXPECT_TRUE(ThreadsDoNotChangeBits(*model, table, summary));
  EXPECT_TRUE(RelabellingRelabels(*model, table, theta));
}

// Ten columns and clusters apart: rows are gathered.
TEST(StudentTAccumulate, GatheringRelevantRowsChangesNothing) {
  const Data data = Blobs(600, 10, 8, 30, 4);
  const auto emission = Make({.covariance = Covariance::kFull}, 8, data);
  const std::vector<double> params = RandomParameters(*emission, data, 1);
  EmissionProbe probe(*emission, data);
  std::vector<double> sparse(8 * probe.block().stride);
  for (int i = 0; i < 600; ++i) probe.at(sparse, i % 8, i) = 1 + 0.01 * i;
  const std::vector<double> gathered = probe.Statistics(params, sparse);
  // With tiny responsibilities everywhere else, all rows are read.
  std::vector<double> dense = sparse;
  for (int k = 0; k < 8; ++k) {
    for (int i = 0; i < 600; ++i) probe.at(dense, k, i) += 1e-20;
  }
  const std::vector<double> all = probe.Statistics(params, dense);
  for (size_t j = 0; j < all.size(); ++j) {
    EXPECT_NEAR(gathered[j], all[j], 1e-9 * (1 + std::abs(all[j]))) << j;
  }
}

TEST(StudentTFit, RecoversTheTruth) {
  const Data data = TwoTails(4000, 7);
  const auto model = Mixture({}, 2, data);
  FitOptions options;
  options.restarts = 2;
  const auto fit = FitModel(*model, data, options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kConverged) << fit->best.message;
  const auto nu = Array(model->parameters(), fit->theta, "degrees_of_freedom");
  const auto means = Array(model->parameters(), fit->theta, "means");
  const auto scales = Array(model->parameters(), fit->theta, "covariances");
  const int first = means[0] < 3 ? 0 : 1;
  EXPECT_NEAR(nu[first], 3, 0.4);
  EXPECT_NEAR(nu[1 - first], 8, 1.5);
  EXPECT_NEAR(means[3 * first], 0, 0.1);
  EXPECT_NEAR(means[3 * (1 - first)], 6, 0.15);
  // A A^T of the first.
  const double expected[] = {1, 0.5, 0, 0.5, 1.25, 0.3, 0, 0.3, 4.09};
  for (int j = 0; j < 9; ++j) EXPECT_NEAR(scales[9 * first + j], expected[j], 0.2) << j;
}

TEST(StudentTFit, IsWhereTheLikelihoodIsFlat) {
  // The gradient by every coordinate, by central differences of a log-likelihood computed by Infer.
  const Data data = WithHoles(TwoTails(200, 8), 3);
  const Table table = data.ToTable();
  const auto model = Mixture({.covariance = Covariance::kFull}, 2, data);
  FitOptions options;
  options.restarts = 1;
  options.relative_tolerance = 1e-14;
  options.max_iterations = 20000;
  const auto fit = FitModel(*model, data, options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  std::vector<double> coordinates(fit->theta.size());
  model->ToUnconstrained(fit->theta, coordinates);
  Theta at(fit->theta.size());
  for (size_t j = 2; j < coordinates.size(); ++j) {
    double value[2];
    for (const int side : {0, 1}) {
      std::vector<double> moved = coordinates;
      moved[j] += side == 0 ? -1e-4 : 1e-4;
      model->FromUnconstrained(moved, fit->theta, at);
      value[side] = LogLikelihood(*model, table, at);
    }
    EXPECT_NEAR((value[1] - value[0]) / 2e-4, 0, 0.02) << j;
  }
}

TEST(StudentTFit, WithFixedLargeDegreesOfFreedomIsTheGaussianFit) {
  const Data data = Faithful();
  const Table table = data.ToTable();
  FitOptions options;
  options.restarts = 2;
  options.relative_tolerance = 1e-12;
  const auto model =
      Mixture({.estimate_degrees_of_freedom = false, .degrees_of_freedom = 1e6}, 2, data);
  const auto gaussian =
      MakeMixture(MakeGaussian({}, 2, SummaryOf(table), table.names()).value()).value();
  const auto fit = FitModel(*model, data, options);
  const auto expected = FitModel(*gaussian, data, options);
  ASSERT_TRUE(fit.ok() && expected.ok());
  EXPECT_NEAR(fit->best.objective, expected->best.objective, 1e-2);
  for (size_t j = 0; j < expected->theta.size(); ++j) {
    EXPECT_NEAR(fit->theta[j], expected->theta[j], 1e-3 * (1 + std::abs(expected->theta[j])));
  }
  EXPECT_EQ(model->degrees_of_freedom(fit->theta), gaussian->degrees_of_freedom(expected->theta));
  EXPECT_TRUE(fit->repairs.empty());
}

TEST(StudentTFit, IgnoresOutliersThatPullAGaussian) {
  Data data = Blobs(400, 2, 1, 0, 5);
  for (int i = 0; i < 12; ++i) data.values.insert(data.values.end(), {1e4, 1e4});
  const auto fit = FitModel(*Mixture({}, 1, data), data, {});
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_NEAR(fit->theta[1], 0, 0.3);
  EXPECT_NEAR(fit->theta[2], 0, 0.3);
}

TEST(StudentTTails, StopAtTheirBoundsAndSaySo) {
  // Uniform rows: tails lighter than any t's.
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  for (int i = 0; i < 500; ++i) data.values.push_back(i);
  const auto model = Mixture({.maximum_degrees_of_freedom = 50}, 1, data);
  const auto fit = FitModel(*model, data, {});
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kConverged);
  EXPECT_EQ(fit->theta.back(), 50);
  ASSERT_EQ(fit->repairs.size(), 1u);
  EXPECT_EQ(fit->repairs[0].reason, kDegreesOfFreedomBounded);
  EXPECT_EQ(fit->repairs[0].component, 0);
  EXPECT_EQ(fit->repairs[0].amount, 50);

  const Data heavy = TwoTails(300, 4);
  const auto shared = Mixture({.shared_degrees_of_freedom = true,
                               .degrees_of_freedom = 20,
                               .minimum_degrees_of_freedom = 15},
                              2, heavy);
  const auto bounded = FitModel(*shared, heavy, {});
  ASSERT_TRUE(bounded.ok()) << bounded.status();
  EXPECT_EQ(bounded->theta.back(), 15);
  ASSERT_EQ(bounded->repairs.size(), 1u);
  EXPECT_EQ(bounded->repairs[0].component, -1);
}

TEST(StudentTTails, FarRowsLeaveStatisticsFinite) {
  Data data = Blobs(50, 2, 1, 0, 5);
  data.values.insert(data.values.end(), {1e12, -1e12, 1e100, 1e100});
  const auto emission = Make({.ridge = 0}, 1, data);
  EmissionProbe probe(*emission, data);
  const std::vector<double> params = {0, 0, 1, 0, 0, 1, 4};
  for (const double value : probe.LogDensity(params)) EXPECT_TRUE(std::isfinite(value));
  for (const double sum : probe.Statistics(params, probe.RandomResponsibilities(1))) {
    EXPECT_TRUE(std::isfinite(sum));
  }
}

TEST(StudentTTails, AnEmptyComponentKeepsItsOwn) {
  const Data data = TwoTails(40, 3);
  const auto emission = Make({}, 3, data);
  const std::vector<double> params = RandomParameters(*emission, data, 2);
  EmissionProbe probe(*emission, data);
  std::vector<double> r = probe.RandomResponsibilities(2);
  for (int i = 0; i < 80; ++i) probe.at(r, 1, i) = 0;
  std::vector<Repair> repairs;
  const std::vector<double> next =
      probe.Maximize(params, probe.Occupancy(r), probe.Statistics(params, r), &repairs);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kComponentEmpty);
  EXPECT_EQ(repairs[0].component, 1);
  EXPECT_EQ(next[next.size() - 2], params[params.size() - 2]);
  EXPECT_NE(next.back(), params.back());
  for (int j = 3; j < 6; ++j) EXPECT_EQ(next[j], params[j]);
}

TEST(StudentTTails, CountForTheComponentsThatAreLeft) {
  const Data data = TwoTails(40, 3);
  const auto emission = Make({}, 3, data);
  const auto constraints = Constraints::Make(
      emission->parameters(),
      {.fixed = {{.array = "degrees_of_freedom", .elements = {1}, .values = {7}}}, .tied = {}});
  const int64_t of_one = (emission->degrees_of_freedom({true, true, true}) - 3) / 3;
  ASSERT_TRUE(emission->Constrain(*constraints).ok());
  EXPECT_EQ(emission->degrees_of_freedom({true, true, true}), 3 * of_one + 2);
  EXPECT_EQ(emission->degrees_of_freedom({true, true, false}), 2 * of_one + 1);
  EXPECT_EQ(emission->degrees_of_freedom({false, true, false}), of_one);
}

TEST(StudentTOptions, AreChecked) {
  const Data data = TwoTails(20, 1);
  const Table table = data.ToTable();
  const auto message = [&](const StudentTOptions& options) {
    const auto made = MakeStudentT(options, 2, SummaryOf(table), table.names());
    return made.ok() ? std::string() : std::string(made.status().message());
  };
  EXPECT_EQ(message({}), "");
  EXPECT_THAT(message({.ridge = NAN}), HasSubstr("ridge: got nan, must be in [0, 1)"));
  EXPECT_THAT(message({.estimate_degrees_of_freedom = false}),
              HasSubstr("degrees_of_freedom: got none, must be given"));
  EXPECT_THAT(message({.degrees_of_freedom = NAN}), HasSubstr("degrees_of_freedom: got nan"));
  EXPECT_THAT(message({.degrees_of_freedom = 2e6}),
              HasSubstr("degrees_of_freedom: got 2e+06, must be in [0.1, 1e+06]"));
  // Starts keep within the bounds.
  EXPECT_EQ(message({.minimum_degrees_of_freedom = 31}), "");
  EXPECT_EQ(message({.maximum_degrees_of_freedom = 5}), "");
  EXPECT_THAT(message({.minimum_degrees_of_freedom = 0}),
              HasSubstr("minimum_degrees_of_freedom: got 0"));
  EXPECT_THAT(message({.maximum_degrees_of_freedom = INFINITY}),
              HasSubstr("maximum_degrees_of_freedom: got inf, must be finite and at least 0.1"));
  NormalInverseWishart prior;
  prior.shrinkage = -1;
  EXPECT_THAT(message({.prior = prior}), HasSubstr("prior.shrinkage: got -1"));
}

TEST(StudentTParameters, AreChecked) {
  const Data data = TwoTails(20, 1);
  const auto emission = Make({.covariance = Covariance::kSpherical}, 2, data);
  std::vector<double> params = {0, 0, 0, 1, 1, 1, 1, 2, 3, 4};
  EXPECT_TRUE(emission->Validate(params).ok());
  for (const double bad : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    params[9] = bad;
    EXPECT_THAT(std::string(emission->Validate(params).message()),
                HasSubstr("degrees_of_freedom[1]: got "));
  }
  params[9] = 4;
  params[7] = -2;
  EXPECT_THAT(std::string(emission->Validate(params).message()), HasSubstr("variances[1]: got -2"));
}

TEST(StudentTConstraints, AreChecked) {
  const Data data = TwoTails(20, 1);
  const auto message = [&](const StudentTOptions& options, const ConstraintOptions& constraints) {
    const auto made = MakeMixture(Make(options, 2, data), {.constraints = constraints});
    return made.ok() ? std::string() : std::string(made.status().message());
  };
  const ConstraintOptions fixed{.fixed = {{"degrees_of_freedom", {0}, {-4}}}, .tied = {}};
  EXPECT_THAT(message({}, fixed),
              HasSubstr("constraints: got degrees_of_freedom[0] fixed at -4, must be in"));
  const ConstraintOptions tied{.fixed = {}, .tied = {{"degrees_of_freedom", {}}}};
  EXPECT_EQ(message({}, tied), "");
  EXPECT_THAT(message({.estimate_degrees_of_freedom = false, .degrees_of_freedom = 4}, tied),
              HasSubstr("must be none where they are not estimated"));
}

TEST(StudentTConstraints, TiedTailsAreTheSharedTails) {
  const Data data = TwoTails(200, 9);
  const ConstraintOptions tied{.fixed = {}, .tied = {{"degrees_of_freedom", {}}}};
  FitOptions options;
  options.restarts = 1;
  const auto a = FitModel(*Mixture({}, 2, data, tied), data, options);
  const auto model = Mixture({.shared_degrees_of_freedom = true}, 2, data);
  const auto b = FitModel(*model, data, options);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->best.objective, b->best.objective);
  EXPECT_EQ(a->theta.back(), b->theta.back());
  EXPECT_EQ(a->theta[a->theta.size() - 2], b->theta.back());
}

}  // namespace
}  // namespace emserve::testing
