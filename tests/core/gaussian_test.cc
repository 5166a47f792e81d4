// The Gaussian emission: closed forms, floors, hard numbers and what it refuses.
#include "core/emission/gaussian.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "core/em/fit.h"
#include "core/families.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;

constexpr Covariance kAll[] = {Covariance::kFull,      Covariance::kTied,
                               Covariance::kDiagonal,  Covariance::kTiedDiagonal,
                               Covariance::kSpherical, Covariance::kTiedSpherical};

ModelOptions Options(int num_components, Covariance covariance, double ridge = 1e-9) {
  return MixtureOptions{num_components, GaussianOptions{covariance, ridge}};
}

std::vector<double> Array(const Model& model, const Theta& theta, const std::string& name) {
  const ArraySpec* const array = model.parameters().Find(name);
  if (array == nullptr) {
    ADD_FAILURE() << "no array " << name;
    return {};
  }
  const auto view = Layout::View(theta, *array);
  return {view.begin(), view.end()};
}

struct Moments {
  std::vector<double> mean;
  std::vector<double> covariance;  // divided by n
};

Moments MomentsOf(const Data& data) {
  const int d = data.num_columns;
  const double n = static_cast<double>(data.num_rows());
  Moments moments{std::vector<double>(d), std::vector<double>(static_cast<size_t>(d) * d)};
  for (size_t i = 0; i < data.values.size(); ++i) moments.mean[i % d] += data.values[i] / n;
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    for (int a = 0; a < d; ++a) {
      for (int b = 0; b < d; ++b) {
        moments.covariance[a * d + b] += (data.values[i * d + a] - moments.mean[a]) *
                                         (data.values[i * d + b] - moments.mean[b]) / n;
      }
    }
  }
  return moments;
}

TEST(GaussianOneComponent, IsTheClosedForm) {
  const Data iris = Iris();
  const Moments expected = MomentsOf(iris);
  double mean_variance = 0;
  for (int c = 0; c < 4; ++c) mean_variance += expected.covariance[c * 5] / 4;
  for (const Covariance covariance : kAll) {
    FitOptions options;
    options.restarts = 1;
    const auto fit = FitData(Options(1, covariance), iris, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    const Subject subject = MakeSubject(Options(1, covariance), iris);
    const auto means = Array(*subject.model, fit->theta, "means");
    for (int c = 0; c < 4; ++c) EXPECT_NEAR(means[c], expected.mean[c], 1e-13);
    if (covariance == Covariance::kFull || covariance == Covariance::kTied) {
      const auto covariances = Array(*subject.model, fit->theta, "covariances");
      ASSERT_EQ(covariances.size(), 16u);
      for (int j = 0; j < 16; ++j) EXPECT_NEAR(covariances[j], expected.covariance[j], 1e-13);
    } else {
      const auto variances = Array(*subject.model, fit->theta, "variances");
      for (size_t j = 0; j < variances.size(); ++j) {
        EXPECT_NEAR(variances[j],
                    variances.size() == 1 ? mean_variance : expected.covariance[j * 5], 1e-13);
      }
    }
  }
}

TEST(GaussianOneComponent, HasTheTextbookLogLikelihood) {
  // n/2 (D log 2 pi + log det S + D) with S divided by n; for one column det S is the variance.
  const Data galaxies = GalaxiesInThousands();
  const double variance = MomentsOf(galaxies).covariance[0];
  const double expected = -82 / 2.0 * (std::log(2 * std::numbers::pi) + std::log(variance) + 1);
  for (const Covariance covariance : kAll) {
    const auto fit = FitData(Options(1, covariance), galaxies, {});
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_NEAR(fit->objective, expected, 1e-10);
  }
}

TEST(GaussianShapes, AreTheDocumentedOnes) {
  const auto shape = [](Covariance covariance, const std::string& name) {
    const Subject subject = MakeSubject(Options(3, covariance), Iris());
    return subject.model->parameters().Find(name)->shape;
  };
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(shape(Covariance::kFull, "weights"), Shape({3}));
  EXPECT_EQ(shape(Covariance::kFull, "means"), Shape({3, 4}));
  EXPECT_EQ(shape(Covariance::kFull, "covariances"), Shape({3, 4, 4}));
  EXPECT_EQ(shape(Covariance::kTied, "covariances"), Shape({4, 4}));
  EXPECT_EQ(shape(Covariance::kDiagonal, "variances"), Shape({3, 4}));
  EXPECT_EQ(shape(Covariance::kTiedDiagonal, "variances"), Shape({4}));
  EXPECT_EQ(shape(Covariance::kSpherical, "variances"), Shape({3}));
  EXPECT_EQ(shape(Covariance::kTiedSpherical, "variances"), Shape({1}));
}

TEST(GaussianFull, EqualsDiagonalOnDiagonalData) {
  // Two far clusters, each the corners of a box, so no column says anything about another.
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (const double centre : {0.0, 100.0}) {
    for (const double x : {-1.0, 1.0}) {
      for (const double y : {-2.0, 2.0}) {
        data.values.insert(data.values.end(), {centre + x, centre + y});
      }
    }
  }
  const auto full = FitData(Options(2, Covariance::kFull), data, {});
  const auto diagonal = FitData(Options(2, Covariance::kDiagonal), data, {});
  const auto tied = FitData(Options(2, Covariance::kTied), data, {});
  const auto tied_diagonal = FitData(Options(2, Covariance::kTiedDiagonal), data, {});
  ASSERT_TRUE(full.ok() && diagonal.ok() && tied.ok() && tied_diagonal.ok());
  EXPECT_NEAR(full->objective, diagonal->objective, 1e-9);
  EXPECT_NEAR(full->objective, tied->objective, 1e-9);
  EXPECT_NEAR(full->objective, tied_diagonal->objective, 1e-9);
}

// A prior with a scale says what the variance of a column without spread is: with 1 on its diagonal
// 1 / (rows + degrees + D + 1) where all rows are in one component.
TEST(GaussianPrior, MakesUpForAColumnWithoutSpread) {
  Random random(3, 0);
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 40; ++i) {
    data.values.insert(data.values.end(), {715.0, random.Normal() + i / 20 * 4});
  }
  const Summary summary = SummaryOf(data.ToTable());
  for (const Covariance covariance :
       {Covariance::kFull, Covariance::kDiagonal, Covariance::kTied, Covariance::kTiedDiagonal}) {
    for (const int num_components : {1, 2}) {
      GaussianOptions gaussian{covariance};
      gaussian.prior = NormalInverseWishart{
          .mean = {}, .shrinkage = 0, .degrees_of_freedom = 5, .scale = {1, 0, 0, 1}};
      const auto fit = FitData(MixtureOptions{num_components, gaussian}, data, {});
      ASSERT_TRUE(fit.ok()) << fit.status();
      EXPECT_EQ(fit->best.termination, Termination::kConverged);
      EXPECT_TRUE(fit->repairs.empty());
      EXPECT_TRUE(std::isfinite(fit->objective));
      EXPECT_NEAR(fit->theta[num_components], 715, 1e-9);
      if (num_components == 2) continue;
      EXPECT_NEAR(fit->theta[3], 1.0 / (40 + 5 + 3), 1e-12);
    }
    GaussianOptions by_columns{covariance};
    by_columns.prior = NormalInverseWishart{};
    EXPECT_TRUE(absl::IsFailedPrecondition(
        MakeModel(MixtureOptions{1, by_columns}, summary, {"x", "y"}).status()));
  }
}

TEST(GaussianOneColumn, StructuresCoincide) {
  const Data galaxies = GalaxiesInThousands();
  FitOptions options;
  options.restarts = 5;
  options.relative_tolerance = 1e-13;
  const auto objective = [&](Covariance covariance) {
    return FitData(Options(3, covariance), galaxies, options)->objective;
  };
  const double own = objective(Covariance::kSpherical);
  EXPECT_NEAR(objective(Covariance::kFull), own, 1e-8);
  EXPECT_NEAR(objective(Covariance::kDiagonal), own, 1e-8);
  const double shared = objective(Covariance::kTiedSpherical);
  EXPECT_NEAR(objective(Covariance::kTied), shared, 1e-8);
  EXPECT_NEAR(objective(Covariance::kTiedDiagonal), shared, 1e-8);
  EXPECT_GT(own, shared);
}

TEST(GaussianPrecision, ClustersFarApartKeepTheirOwnVariances) {
  // 2e7 standard deviations between the clusters: raw second moments would lose every digit.
  Random random(2, 0);
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  Data right{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 400; ++i) {
    for (int c = 0; c < 2; ++c) {
      const double value = (i < 200 ? 0 : 1e7) + 0.5 * random.Normal();
      data.values.push_back(value);
      if (i >= 200) right.values.push_back(value);
    }
  }
  const Moments expected = MomentsOf(right);
  const ModelOptions options = Options(2, Covariance::kFull, 0);
  const auto fit = FitData(options, data, {});
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kConverged) << fit->best.message;
  const Subject subject = MakeSubject(options, data);
  const auto means = Array(*subject.model, fit->theta, "means");
  const auto covariances = Array(*subject.model, fit->theta, "covariances");
  const int k = means[0] > 5e6 ? 0 : 1;
  for (int j = 0; j < 4; ++j) EXPECT_NEAR(covariances[k * 4 + j], expected.covariance[j], 1e-8);
}

// Clusters so far apart that most responsibilities vanish, though not all that are small: the sums
// are those over all rows.
TEST(GaussianAccumulate, LeavesNothingOutThatCounts) {
  for (const int num_columns : {8, 11}) {
    Data data = Blobs(517, num_columns, 7, 2.5, 3);
    for (int64_t i = 0; i < 517; ++i) data.weights.push_back(0.5 + static_cast<double>(i % 3));
    for (const Covariance covariance :
         {Covariance::kFull, Covariance::kTied, Covariance::kDiagonal}) {
      const Subject subject = MakeSubject(Options(7, covariance), data);
      FitOptions options;
      options.restarts = 1;
      options.max_iterations = 3;
      const Theta theta = FitData(Options(7, covariance), data, options)->theta;
      const auto prepared = subject.model->NewPrepared();
      const auto workspace = subject.model->NewWorkspace(517);
      ASSERT_TRUE(subject.model->Prepare(theta, *prepared).ok());
      BlockBuffer buffer(517, num_columns);
      const Block block = subject.table.Read(0, 517, buffer);
      std::vector<double> statistics(subject.model->statistics().size());
      subject.model->EStep(*prepared, block, {}, *workspace, statistics);
      std::vector<double> posterior(static_cast<size_t>(7 * block.stride));
      subject.model->Infer(*prepared, block, *workspace, {.posterior = posterior.data()});

      const auto means = Array(*subject.model, theta, "means");
      const auto first = Layout::View(std::span<const double>(statistics),
                                      *subject.model->statistics().Find("first"));
      const auto second = Layout::View(std::span<const double>(statistics),
                                       *subject.model->statistics().Find("second"));
      double pooled = 0;
      for (int k = 0; k < 7; ++k) {
        double sum = 0;
        double square = 0;
        for (int i = 0; i < 517; ++i) {
          const double r = posterior[k * block.stride + i] * block.weights[i];
          const double deviation = block.column(3)[i] - means[k * num_columns + 3];
          sum += r * deviation;
          square += r * deviation * deviation;
        }
        pooled += square;
        EXPECT_NEAR(first[k * num_columns + 3], sum, 1e-9);
        if (covariance == Covariance::kDiagonal) {
          EXPECT_NEAR(second[k * num_columns + 3], square, 1e-12 * square);
        } else if (covariance == Covariance::kFull) {
          EXPECT_NEAR(second[(k * num_columns + 3) * num_columns + 3], square, 1e-12 * square);
        }
      }
      if (covariance == Covariance::kTied) {
        EXPECT_NEAR(second[3 * num_columns + 3], pooled, 1e-12 * pooled);
      }
    }
  }
}

// The constrained maximum of one component: the sample covariance with eigenvalues raised.
TEST(GaussianFloor, ActsOnScaledEigenvaluesAndIsReported) {
  // Second column = first but for 1e-3 of noise: one eigenvalue of the correlation is about 5e-7.
  Random random(3, 0);
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 500; ++i) {
    const double x = random.Normal();
    data.values.insert(data.values.end(), {x, 1e3 * (x + 1e-3 * random.Normal())});
  }
  const double ridge = 1e-3;
  for (const Covariance covariance : {Covariance::kFull, Covariance::kTied}) {
    FitOptions options;
    options.restarts = 1;
    const auto fit = FitData(Options(1, covariance, ridge), data, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_EQ(fit->best.termination, Termination::kDegenerate);
    ASSERT_EQ(fit->repairs.size(), 1u);
    EXPECT_EQ(fit->repairs[0].reason, kVarianceFloored);
    EXPECT_EQ(fit->repairs[0].component, covariance == Covariance::kFull ? 0 : -1);
    const Subject subject = MakeSubject(Options(1, covariance, ridge), data);
    const auto s = Array(*subject.model, fit->theta, "covariances");
    const Moments sample = MomentsOf(data);
    const double sd0 = std::sqrt(sample.covariance[0]);
    const double sd1 = std::sqrt(sample.covariance[3]);
    const double a = s[0] / (sd0 * sd0);
    const double b = s[1] / (sd0 * sd1);
    const double c = s[3] / (sd1 * sd1);
    const double spread = std::sqrt((a - c) * (a - c) / 4 + b * b);
    const double r = sample.covariance[1] / (sd0 * sd1);
    EXPECT_NEAR((a + c) / 2 - spread, ridge, 1e-12);
    EXPECT_NEAR((a + c) / 2 + spread, 1 + r, 1e-12) << "the large eigenvalue is left alone";
    EXPECT_NEAR(fit->repairs[0].amount, s[3] - sample.covariance[3], 1e-9 * s[3]);
  }
}

TEST(GaussianFloor, ActsElementwiseOnVariances) {
  // Two far clusters; in the first the values of the second column are all equal.
  const Data data{.num_columns = 2,
                  .values = {0, 0, 1, 0, 2, 0, 3, 0, 0, 1000, 1, 1001, 2, 1002, 3, 1003},
                  .weights = {}};
  const double ridge = 1e-6;
  FitOptions options;
  options.restarts = 1;  // other restarts may find an optimum away from the floor
  const auto fit = FitData(Options(2, Covariance::kDiagonal, ridge), data, options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kDegenerate);
  ASSERT_EQ(fit->repairs.size(), 1u);
  const int k = fit->repairs[0].component;
  const Subject subject = MakeSubject(Options(2, Covariance::kDiagonal, ridge), data);
  const auto variances = Array(*subject.model, fit->theta, "variances");
  EXPECT_DOUBLE_EQ(variances[2 * k + 1], ridge * MomentsOf(data).covariance[3]);
  EXPECT_NEAR(variances[2 * k], 1.25, 1e-6);
  EXPECT_NEAR(fit->repairs[0].amount, variances[2 * k + 1], 1e-9);
}

TEST(GaussianFloor, KeepsEmMonotoneWhenItActs) {
  // Duplicated rows, so that components collapse onto them.
  Random random(4, 0);
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 60; ++i) {
    const bool duplicate = i % 2 == 0;
    data.values.push_back(duplicate ? 3 : random.Normal());
    data.values.push_back(duplicate ? -1 : random.Normal());
  }
  for (const Covariance covariance : kAll) {
    for (const double ridge : {1e-2, 1e-6, 1e-9}) {
      const Subject subject = MakeSubject(Options(3, covariance, ridge), data);
      for (uint64_t seed = 0; seed < 4; ++seed) {
        const Theta start = RandomTheta(*subject.model, subject.table, subject.summary, seed);
        EXPECT_TRUE(ObjectiveNeverDecreases(*subject.model, subject.table, start, 150))
            << static_cast<int>(covariance) << " " << ridge;
      }
    }
  }
}

// Rounding of a variance at its floor is most of what such a covariance has in one direction: the
// objective moves by far more than 1e-9 of itself, up and down.
TEST(GaussianFloor, CollinearColumnsAreDegenerateAndNotADecrease) {
  for (const int num_columns : {2, 5, 20}) {
    for (const int64_t num_rows : {60, 600}) {
      Random random(5, static_cast<uint64_t>(num_columns));
      Data data{.num_columns = num_columns, .values = {}, .weights = {}};
      const int num_free = (num_columns + 1) / 2;
      for (int64_t i = 0; i < num_rows; ++i) {
        std::vector<double> row(num_columns);
        for (int c = 0; c < num_columns; ++c) {
          row[c] = c < num_free ? random.Normal() : 7 + 3 * row[c - num_free];
        }
        data.values.insert(data.values.end(), row.begin(), row.end());
      }
      for (const int num_components : {1, 3}) {
        for (const Covariance covariance : {Covariance::kFull, Covariance::kTied}) {
          FitOptions options;
          options.restarts = 2;
          options.max_iterations = 150;
          const auto fit = FitData(Options(num_components, covariance), data, options);
          ASSERT_TRUE(fit.ok()) << fit.status();
          for (const RestartOutcome& restart : fit->restarts) {
            EXPECT_NE(restart.termination, Termination::kObjectiveDecreased)
                << num_columns << " columns, " << num_rows << " rows, " << num_components
                << " components: " << restart.message;
          }
          if (num_components == 1) {
            EXPECT_EQ(fit->best.termination, Termination::kDegenerate) << fit->best.message;
            EXPECT_LE(fit->best.iterations, 20);
          }
        }
      }
    }
  }
}

// Fewer rows than columns in every component: floored by way of a low rank.
TEST(GaussianFloor, HandlesFewerRowsThanColumns) {
  const Data data = Blobs(120, 60, 4, 1, 6);
  for (const Covariance covariance : {Covariance::kFull, Covariance::kTied}) {
    const Subject subject = MakeSubject(Options(6, covariance), data);
    const auto fit = FitData(Options(6, covariance), data, {});
    ASSERT_TRUE(fit.ok()) << fit.status();
    for (const RestartOutcome& restart : fit->restarts) {
      EXPECT_NE(restart.termination, Termination::kObjectiveDecreased) << restart.message;
    }
    EXPECT_TRUE(subject.model->Validate(fit->theta).ok());
  }
}

TEST(GaussianFloor, LeavesColumnsOfAnyScaleToStructuresWithCommonAxes) {
  Random random(5, 0);
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 60; ++i) {
    const double x = random.Normal();
    data.values.insert(data.values.end(), {x, 1e5 * (x + random.Normal())});
  }
  const auto fit = [&](Covariance covariance) {
    const auto result = FitData(Options(1, covariance), data, FitOptions());
    EXPECT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->best.termination, Termination::kConverged);
    EXPECT_TRUE(result->repairs.empty());
    return result->objective;
  };
  const double full = fit(Covariance::kFull);
  for (const Covariance covariance : {Covariance::kVEE, Covariance::kEVE, Covariance::kVVE,
                                      Covariance::kEEV, Covariance::kVEV, Covariance::kEVV}) {
    EXPECT_NEAR(fit(covariance), full, 1e-6) << static_cast<int>(covariance);
  }
  const double diagonal = fit(Covariance::kDiagonal);
  for (const Covariance covariance : {Covariance::kVEI, Covariance::kEVI}) {
    EXPECT_NEAR(fit(covariance), diagonal, 1e-6) << static_cast<int>(covariance);
  }
}

TEST(GaussianFloor, WithoutOneACollapseFailsTheRestartAndNamesTheRemedy) {
  const Data data{.num_columns = 1, .values = {0, 0, 0, 10, 11, 12}, .weights = {}};
  FitOptions options;
  options.restarts = 1;
  for (const Covariance covariance : {Covariance::kFull, Covariance::kSpherical}) {
    const absl::Status status = FitData(Options(2, covariance, 0), data, options).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("ridge"));
  }
}

TEST(GaussianMaximize, KeepsOldParametersWhenAComponentIsEmpty) {
  for (const Covariance covariance : kAll) {
    const Subject subject = MakeSubject(Options(2, covariance), Faithful());
    Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
    theta[0] = 0;
    theta[1] = 1;
    const std::vector<double> means = Array(*subject.model, theta, "means");
    std::vector<double> stats(subject.model->statistics().size());
    const auto prepared = subject.model->NewPrepared();
    const auto workspace = subject.model->NewWorkspace(272);
    BlockBuffer buffer(272, 2);
    ASSERT_TRUE(subject.model->Prepare(theta, *prepared).ok());
    subject.model->EStep(*prepared, subject.table.Read(0, 272, buffer), {}, *workspace, stats);
    // No row at all, and less than rounding leaves: the tiny sums must not move the mean by 3.
    for (const double occupancy : {0.0, 1e-13}) {
      stats[0] = occupancy;
      stats[2] = stats[3] = 3 * occupancy;
      Theta next(theta.size());
      std::vector<Repair> repairs;
      ASSERT_TRUE(subject.model->MStep(theta, stats, next, {repairs, {}}).ok());
      ASSERT_EQ(repairs.size(), 1u);
      EXPECT_EQ(repairs[0].reason, kComponentEmpty);
      EXPECT_EQ(repairs[0].component, 0);
      EXPECT_NEAR(next[0], 0, 1e-15);
      EXPECT_NEAR(next[1], 1, 1e-15);
      const std::vector<double> next_means = Array(*subject.model, next, "means");
      EXPECT_EQ(next_means[0], means[0]);
      EXPECT_EQ(next_means[1], means[1]);
      EXPECT_NE(next_means[2], means[2]);
      EXPECT_TRUE(subject.model->Validate(next).ok());
    }
  }
}

// Two components on Faithful of which the first has no row, after an M-step.
struct OneEmpty {
  OneEmpty(const GaussianOptions& gaussian, const ConstraintOptions& constraints)
      : subject(MakeSubject(
            MixtureOptions{.num_components = 2, .emission = gaussian, .constraints = constraints},
            Faithful())),
        theta(RandomTheta(*subject.model, subject.table, subject.summary, 1)),
        stats(subject.model->statistics().size()),
        next(theta.size()) {
    theta[0] = 0;
    theta[1] = 1;
    for (const TiedElements& tied : constraints.tied) {
      const int64_t offset = subject.model->parameters().Find(tied.array)->offset;
      const double value = 1.1 * theta[offset + tied.elements[1]];  // not the closed form already
      theta[offset + tied.elements[0]] = theta[offset + tied.elements[1]] = value;
    }
    const auto prepared = subject.model->NewPrepared();
    const auto workspace = subject.model->NewWorkspace(272);
    BlockBuffer buffer(272, 2);
    EXPECT_TRUE(subject.model->Prepare(theta, *prepared).ok());
    subject.model->EStep(*prepared, subject.table.Read(0, 272, buffer), {}, *workspace, stats);
    std::vector<Repair> repairs;
    EXPECT_TRUE(subject.model->MStep(theta, stats, next, {repairs, {}}).ok());
  }

  double Q(const Theta& at) const {
    return subject.model->ExpectedLogDensity(theta, stats, at) + subject.model->LogPrior(at);
  }
  // Whether Q is highest at `at` among factors of `elements`.
  bool IsHighest(const Theta& at, const std::vector<size_t>& elements) const {
    for (const double factor : {0.999, 1.001}) {
      Theta moved = at;
      for (const size_t e : elements) moved[e] *= factor;
      if (!(Q(moved) < Q(at))) return false;
    }
    return true;
  }

  const Subject subject;
  Theta theta;
  std::vector<double> stats;
  Theta next;
};

TEST(GaussianMaximize, KeepsATieWithTheMeanOfAnEmptyComponent) {
  for (const Covariance covariance : kAll) {
    const OneEmpty fit({.covariance = covariance},
                       {.fixed = {}, .tied = {{.array = "means", .elements = {0, 2}}}});
    EXPECT_NE(fit.next[4], fit.theta[4]);
    EXPECT_EQ(fit.next[2], fit.next[4]) << "tied";
    EXPECT_EQ(fit.next[3], fit.theta[3]) << "its own";
  }
}

TEST(GaussianPrior, LeavesAnEmptyComponentAsItIs) {
  for (const Covariance covariance :
       {Covariance::kFull, Covariance::kDiagonal, Covariance::kSpherical}) {
    GaussianOptions gaussian{.covariance = covariance};
    gaussian.prior = NormalInverseWishart{{}, 5, {}, {}};
    const OneEmpty fit(gaussian, {});
    const size_t of_component = (fit.theta.size() - 6) / 2;
    for (size_t e = 2; e < 6 + 2 * of_component; ++e) {
      const bool empty = e < 6 ? e < 4 : e < 6 + of_component;
      if (empty) {
        EXPECT_EQ(fit.next[e], fit.theta[e]);
      } else {
        EXPECT_NE(fit.next[e], fit.theta[e]);
      }
    }
  }
}

// What an empty component's prior says of parameters that others move counts.
TEST(GaussianPrior, CountsForWhatAnEmptyComponentShares) {
  GaussianOptions gaussian;
  gaussian.prior = NormalInverseWishart{{100, -100}, 5, {}, {}};
  for (const Covariance covariance :
       {Covariance::kTied, Covariance::kTiedDiagonal, Covariance::kTiedSpherical}) {
    gaussian.covariance = covariance;
    const OneEmpty fit(gaussian, {});
    std::vector<size_t> covariances;
    for (size_t e = 6; e < fit.theta.size(); ++e) covariances.push_back(e);
    EXPECT_TRUE(fit.IsHighest(fit.next, covariances)) << static_cast<int>(covariance);
  }
  gaussian.covariance = Covariance::kDiagonal;
  const OneEmpty variances(gaussian,
                           {.fixed = {}, .tied = {{.array = "variances", .elements = {0, 2}}}});
  EXPECT_EQ(variances.next[6], variances.next[8]);
  EXPECT_EQ(variances.next[7], variances.theta[7]) << "its own";
  EXPECT_TRUE(variances.IsHighest(variances.next, {6, 8}));
  for (const Covariance covariance : {Covariance::kFull, Covariance::kDiagonal}) {
    gaussian.covariance = covariance;
    const OneEmpty means(gaussian, {.fixed = {}, .tied = {{.array = "means", .elements = {0, 2}}}});
    EXPECT_EQ(means.next[3], means.theta[3]) << "its own";
    // Means are maximised under the old covariances.
    Theta at = means.next;
    std::copy(means.theta.begin() + 6, means.theta.end(), at.begin() + 6);
    EXPECT_TRUE(means.IsHighest(at, {2, 4})) << static_cast<int>(covariance);
  }
}

TEST(GaussianPrior, TakesNoMatricesWhereColumnsAreIndependent) {
  // A matrix of so many columns would have 128 GiB.
  const int num_columns = 1 << 17;
  Summary summary;
  summary.num_rows = summary.num_weighted_rows = 100;
  summary.total_weight = 100;
  summary.mean.assign(num_columns, 1.0);
  summary.variance.assign(num_columns, 4.0);
  summary.minimum.assign(num_columns, -9.0);
  summary.maximum.assign(num_columns, 9.0);
  for (const Covariance covariance : {Covariance::kDiagonal, Covariance::kSpherical}) {
    GaussianOptions gaussian{.covariance = covariance};
    gaussian.prior = NormalInverseWishart{};
    MixtureOptions options{.num_components = 2, .emission = gaussian};
    options.constraints.fixed = {{.array = "means", .elements = {0}, .values = {1}}};
    const auto model =
        MakeModel(options, summary, std::vector<std::string>(num_columns, "x")).value();
    Theta theta(model->parameters().size());
    model->Reference(summary, theta);
    // Half of the variances is the default scale's share, (D + 2) + D + 1 and 1 the exponents.
    const double per_cell =
        -0.5 * ((2.0 * num_columns + 4) * std::log(4.0) + std::pow(2, -2.0 / num_columns));
    EXPECT_NEAR(model->LogPrior(theta), 2 * num_columns * per_cell, 1e-9 * -per_cell * num_columns);
    std::vector<double> stats(model->statistics().size());
    model->ExpectedStatistics(theta, 100, 1, stats);
    Theta next(theta.size());
    std::vector<Repair> repairs;
    ASSERT_TRUE(model->MStep(theta, stats, next, {repairs, {}}).ok());
    EXPECT_EQ(next[2], 1);
    EXPECT_LT(next.back(), 4);
  }
}

TEST(GaussianConstraints, ATieAcrossColumnsKeepsTheFloorOfEach) {
  const Subject subject = MakeSubject(
      MixtureOptions{
          .num_components = 1,
          .emission = GaussianOptions{.covariance = Covariance::kDiagonal, .ridge = 1e-3},
          .constraints = {.fixed = {}, .tied = {{.array = "variances", .elements = {0, 1}}}}},
      Faithful());
  const Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
  const double floor = 1e-3 * subject.summary.variance[1];
  ASSERT_GT(floor, 100e-3 * subject.summary.variance[0]);
  Theta next(theta.size());
  std::vector<Repair> repairs;
  // Rows that are all at the mean.
  ASSERT_TRUE(
      subject.model->MStep(theta, std::vector<double>{272, 0, 0, 0, 0}, next, {repairs, {}}).ok());
  EXPECT_NEAR(next[3], floor, 1e-12 * floor);
  EXPECT_EQ(next[4], next[3]);
  Theta coordinates(theta.size());
  subject.model->ToUnconstrained(next, coordinates);
  coordinates[3] = coordinates[4] = -100;
  subject.model->FromUnconstrained(coordinates, theta, next);
  EXPECT_NEAR(next[3], floor, 1e-12 * floor);
}

TEST(GaussianDegreesOfFreedom, CountWhatIsFreeInTheComponentsThatAreLeft) {
  const auto count = [](Covariance covariance, const ConstraintOptions& constraints,
                        const std::vector<bool>& active) {
    const Summary summary = SummaryOf(Faithful().ToTable());
    auto emission = MakeGaussian({.covariance = covariance}, 3, summary, {"a", "b"}).value();
    const auto made = Constraints::Make(emission->parameters(), constraints);
    EXPECT_TRUE(emission->Constrain(*made).ok());
    return emission->degrees_of_freedom(active);
  };
  const ConstraintOptions means{.fixed = {{.array = "means", .elements = {0, 1}, .values = {1}}},
                                .tied = {{.array = "means", .elements = {2, 4}}}};
  for (const Covariance covariance : {Covariance::kFull, Covariance::kDiagonal}) {
    const int64_t own = covariance == Covariance::kFull ? 3 : 2;
    EXPECT_EQ(count(covariance, means, {true, true, true}), 3 + 3 * own);
    EXPECT_EQ(count(covariance, means, {true, true, false}), 2 + 2 * own);
    EXPECT_EQ(count(covariance, means, {false, true, true}), 3 + 2 * own);
    EXPECT_EQ(count(covariance, means, {true, false, false}), 0 + own);
  }
  const ConstraintOptions matrices{
      .fixed = {{.array = "covariances", .elements = {0, 1, 2, 3}, .values = {1, 0, 0, 1}}},
      .tied = {}};
  EXPECT_EQ(count(Covariance::kFull, matrices, {true, true, true}), 6 + 6);
  EXPECT_EQ(count(Covariance::kFull, matrices, {true, false, true}), 4 + 3);
  const ConstraintOptions variances{.fixed = {},
                                    .tied = {{.array = "variances", .elements = {0, 2}}}};
  EXPECT_EQ(count(Covariance::kDiagonal, variances, {true, true, true}), 6 + 5);
  EXPECT_EQ(count(Covariance::kDiagonal, variances, {false, true, true}), 4 + 4);
  EXPECT_EQ(count(Covariance::kTiedDiagonal, {}, {true, false, true}), 4 + 2);
}

TEST(GaussianMaximize, ObeysTheStopToken) {
  std::stop_source source;
  source.request_stop();
  for (const Covariance covariance : {Covariance::kFull, Covariance::kTied}) {
    const Subject subject = MakeSubject(Options(2, covariance), Faithful());
    const Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
    const std::vector<double> stats(subject.model->statistics().size(), 1.0);
    Theta next(theta.size());
    std::vector<Repair> repairs;
    const absl::Status status =
        subject.model->MStep(theta, stats, next, {repairs, source.get_token()});
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
  }
}

TEST(GaussianRefuses, ConstantColumnsByName) {
  const Data data{.num_columns = 2, .values = {1, 5, 2, 5, 3, 5}, .weights = {}};
  const Summary summary = SummaryOf(data.ToTable());
  for (const Covariance covariance : kAll) {
    const auto model = MakeModel(Options(1, covariance), summary, {"x", "waiting"});
    if (covariance == Covariance::kSpherical || covariance == Covariance::kTiedSpherical) {
      EXPECT_TRUE(model.ok()) << model.status();
      continue;
    }
    EXPECT_TRUE(absl::IsFailedPrecondition(model.status())) << model.status();
    EXPECT_THAT(std::string(model.status().message()), HasSubstr("waiting"));
  }
  const Data constant{.num_columns = 1, .values = {7, 7, 7}, .weights = {}};
  for (const Covariance covariance : kAll) {
    EXPECT_TRUE(absl::IsFailedPrecondition(
        MakeModel(Options(1, covariance), SummaryOf(constant.ToTable()), {"x"}).status()));
  }
}

// Three ways to have no spread, and only the first is a constant.
TEST(GaussianRefuses, ColumnsWithoutSpreadForTheRightReason) {
  Data constant{.num_columns = 1, .values = std::vector<double>(100, 1e15), .weights = {}};
  Data offset = constant;
  Data tiny{.num_columns = 1, .values = {}, .weights = {}};
  Random random(7, 0);
  for (double& value : offset.values) {
    value += 0.5 * random.Normal();
    tiny.values.push_back(1e-300 * random.Normal());
  }
  const auto message = [](const Data& data) {
    const absl::Status status =
        MakeModel(Options(1, Covariance::kSpherical), SummaryOf(data.ToTable()), {"x"}).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(message(constant), HasSubstr("columns[x]: got 1e+15 in every row, must vary"));
  EXPECT_THAT(message(constant), HasSubstr("give the covariances a prior with a scale"));
  EXPECT_THAT(message(offset), HasSubstr("values of about 1e+15 that vary by no more than their "
                                         "rounding (about 1)"));
  EXPECT_THAT(message(offset), HasSubstr("subtract a constant from the column"));
  EXPECT_THAT(message(tiny), HasSubstr("a variance of 0"));
  EXPECT_THAT(message(tiny), HasSubstr("rescale the column"));

  // Beside a column that varies all three are constants to a spherical covariance.
  for (const Data& data : {constant, offset, tiny}) {
    Data wide{.num_columns = 2, .values = {}, .weights = {}};
    for (const double value : data.values) {
      wide.values.insert(wide.values.end(), {value, random.Normal()});
    }
    const Summary summary = SummaryOf(wide.ToTable());
    const auto model = MakeModel(Options(1, Covariance::kSpherical), summary, {"x", "y"});
    EXPECT_TRUE(model.ok()) << model.status();
    EXPECT_FALSE(MakeModel(Options(1, Covariance::kDiagonal), summary, {"x", "y"}).ok());
  }
}

TEST(GaussianRefuses, ColumnsWhoseVarianceIsNoNumber) {
  const Data huge{.num_columns = 1, .values = {-1e149, 0, 1e149}, .weights = {}};
  const Data tiny{.num_columns = 1, .values = {-1e-149, 0, 1e-149}, .weights = {}};
  for (const Data& data : {huge, tiny}) {
    const absl::Status status =
        MakeModel(Options(1, Covariance::kFull), SummaryOf(data.ToTable()), {"x"}).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("columns[x]"));
  }
}

TEST(GaussianRefuses, BadRidges) {
  const Summary summary = SummaryOf(Faithful().ToTable());
  for (const double ridge : {-1e-9, 1.0, std::numeric_limits<double>::quiet_NaN()}) {
    const absl::Status status =
        MakeModel(Options(1, Covariance::kFull, ridge), summary, {"a", "b"}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("emission.ridge"));
  }
}

TEST(GaussianValidate, NamesTheOffendingEntry) {
  const Subject subject = MakeSubject(Options(2, Covariance::kFull), Faithful());
  const Theta good = RandomTheta(*subject.model, subject.table, subject.summary, 1);
  EXPECT_TRUE(subject.model->Validate(good).ok());
  const auto message = [&](size_t index, double value) {
    Theta bad = good;
    bad[index] = value;
    const absl::Status status = subject.model->Validate(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(message(0, -0.1), HasSubstr("weights[0]"));
  EXPECT_THAT(message(1, nan), HasSubstr("weights[1]"));
  EXPECT_THAT(message(0, good[0] + 0.1), HasSubstr("weights: got a sum"));
  EXPECT_THAT(message(3, nan), HasSubstr("means[0, 1]"));
  EXPECT_THAT(message(6, -1), HasSubstr("covariances[0]"));
  EXPECT_THAT(message(7, good[7] + 1), HasSubstr("covariances[0, 0, 1]"));
  EXPECT_THAT(message(13, nan), HasSubstr("covariances[1, 1, 1]"));
  Theta short_one = good;
  short_one.pop_back();
  EXPECT_TRUE(absl::IsInvalidArgument(subject.model->Validate(short_one)));
}

TEST(GaussianValidate, NamesTheOffendingVariance) {
  const auto message = [](Covariance covariance, size_t index, double value) {
    const Subject subject = MakeSubject(Options(2, covariance), Faithful());
    Theta bad = RandomTheta(*subject.model, subject.table, subject.summary, 1);
    bad.at(6 + index) = value;
    const absl::Status status = subject.model->Validate(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(message(Covariance::kDiagonal, 3, 0), HasSubstr("variances[1, 1]"));
  EXPECT_THAT(message(Covariance::kTiedDiagonal, 1, -1), HasSubstr("variances[1]"));
  EXPECT_THAT(message(Covariance::kSpherical, 1, INFINITY), HasSubstr("variances[1]"));
  EXPECT_THAT(message(Covariance::kTiedSpherical, 0, NAN), HasSubstr("variances[0]"));
}

TEST(GaussianSample, HasTheMomentsOfItsParameters) {
  for (const Covariance covariance : kAll) {
    const Subject subject = MakeSubject(Options(1, covariance), Iris());
    const Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
    const auto prepared = subject.model->NewPrepared();
    ASSERT_TRUE(subject.model->Prepare(theta, *prepared).ok());
    Random random(6, 0);
    Data drawn{.num_columns = 4, .values = {}, .weights = {}};
    std::vector<double> row(4);
    for (int i = 0; i < 40000; ++i) {
      EXPECT_EQ(subject.model->Sample(*prepared, random, row), 0);
      drawn.values.insert(drawn.values.end(), row.begin(), row.end());
    }
    const auto refit = FitData(Options(1, covariance), drawn, {});
    ASSERT_TRUE(refit.ok());
    for (size_t j = 0; j < theta.size(); ++j) EXPECT_NEAR(refit->theta[j], theta[j], 0.06) << j;
  }
}

}  // namespace
}  // namespace emserve::testing
