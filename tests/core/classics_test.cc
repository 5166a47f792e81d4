// The textbook cases of EM, whose answers are exact or published to many digits.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/em/fit.h"
#include "core/families.h"
#include "gtest/gtest.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

FitOptions From(Theta start) {
  FitOptions options;
  options.start = StartMethod::kGiven;
  options.given = std::move(start);
  options.restarts = 1;
  options.relative_tolerance = 0;
  options.parameter_tolerance = 1e-14;
  options.max_iterations = 100000;
  return options;
}

// Rao (1965); Dempster, Laird & Rubin (1977), section 1: 197 animals in four cells of probability
// 1/2 + t/4, (1 - t)/4, (1 - t)/4, t/4. One component of weight 1/2 is always in the first cell,
// the other is spread as t/2, (1 - t)/2, (1 - t)/2, t/2.
TEST(Linkage, HasItsExactRootAndRate) {
  const Data data{.num_columns = 1, .values = {0, 1, 2, 3}, .weights = {125, 18, 20, 34}};
  MixtureOptions mixture{2, CategoricalOptions{}};
  mixture.constraints.fixed = {{"weights", {}, {0.5}},
                               {"probabilities_0", {0, 1, 2, 3}, {1, 0, 0, 0}}};
  mixture.constraints.tied = {{"probabilities_0", {4, 7}}, {"probabilities_0", {5, 6}}};
  const double t = (15 + std::sqrt(53809)) / 394;
  const auto fit = FitData(mixture, data, From({0.5, 0.5, 1, 0, 0, 0, 0.25, 0.25, 0.25, 0.25}));
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_NEAR(2 * fit->theta[6], t, 1e-12);
  EXPECT_NEAR(t, 0.6268214979, 1e-10);

  // Each iteration leaves 0.1328 of the distance.
  const Subject subject = MakeSubject(mixture, data);
  Theta theta = {0.5, 0.5, 1, 0, 0, 0, 0.25, 0.25, 0.25, 0.25};
  double distance = 0;
  double rate = 0;
  for (int i = 0; i < 9; ++i) {
    theta = OneIteration(*subject.model, subject.table, theta);
    const double now = std::abs(2 * theta[6] - t);
    rate = now / distance;
    distance = now;
  }
  EXPECT_NEAR(rate, 0.1328, 5e-5);
}

// Do & Batzoglou (2008), figure 1.
TEST(TwoCoins, FollowsThePrimer) {
  const Data data{.num_columns = 2, .values = {5, 5, 9, 1, 8, 2, 4, 6, 7, 3}, .weights = {}};
  MixtureOptions mixture{2, MultinomialOptions{}};
  mixture.constraints.fixed = {{"weights", {}, {0.5}}};
  const Theta start = {0.5, 0.5, 0.6, 0.4, 0.5, 0.5};
  const Subject subject = MakeSubject(mixture, data);
  const auto prepared = subject.model->NewPrepared();
  const auto workspace = subject.model->NewWorkspace(5);
  ASSERT_TRUE(subject.model->Prepare(start, *prepared).ok());
  BlockBuffer buffer = subject.table.MakeBuffer(5);
  const Block block = subject.table.Read(0, 5, buffer);
  std::vector<double> posterior(2 * block.stride);
  subject.model->Infer(*prepared, block, *workspace, {.posterior = posterior.data()});
  EXPECT_NEAR(posterior[1], 0.80, 0.006);
  EXPECT_NEAR(posterior[block.stride + 1], 0.20, 0.006);
  const auto fit = FitData(mixture, data, From(start));
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_NEAR(fit->theta[2], 0.80, 0.005);
  EXPECT_NEAR(fit->theta[4], 0.52, 0.005);
}

// Hasselblad (1969): days by number of deaths of women over 80.
Data Deaths() {
  return {.num_columns = 1,
          .values = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
          .weights = {162, 267, 271, 185, 111, 61, 27, 8, 3, 1}};
}

// -log L without the multinomial constant: sum_i w_i log x_i! is part of it.
constexpr double kDeaths = 1989.945859883;

TEST(Deaths, PlainEmNeedsThousandsOfPassesAndAcceleratedEmAHundred) {
  const MixtureOptions mixture{2, PoissonOptions{}};
  const Theta start = {0.5, 0.5, 1, 3};
  FitOptions options = From(start);
  options.parameter_tolerance = 0;
  options.relative_tolerance = 1e-15;
  const auto plain = FitData(mixture, Deaths(), options);
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_GT(plain->best.evaluations, 2000);
  for (const Acceleration acceleration : {Acceleration::kSquarem, Acceleration::kAnderson}) {
    options.acceleration = acceleration;
    const auto fit = FitData(mixture, Deaths(), options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_LE(fit->best.evaluations, 100);
    EXPECT_NEAR(-fit->objective, kDeaths, 2e-9);
    EXPECT_NEAR(fit->theta[0], 0.3598854, 2e-6);
    EXPECT_NEAR(fit->theta[2], 1.2560951, 2e-6);
    EXPECT_NEAR(fit->theta[3], 2.6634044, 2e-6);
  }
}

// poLCA's manual: 500 random starts find the maximum 258 times, and four other optima.
TEST(Gss82, ShowsItsFiveOptimaWithTheirFrequencies) {
  FitOptions options;
  options.restarts = 500;
  options.seed = 1;
  const auto fit =
      FitData(MixtureOptions{3, CategoricalOptions{}}, LoadCategories("gss82.csv"), options, 2);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_NEAR(fit->objective, -2754.545, 1e-3);
  for (const double published : {-2754.545, -2755.617, -2755.739, -2762.005, -2762.231}) {
    const auto found = std::find_if(
        fit->optima.begin(), fit->optima.end(),
        [&](const Optimum& optimum) { return std::abs(optimum.objective - published) < 2e-3; });
    ASSERT_NE(found, fit->optima.end()) << published;
    EXPECT_GE(found->count, 1);
  }
  EXPECT_GE(fit->optima[0].count, 150);
}

}  // namespace
}  // namespace emserve::testing
