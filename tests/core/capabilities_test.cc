// What the engine can do besides plain EM, on the Gaussian mixture: missing cells, labels,
// constraints, priors, variants, acceleration, collapse.
#include <cmath>
#include <limits>
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

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

MixtureOptions Gaussians(int num_components, Covariance covariance = Covariance::kFull) {
  return MixtureOptions{num_components, GaussianOptions{covariance}};
}

absl::StatusOr<FitResult> FitTable(const ModelOptions& options, const Table& table,
                                   const FitOptions& fit_options) {
  const Summary summary = SummaryOf(table);
  const auto model = MakeModel(options, summary, table.names());
  if (!model.ok()) return model.status();
  Pool pool(2);
  Pool::Share share(pool);
  RunOptions run;
  run.share = &share;
  return Fit(**model, table, summary, fit_options, run);
}

// Cells of `data` at random, each with probability `share`, never a whole row.
Data WithHoles(Data data, double share, uint64_t seed) {
  Random random(seed, 0);
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    int left = data.num_columns;
    for (int c = 0; c < data.num_columns; ++c) {
      if (left == 1 || random.Uniform() >= share) continue;
      data.values[i * data.num_columns + c] = kNan;
      --left;
    }
  }
  return data;
}

// ------------------------------------------------------------------------------------------------
// Missing cells.

// Murray (1977): the likelihood has two maxima, variances 8/3 and correlation +-1/2, and a saddle.
TEST(MissingCells, MurraysDataHaveTwoMaxima) {
  const Data data{.num_columns = 2,
                  .values = {1,  1,    1,  -1,   -1,   1, -1,   -1, 2,    kNan, 2,    kNan,
                             -2, kNan, -2, kNan, kNan, 2, kNan, 2,  kNan, -2,   kNan, -2},
                  .weights = {}};
  MixtureOptions mixture = Gaussians(1);
  mixture.constraints.fixed = {{"means", {}, {0}}};
  FitOptions options;
  options.start = StartMethod::kGiven;
  options.restarts = 1;
  options.relative_tolerance = 0;
  options.parameter_tolerance = 1e-13;
  options.max_iterations = 100000;
  for (const double sign : {1.0, -1.0}) {
    options.given = {1, 0, 0, 2, sign * 0.1, sign * 0.1, 2};
    const auto fit = FitTable(mixture, data.ToTable(), options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_NEAR(fit->theta[3], 8.0 / 3, 1e-9);
    EXPECT_NEAR(fit->theta[6], 8.0 / 3, 1e-9);
    EXPECT_NEAR(fit->theta[4], sign * 4.0 / 3, 1e-9);
  }
  // Without correlation at the start it stays at the saddle.
  options.given = {1, 0, 0, 2, 0, 0, 2};
  const auto saddle = FitTable(mixture, data.ToTable(), options);
  ASSERT_TRUE(saddle.ok()) << saddle.status();
  EXPECT_NEAR(saddle->theta[3], 2.5, 1e-9);
  EXPECT_NEAR(saddle->theta[4], 0, 1e-9);
}

class MissingCellsOf : public ::testing::TestWithParam<Covariance> {};

// p(observed cells) is the density of a model of those columns alone.
TEST_P(MissingCellsOf, AreIntegratedOut) {
  const Data data = Blobs(60, 4, 3, 2, 9);
  const Subject subject = MakeSubject(Gaussians(3, GetParam()), data);
  const Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 4);
  for (const int hidden : {0, 2, 3}) {
    Data holes = data;
    for (int64_t i = 0; i < data.num_rows(); ++i) holes.values[i * 4 + hidden] = kNan;
    // The integral over the hidden cell, by Simpson's rule.
    const double observed = LogLikelihood(*subject.model, holes.ToTable(), theta);
    double sum = 0;
    for (int64_t i = 0; i < data.num_rows(); ++i) {
      constexpr int kSteps = 4000;
      constexpr double kHalf = 60;
      Data line{.num_columns = 4, .values = {}, .weights = {}};
      for (int s = 0; s <= kSteps; ++s) {
        for (int c = 0; c < 4; ++c) {
          line.values.push_back(c == hidden ? -kHalf + 2 * kHalf * s / kSteps
                                            : data.values[i * 4 + c]);
        }
        line.weights.push_back(s == 0 || s == kSteps ? 1 : s % 2 == 1 ? 4 : 2);
      }
      const std::vector<double> densities = LogDensities(*subject.model, line.ToTable(), theta);
      double integral = 0;
      for (int s = 0; s <= kSteps; ++s) integral += line.weights[s] * std::exp(densities[s]);
      sum += std::log(integral * 2 * kHalf / kSteps / 3);
      if (i == 7) break;  // eight rows say enough
    }
    holes.values.resize(8 * 4);
    EXPECT_NEAR(LogLikelihood(*subject.model, holes.ToTable(), theta), sum, 1e-7);
    EXPECT_TRUE(std::isfinite(observed));
  }
}

TEST_P(MissingCellsOf, LeaveTheObjectiveMonotoneAndTheMaximisationMaximal) {
  const Data data = WithHoles(Blobs(517, 5, 3, 1.5, 17), 0.3, 1);
  const Subject subject = MakeSubject(Gaussians(3, GetParam()), data);
  Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
  EXPECT_TRUE(ObjectiveNeverDecreases(*subject.model, subject.table, theta, 60));
  EXPECT_TRUE(StatisticsAddUp(*subject.model, subject.table, theta));
  EXPECT_TRUE(EStepDoesNotAllocate(*subject.model, subject.table, theta));
}

INSTANTIATE_TEST_SUITE_P(Structures, MissingCellsOf,
                         ::testing::Values(Covariance::kFull, Covariance::kTied,
                                           Covariance::kDiagonal, Covariance::kTiedDiagonal,
                                           Covariance::kSpherical, Covariance::kTiedSpherical,
                                           Covariance::kVEI, Covariance::kEVE, Covariance::kVEV),
                         [](const auto& test) {
                           return std::string(
                               CovarianceStructures()[static_cast<size_t>(test.param)].name);
                         });

TEST(MissingCells, ARowWithoutAnyEqualsTheRowAbsent) {
  Data with = Faithful();
  with.values.insert(with.values.begin() + 20, {kNan, kNan});
  with.values.insert(with.values.end(), {kNan, kNan});
  FitOptions options;
  options.restarts = 3;
  const auto a = FitTable(Gaussians(2), with.ToTable(), options);
  const auto b = FitTable(Gaussians(2), Faithful().ToTable(), options);
  ASSERT_TRUE(a.ok() && b.ok()) << a.status();
  EXPECT_NEAR(a->objective, b->objective, 1e-7);
  EXPECT_EQ(SummaryOf(with.ToTable()).total_weight, 272);
}

TEST(MissingCells, AColumnWithoutAnyIsRefusedByName) {
  Data data = Faithful();
  for (size_t i = 1; i < data.values.size(); i += 2) data.values[i] = kNan;
  const auto fit = FitTable(Gaussians(2), data.ToTable(), {});
  ASSERT_FALSE(fit.ok());
  EXPECT_THAT(std::string(fit.status().message()), HasSubstr("columns[1]: got no observed cell"));
}

// The conditional mean of one Gaussian is the regression on the observed cell.
TEST(MissingCells, AreImputedByTheirConditionalMean) {
  const Data one{.num_columns = 2, .values = {3, kNan, kNan, 5, 1, 2}, .weights = {}};
  const Subject subject = MakeSubject(Gaussians(1), Faithful());
  const Theta theta = {1, 1, 2, 4, 1.5, 1.5, 9};
  const auto prepared = subject.model->NewPrepared();
  const auto workspace = subject.model->NewWorkspace(3);
  ASSERT_TRUE(subject.model->Prepare(theta, *prepared).ok());
  const Table table = one.ToTable();
  BlockBuffer buffer = table.MakeBuffer(3);
  const Block block = table.Read(0, 3, buffer);
  std::vector<double> mean(2 * block.stride), variance(2 * block.stride);
  subject.model->Infer(*prepared, block, *workspace,
                       {.conditional_mean = mean.data(), .conditional_variance = variance.data()});
  EXPECT_DOUBLE_EQ(mean[0], 3);
  EXPECT_DOUBLE_EQ(mean[block.stride], 2 + 1.5 / 4 * (3 - 1));
  EXPECT_DOUBLE_EQ(variance[block.stride], 9 - 1.5 * 1.5 / 4);
  EXPECT_DOUBLE_EQ(mean[1], 1 + 1.5 / 9 * (5 - 2));
  EXPECT_DOUBLE_EQ(variance[1], 4 - 1.5 * 1.5 / 9);
  EXPECT_EQ(variance[0], 0);
  EXPECT_DOUBLE_EQ(mean[block.stride + 2], 2);
}

// ------------------------------------------------------------------------------------------------
// Labels.

// Faithful with its rows' labels (by eruption length) in a third column, every `every`-th known.
Table LabelledFaithful(int every, bool plausibilities) {
  const Data faithful = Faithful();
  std::vector<double> values;
  for (int64_t i = 0; i < 272; ++i) {
    const double x = faithful.values[i * 2];
    const bool known = i % every == 0;
    const int label = x < 3 ? 1 : 0;
    values.insert(values.end(), {x, faithful.values[i * 2 + 1]});
    if (plausibilities) {
      values.insert(values.end(),
                    {known && label == 1 ? 0.0 : 1.0, known && label == 0 ? 0.0 : 1.0});
    } else {
      values.push_back(known ? label : kNan);
    }
  }
  const int num_columns = plausibilities ? 4 : 3;
  auto owner = std::make_shared<const std::vector<double>>(std::move(values));
  Cells cells{.owner = owner,
              .bytes = reinterpret_cast<const std::byte*>(owner->data()),
              .num_rows = 272,
              .num_columns = num_columns};
  Table::Options options;
  options.columns = {0, 1};
  if (plausibilities) {
    options.plausibility_columns = {2, 3};
  } else {
    options.label_column = 2;
    options.label_components = 2;
  }
  return Table::Create(std::move(cells), std::move(options)).value();
}

// With every label known the fit is the closed form of each class.
TEST(Labels, AllKnownGiveTheClassesOwnMoments) {
  const Table table = LabelledFaithful(1, false);
  FitOptions options;
  options.restarts = 1;
  const auto fit = FitTable(Gaussians(2), table, options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  double count = 0, sum = 0;
  for (int64_t i = 0; i < 272; ++i) {
    if (table.value(i, 0) >= 3) continue;
    count += 1;
    sum += table.value(i, 1);
  }
  EXPECT_NEAR(fit->theta[1], count / 272, 1e-12);
  EXPECT_NEAR(fit->theta[2 + 3], sum / count, 1e-9);
}

TEST(Labels, SetsOfZeroesAndOnesEqualTheLabelColumn) {
  FitOptions options;
  options.restarts = 2;
  const auto a = FitTable(Gaussians(2), LabelledFaithful(7, false), options);
  const auto b = FitTable(Gaussians(2), LabelledFaithful(7, true), options);
  ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
  EXPECT_EQ(a->theta, b->theta);
  // The labels say which component is which: the short eruptions are 1.
  EXPECT_LT(a->theta[2 + 2], 3);
  EXPECT_GT(a->theta[2 + 0], 3);
}

TEST(Labels, ThatNameNoComponentAreRefusedByRow) {
  Data data = Faithful();
  std::vector<double> values;
  for (int64_t i = 0; i < 272; ++i) {
    values.insert(values.end(), {data.values[i * 2], data.values[i * 2 + 1], i == 9 ? 2.0 : 0.0});
  }
  auto owner = std::make_shared<const std::vector<double>>(std::move(values));
  Table::Options options;
  options.columns = {0, 1};
  options.label_column = 2;
  options.label_components = 2;
  const Table table = Table::Create({.owner = owner,
                                     .bytes = reinterpret_cast<const std::byte*>(owner->data()),
                                     .num_rows = 272,
                                     .num_columns = 3},
                                    options)
                          .value();
  Pool pool(1);
  Pool::Share share(pool);
  const auto summary = Summarize(table, share, {});
  ASSERT_FALSE(summary.ok());
  EXPECT_THAT(std::string(summary.status().message()), HasSubstr("data.labels[9]: got 2"));
}

// ------------------------------------------------------------------------------------------------
// Constraints and priors.

TEST(Constraints, FixedMeansWeightsAndCovariancesStay) {
  MixtureOptions mixture = Gaussians(3);
  mixture.constraints.fixed = {{"means", {0, 3}, {2, 80}},
                               {"weights", {2}, {0.25}},
                               {"covariances", {4, 5, 6, 7}, {0.2, 1, 1, 36}}};
  FitOptions options;
  options.restarts = 4;
  const auto fit = FitTable(mixture, Faithful().ToTable(), options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->theta[2], 0.25);
  EXPECT_NEAR(fit->theta[0] + fit->theta[1], 0.75, 1e-12);
  EXPECT_EQ(fit->theta[3], 2);
  EXPECT_EQ(fit->theta[6], 80);
  EXPECT_EQ(fit->theta[9 + 4], 0.2);
  EXPECT_EQ(fit->theta[9 + 7], 36);
  EXPECT_EQ(fit->best.termination, Termination::kConverged) << fit->best.message;
}

TEST(Constraints, LeaveTheObjectiveMonotone) {
  for (const Covariance covariance :
       {Covariance::kFull, Covariance::kTied, Covariance::kDiagonal, Covariance::kSpherical}) {
    MixtureOptions mixture = Gaussians(3, covariance);
    mixture.constraints.fixed = {{"means", {0, 7}, {0.5, -0.5}}};
    mixture.constraints.tied = {{"means", {1, 6, 12}}, {"weights", {0, 2}}};
    const Data data = WithHoles(Blobs(517, 5, 3, 1.5, 17), 0.2, 2);
    const Subject subject = MakeSubject(mixture, data);
    Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
    EXPECT_TRUE(ObjectiveNeverDecreases(*subject.model, subject.table, theta, 40));
    theta = OneIteration(*subject.model, subject.table, theta);
    EXPECT_EQ(theta[3 + 0], 0.5);
    EXPECT_EQ(theta[3 + 1], theta[3 + 6]);
    EXPECT_EQ(theta[3 + 1], theta[3 + 12]);
    EXPECT_EQ(theta[0], theta[2]);
  }
}

TEST(Constraints, ThatContradictThemselvesAreRefusedByField) {
  const std::pair<ConstraintOptions, const char*> bad[] = {
      {{.fixed = {{"mean", {}, {1}}}, .tied = {}}, "constraints.fixed[0].array: got \"mean\""},
      {{.fixed = {{"means", {99}, {1}}}, .tied = {}}, "constraints.fixed[0].elements: got 99"},
      {{.fixed = {{"means", {0, 1}, {1, 2, 3}}}, .tied = {}}, "constraints.fixed[0].values: got 3"},
      {{.fixed = {{"weights", {0, 1}, {0.8}}}, .tied = {}}, "weights that sum to 1.6"},
      {{.fixed = {}, .tied = {{"means", {1}}}}, "constraints.tied[0].elements"},
      {{.fixed = {{"covariances", {1}, {0}}}, .tied = {}}, "must be all of it fixed"},
  };
  for (const auto& [constraints, message] : bad) {
    MixtureOptions mixture = Gaussians(3);
    mixture.constraints = constraints;
    const auto fit = FitTable(mixture, Faithful().ToTable(), {});
    ASSERT_TRUE(absl::IsInvalidArgument(fit.status())) << message;
    EXPECT_THAT(std::string(fit.status().message()), HasSubstr(message));
  }
}

// Fraley & Raftery (2007): the mode of a single normal-inverse-Wishart posterior.
TEST(Priors, OneComponentIsThePosteriorMode) {
  GaussianOptions gaussian;
  gaussian.prior = NormalInverseWishart{
      .mean = {1, 2}, .shrinkage = 3, .degrees_of_freedom = 7, .scale = {2, 0.5, 0.5, 4}};
  const Data data{.num_columns = 2, .values = {0, 0, 2, 1, 4, 5, 2, 6}, .weights = {}};
  FitOptions options;
  options.restarts = 1;
  const auto fit = FitTable(MixtureOptions{1, gaussian}, data.ToTable(), options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  // Means 2 and 3, scatter 8, 26 and 10.
  EXPECT_NEAR(fit->theta[1], (4 * 2 + 3 * 1) / 7.0, 1e-12);
  EXPECT_NEAR(fit->theta[2], (4 * 3 + 3 * 2) / 7.0, 1e-12);
  const double pull = 4.0 * 3 / 7;
  EXPECT_NEAR(fit->theta[3], (2 + 8 + pull * 1) / (4 + 7 + 2 + 2), 1e-12);
  EXPECT_NEAR(fit->theta[4], (0.5 + 10 + pull * 1) / (4 + 7 + 2 + 2), 1e-12);
  EXPECT_NEAR(fit->theta[6], (4 + 26 + pull * 1) / (4 + 7 + 2 + 2), 1e-12);
  EXPECT_NEAR(fit->objective, fit->log_likelihood + fit->log_prior, 1e-12);
}

TEST(Priors, EverythingAtOnceStaysMonotone) {
  for (const CovarianceInfo& info : CovarianceStructures()) {
    GaussianOptions gaussian{info.covariance};
    gaussian.prior = NormalInverseWishart{};
    MixtureOptions mixture{3, gaussian};
    mixture.weight_concentration = 2;
    mixture.constraints.fixed = {{"means", {2}, {0.25}}};
    mixture.constraints.tied = {{"means", {0, 5}}};
    Data data = WithHoles(Blobs(300, 5, 3, 1.5, 17), 0.2, 3);
    data.num_columns = 5;
    // A label column behind the others, every fifth row's known, and weights.
    std::vector<double> values;
    for (int64_t i = 0; i < 300; ++i) {
      values.insert(values.end(), data.values.begin() + i * 5, data.values.begin() + (i + 1) * 5);
      values.push_back(i % 5 == 0 ? static_cast<double>(i % 3) : kNan);
      values.push_back(0.5 + static_cast<double>(i % 4));
    }
    auto owner = std::make_shared<const std::vector<double>>(std::move(values));
    Table::Options options;
    options.columns = {0, 1, 2, 3, 4};
    options.label_column = 5;
    options.label_components = 3;
    options.weight_column = 6;
    const Table table = Table::Create({.owner = owner,
                                       .bytes = reinterpret_cast<const std::byte*>(owner->data()),
                                       .num_rows = 300,
                                       .num_columns = 7},
                                      options)
                            .value();
    const Summary summary = SummaryOf(table);
    const auto model = MakeModel(mixture, summary, table.names());
    ASSERT_TRUE(model.ok()) << model.status();
    const Theta theta = RandomTheta(**model, table, summary, 1);
    EXPECT_TRUE(ObjectiveNeverDecreases(**model, table, theta, 40)) << info.name;
    FitOptions fit_options;
    fit_options.restarts = 2;
    for (const Acceleration acceleration :
         {Acceleration::kNone, Acceleration::kSquarem, Acceleration::kAnderson}) {
      fit_options.acceleration = acceleration;
      const auto fit = FitTable(mixture, table, fit_options);
      ASSERT_TRUE(fit.ok()) << fit.status();
      EXPECT_EQ(fit->best.termination, Termination::kConverged)
          << info.name << ": " << fit->best.message;
      const auto means =
          Layout::View(std::span<const double>(fit->theta), *(*model)->parameters().Find("means"));
      EXPECT_EQ(means[2], 0.25);
      EXPECT_EQ(means[0], means[5]);
    }
  }
}

// ------------------------------------------------------------------------------------------------
// Variants.

TEST(Variants, EndAtLeastAsHighAsOneClimbUsuallyDoes) {
  FitOptions options;
  options.restarts = 5;
  const auto plain = FitTable(Gaussians(3), Iris().ToTable(), options);
  ASSERT_TRUE(plain.ok());
  for (const Algorithm algorithm :
       {Algorithm::kStochasticEm, Algorithm::kAnnealedEm, Algorithm::kStepwiseEm}) {
    options.algorithm = algorithm;
    options.stepwise_batch_rows = 48;
    const auto fit = FitTable(Gaussians(3), Iris().ToTable(), options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_GE(fit->objective, plain->objective - 15) << static_cast<int>(algorithm);
    EXPECT_EQ(fit->best.termination, Termination::kConverged);
  }
}

TEST(Variants, ClassificationEmMaximisesTheClassificationLikelihood) {
  FitOptions options;
  options.algorithm = Algorithm::kClassificationEm;
  options.restarts = 5;
  const auto fit = FitTable(Gaussians(2), Faithful().ToTable(), options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_LT(fit->objective, fit->log_likelihood);
  EXPECT_GT(fit->objective, fit->log_likelihood - 5);
  EXPECT_LE(fit->log_likelihood, -1130.263 + 1e-3);
}

TEST(Variants, StochasticEmIsReproducibleWithAnyNumberOfThreads) {
  FitOptions options;
  options.algorithm = Algorithm::kStochasticEm;
  options.restarts = 3;
  const auto one = FitData(Gaussians(3), Iris(), options, 1);
  const auto many = FitData(Gaussians(3), Iris(), options, 3);
  ASSERT_TRUE(one.ok() && many.ok());
  EXPECT_EQ(one->theta, many->theta);
}

TEST(Variants, AccelerationReachesThePlainOptimumWithFewerPasses) {
  FitOptions options;
  options.restarts = 1;
  options.relative_tolerance = 1e-12;
  options.max_iterations = 20000;
  const Data data = Blobs(800, 3, 3, 0.8, 21);
  const auto plain = FitData(Gaussians(3, Covariance::kTied), data, options);
  ASSERT_TRUE(plain.ok());
  for (const Acceleration acceleration : {Acceleration::kSquarem, Acceleration::kAnderson}) {
    options.acceleration = acceleration;
    const auto fit = FitData(Gaussians(3, Covariance::kTied), data, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_GE(fit->objective, plain->objective - 1e-4);
    EXPECT_LT(fit->best.evaluations, plain->best.evaluations / 2)
        << plain->best.evaluations << " plain";
  }
}

TEST(Stopping, AitkenStopsWhereLittleIsLeftAndNotBefore) {
  FitOptions options;
  options.restarts = 1;
  options.relative_tolerance = 0;
  options.aitken_tolerance = 1e-3;
  options.max_iterations = 100000;
  const Data data = Blobs(800, 3, 3, 0.8, 21);
  const auto aitken = FitData(Gaussians(3, Covariance::kTied), data, options);
  options.relative_tolerance = 1e-14;
  options.aitken_tolerance = 0;
  const auto limit = FitData(Gaussians(3, Covariance::kTied), data, options);
  ASSERT_TRUE(aitken.ok() && limit.ok());
  EXPECT_EQ(aitken->best.termination, Termination::kConverged);
  EXPECT_THAT(aitken->best.message, HasSubstr("Aitken"));
  EXPECT_LT(aitken->best.iterations, limit->best.iterations);
}

// ------------------------------------------------------------------------------------------------
// Collapse.

Data WithPairsApart() {
  Data data = Blobs(60, 2, 1, 1, 3);
  for (int j = 0; j < 5; ++j) data.values.insert(data.values.end(), {40, 40});
  return data;
}

TEST(Collapse, FollowsThePolicy) {
  FitOptions options;
  options.restarts = 1;
  const auto ridge = FitData(Gaussians(2), WithPairsApart(), options);
  ASSERT_TRUE(ridge.ok());
  EXPECT_EQ(ridge->best.termination, Termination::kDegenerate);

  options.collapse = CollapsePolicy::kFail;
  const auto fail = FitData(Gaussians(2), WithPairsApart(), options);
  ASSERT_FALSE(fail.ok());
  EXPECT_THAT(std::string(fail.status().message()), HasSubstr("collapsed (VARIANCE_FLOORED"));

  options.collapse = CollapsePolicy::kDrop;
  const auto drop = FitData(Gaussians(2), WithPairsApart(), options);
  ASSERT_TRUE(drop.ok()) << drop.status();
  EXPECT_EQ(drop->best.termination, Termination::kConverged) << drop->best.message;
  EXPECT_EQ(std::min(drop->theta[0], drop->theta[1]), 0);

  options.collapse = CollapsePolicy::kRespawn;
  const auto respawn = FitData(Gaussians(2), WithPairsApart(), options);
  ASSERT_TRUE(respawn.ok()) << respawn.status();
  EXPECT_GT(respawn->best.evaluations, ridge->best.evaluations);
}

TEST(Collapse, ADroppedComponentStaysInTheReportWithItsWeight) {
  FitOptions options;
  options.restarts = 1;
  options.collapse = CollapsePolicy::kDrop;
  const auto fit = FitData(Gaussians(2), WithPairsApart(), options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_GT(fit->best.iterations, 2);
  ASSERT_EQ(fit->repairs.size(), 1u);
  EXPECT_EQ(fit->repairs[0].reason, kComponentDropped);
  EXPECT_EQ(fit->repairs[0].component, fit->theta[0] > 0 ? 1 : 0);
  EXPECT_NEAR(fit->repairs[0].amount, 5.0 / 65, 0.01);
}

TEST(Collapse, AComponentThatHadNoWeightDoesNotFailTheFit) {
  FitOptions options;
  options.restarts = 1;
  options.collapse = CollapsePolicy::kFail;
  options.start = StartMethod::kGiven;
  options.given = {1, 0, 0, 0, 5, 5, 1, 0, 0, 1, 1, 0, 0, 1};
  const auto fit = FitData(Gaussians(2), Blobs(60, 2, 1, 1, 3), options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->theta[1], 0);
}

// Component 2 is component 0 again with few rows: each iteration takes 0.8 of them, the second the
// last.
TEST(Priors, ADirichletBelowOneDropsAComponentAndTheClimbGoesOn) {
  MixtureOptions mixture = Gaussians(3, Covariance::kTiedSpherical);
  mixture.weight_concentration = 0.2;
  FitOptions options;
  options.restarts = 1;
  options.start = StartMethod::kGiven;
  options.given = {0.488, 0.5, 0.012, 0, 20, 0, 1};
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  Random random(3, 0);
  for (int i = 0; i < 200; ++i) data.values.push_back((i % 2 == 0 ? 0 : 20) + random.Normal());
  for (const Acceleration acceleration :
       {Acceleration::kNone, Acceleration::kSquarem, Acceleration::kAnderson}) {
    options.acceleration = acceleration;
    const auto fit = FitData(mixture, data, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_EQ(fit->best.termination, Termination::kConverged) << fit->best.message;
    EXPECT_EQ(fit->theta[2], 0);
    ASSERT_EQ(fit->repairs.size(), 1u);
    EXPECT_EQ(fit->repairs[0].reason, kComponentDropped);
    EXPECT_EQ(fit->repairs[0].component, 2);
    EXPECT_GT(fit->repairs[0].amount, 0);
  }
}

TEST(Coordinates, GoThereAndBack) {
  for (const CovarianceInfo& info : CovarianceStructures()) {
    const Subject subject = MakeSubject(Gaussians(3, info.covariance), Blobs(200, 4, 3, 2, 5));
    const Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 3);
    EXPECT_TRUE(CoordinatesGoThereAndBack(*subject.model, theta)) << info.name;
  }
}

}  // namespace
}  // namespace emserve::testing
