// The mixture's own arithmetic: weights, posteriors, inference, sampling.
#include "core/latent/mixture.h"

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "core/em/constraints.h"
#include "core/em/scratch.h"
#include "core/em/simplex.h"
#include "core/families.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

double LogNormal(double x, double mean, double variance) {
  return -0.5 * (std::log(2 * std::numbers::pi * variance) + (x - mean) * (x - mean) / variance);
}

// Two components in one column: weights, means, variances.
class TwoComponents : public ::testing::Test {
 protected:
  TwoComponents()
      : subject_(MakeSubject(MixtureOptions{2, GaussianOptions{Covariance::kDiagonal}},
                             Data{.num_columns = 1, .values = {-1, 0.5, 2, 7}, .weights = {}})),
        prepared_(subject_.model->NewPrepared()),
        workspace_(subject_.model->NewWorkspace(4)),
        buffer_(4, 1),
        block_(subject_.table.Read(0, 4, buffer_)) {}

  void Prepare(const Theta& theta) { ASSERT_TRUE(subject_.model->Prepare(theta, *prepared_).ok()); }

  const Subject subject_;
  const std::unique_ptr<Model::Prepared> prepared_;
  const std::unique_ptr<Model::Workspace> workspace_;
  BlockBuffer buffer_;
  const Block block_;
};

TEST_F(TwoComponents, InferGivesBayesRule) {
  Prepare({0.3, 0.7, 0, 2, 1, 4});
  std::vector<double> log_density(block_.stride);
  std::vector<double> posterior(2 * block_.stride);
  std::vector<double> of_component(2 * block_.stride);
  subject_.model->Infer(*prepared_, block_, *workspace_,
                        {.log_density = log_density.data(),
                         .posterior = posterior.data(),
                         .component_log_density = of_component.data()});
  const double x[] = {-1, 0.5, 2, 7};
  for (int i = 0; i < 4; ++i) {
    const double a = LogNormal(x[i], 0, 1);
    const double b = LogNormal(x[i], 2, 4);
    const double density = 0.3 * std::exp(a) + 0.7 * std::exp(b);
    EXPECT_NEAR(log_density[i], std::log(density), 1e-14);
    EXPECT_NEAR(of_component[i], a, 1e-13);
    EXPECT_NEAR(of_component[block_.stride + i], b, 1e-13);
    EXPECT_NEAR(posterior[i], 0.3 * std::exp(a) / density, 1e-14);
    EXPECT_NEAR(posterior[i] + posterior[block_.stride + i], 1, 1e-15);
  }
}

TEST_F(TwoComponents, InferSkipsWhatIsNotAskedFor) {
  Prepare({0.3, 0.7, 0, 2, 1, 4});
  std::vector<double> log_density(block_.stride);
  subject_.model->Infer(*prepared_, block_, *workspace_, {.log_density = log_density.data()});
  EXPECT_NE(log_density[0], 0);
  subject_.model->Infer(*prepared_, block_, *workspace_, {});
}

TEST_F(TwoComponents, ZeroWeightComponentTakesNoRows) {
  Prepare({1, 0, 0, 2, 1, 4});
  std::vector<double> posterior(2 * block_.stride);
  subject_.model->Infer(*prepared_, block_, *workspace_, {.posterior = posterior.data()});
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(posterior[i], 1);
    EXPECT_EQ(posterior[block_.stride + i], 0);
  }
  Random random(1, 0);
  double row;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(subject_.model->Sample(*prepared_, random, std::span(&row, 1)), 0);
  }
}

TEST_F(TwoComponents, RowsFarFromEveryComponentStayFinite) {
  // |x - mean| of 1e7 standard deviations: densities underflow, logarithms do not.
  Prepare({0.5, 0.5, 1e7, 2e7, 1, 1});
  std::vector<double> log_density(block_.stride);
  std::vector<double> posterior(2 * block_.stride);
  subject_.model->Infer(*prepared_, block_, *workspace_,
                        {.log_density = log_density.data(), .posterior = posterior.data()});
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(std::isfinite(log_density[i]));
    EXPECT_EQ(posterior[i], 1);
  }
}

TEST_F(TwoComponents, GivenStepEqualsEStepWithItsPosteriors) {
  const Theta theta = {0.3, 0.7, 0, 2, 1, 4};
  Prepare(theta);
  const Scratch posterior(2 * block_.stride);
  subject_.model->Infer(*prepared_, block_, *workspace_, {.posterior = posterior.data()});
  for (int k = 0; k < 2; ++k) {
    for (int i = block_.num_rows; i < block_.stride; ++i) posterior[k * block_.stride + i] = 0;
  }
  std::vector<double> expected(subject_.model->statistics().size());
  std::vector<double> given(expected.size());
  subject_.model->EStep(*prepared_, block_, {}, *workspace_, expected);
  subject_.model->GivenStep(*prepared_, block_,
                            std::span(posterior.data(), static_cast<size_t>(posterior.size())),
                            *workspace_, given);
  EXPECT_EQ(given, expected);
}

TEST_F(TwoComponents, SamplesComponentsByWeight) {
  Prepare({0.25, 0.75, 0, 1000, 1, 1});
  Random random(5, 0);
  int second = 0;
  double row;
  for (int i = 0; i < 20000; ++i) {
    const int component = subject_.model->Sample(*prepared_, random, std::span(&row, 1));
    EXPECT_EQ(component == 1, row > 500);
    second += component;
  }
  EXPECT_NEAR(second / 20000.0, 0.75, 0.02);
}

TEST_F(TwoComponents, CountsItsParameters) {
  EXPECT_EQ(subject_.model->degrees_of_freedom(Theta{0.3, 0.7, 0, 2, 1, 4}), 1 + 2 + 2);
  EXPECT_EQ(subject_.model->degrees_of_freedom(Theta{0, 1, 0, 2, 1, 4}), 0 + 1 + 1);
  EXPECT_EQ(subject_.model->parameters().size(), 6);
  EXPECT_EQ(subject_.model->num_columns(), 1);
  EXPECT_EQ(subject_.model->num_components(), 2);
}

TEST(MixtureConstraints, OnlyComponentsWithWeightCountTheirParameters) {
  MixtureOptions options{3, GaussianOptions{Covariance::kDiagonal}};
  options.constraints.fixed = {{"weights", {2}, {0.25}}};
  const Subject subject =
      MakeSubject(options, Data{.num_columns = 1, .values = {-1, 0.5, 2, 7}, .weights = {}});
  EXPECT_EQ(subject.model->degrees_of_freedom(Theta{0.5, 0.25, 0.25, 0, 2, 4, 1, 1, 1}), 1 + 6);
  EXPECT_EQ(subject.model->degrees_of_freedom(Theta{0.75, 0, 0.25, 0, 2, 4, 1, 1, 1}), 0 + 4);
}

Constraints OnWeights(const ConstraintOptions& options) {
  Layout layout;
  layout.Add("weights", {3});
  return Constraints::Make(layout, options).value();
}

TEST(Simplex, TiesCountByTheirSum) {
  std::vector<double> next(3);
  const std::vector<double> now(3, 1.0 / 3);
  const Constraints tied = OnWeights({.fixed = {}, .tied = {{"weights", {0, 1}}}});
  MaximizeSimplex(std::vector<double>{3, -1, 2}, tied, now, next);
  EXPECT_EQ(next, (std::vector<double>{0.25, 0.25, 0.5}));
  MaximizeSimplex(std::vector<double>{1, -3, 2}, tied, now, next);
  EXPECT_EQ(next, (std::vector<double>{0, 0, 1}));
  MaximizeSimplex(std::vector<double>{3, -1, 1}, Constraints(3), now, next);
  EXPECT_EQ(next, (std::vector<double>{0.75, 0, 0.25}));
}

TEST(Simplex, FreeElementsAreZeroWhereFixedOnesLeaveNothing) {
  const Constraints fixed = OnWeights({.fixed = {{"weights", {0, 1}, {0.375, 0.625}}}, .tied = {}});
  const std::vector<double> probabilities = {0.375, 0.625, 0};
  std::vector<double> coordinates(3);
  std::vector<double> back(3, -1);
  SimplexToCoordinates(probabilities, coordinates);
  SimplexFromCoordinates(coordinates, fixed, back);
  EXPECT_EQ(back, probabilities);
}

TEST_F(TwoComponents, MaximizationNeedsSomeWeight) {
  const Theta theta = {0.3, 0.7, 0, 2, 1, 4};
  const std::vector<double> nothing(subject_.model->statistics().size());
  Theta next(theta.size());
  std::vector<Repair> repairs;
  EXPECT_TRUE(
      absl::IsFailedPrecondition(subject_.model->MStep(theta, nothing, next, {repairs, {}})));
}

}  // namespace
}  // namespace emserve::testing
