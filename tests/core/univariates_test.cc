// The distributions of single cells: closed forms, boundaries, limits, priors, published numbers.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "core/distribution/univariate.h"
#include "core/em/fit.h"
#include "core/numerics/special.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/columns_test.h"
#include "tests/core/laws.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;
using Params = std::vector<double>;

Data Column(std::vector<double> values, std::vector<double> weights = {}) {
  return {.num_columns = 1, .values = std::move(values), .weights = std::move(weights)};
}

// log p of each value under one component; the emission is made for `made_for`.
std::vector<double> LogDensities(const MakeEmission& make, const Params& params,
                                 const std::vector<double>& values,
                                 const std::vector<double>& made_for) {
  Bench bench(make, 1, Column(made_for));
  bench.Replace(Column(values));
  return bench.LogDensity(params)[0];
}

// One component, every row with weight 1: maximum-likelihood or posterior mode.
Params Estimate(const MakeEmission& make, const std::vector<double>& values, int iterations = 1,
                std::vector<Repair>* repairs = nullptr) {
  const Bench bench(make, 1, Column(values));
  const std::vector<std::vector<double>> ones(1, std::vector<double>(values.size(), 1.0));
  Params params = bench.Reference();
  for (int i = 0; i < iterations; ++i) params = bench.Maximize(params, ones, repairs);
  return params;
}

absl::Status StatusOf(const MakeEmission& make, const std::vector<double>& values) {
  const Table table = Column(values).ToTable();
  return make(1, SummaryOf(table), {"x"}).status();
}

double MeanOf(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// --- Densities.

TEST(Bernoulli, HasItsDensity) {
  const auto log_p = LogDensities(With(MakeBernoulli), {0.25}, {0, 1}, {0, 1});
  EXPECT_NEAR(log_p[0], std::log(0.75), 1e-15);
  EXPECT_NEAR(log_p[1], std::log(0.25), 1e-15);
}

TEST(Poisson, HasItsDensity) {
  // exp(-2) 2^3 / 3!, and of 300, beyond the table of factorials.
  const auto log_p = LogDensities(With(MakePoisson), {2}, {0, 3, 300}, {0, 300});
  EXPECT_NEAR(log_p[0], -2, 1e-15);
  EXPECT_NEAR(log_p[1], std::log(8 * std::exp(-2) / 6), 1e-14);
  EXPECT_NEAR(log_p[2], 300 * std::log(2) - 2 - LogGamma(301), 1e-11);
}

TEST(Poisson, KeepsItsDigitsForLargeCounts) {
  // mpmath, 60 digits.
  const auto log_p = LogDensities(With(MakePoisson), {1e9}, {1e9, 1e9 + 1e5, 0}, {0, 2e9});
  EXPECT_NEAR(log_p[0], -11.2805714517612117, 1e-13);
  EXPECT_NEAR(log_p[1], -16.2804547909275367, 1e-12);
  EXPECT_EQ(log_p[2], -1e9);
}

TEST(NegativeBinomial, HasItsDensity) {
  // r = 2, mean 3: p(x) = (x + 1) (2/5)^2 (3/5)^x.
  const auto log_p = LogDensities(With(MakeNegativeBinomial), {3, 2}, {0, 1, 4, 700}, {0, 1, 700});
  const auto expected = [](double x) {
    return std::log(x + 1) + 2 * std::log(0.4) + x * std::log(0.6);
  };
  EXPECT_NEAR(log_p[0], expected(0), 1e-14);
  EXPECT_NEAR(log_p[1], expected(1), 1e-14);
  EXPECT_NEAR(log_p[2], expected(4), 1e-14);
  EXPECT_NEAR(log_p[3], expected(700), 1e-11);
}

TEST(NegativeBinomial, HasTheSameDensityInsideAndOutsideTheTable) {
  const std::vector<double> values = {0, 1, 7, 200};
  for (const Params& params : {Params{3, 0.01}, {30, 5}, {7, 1e6}, {1e-3, 40}}) {
    const auto inside = LogDensities(With(MakeNegativeBinomial), params, values, {0, 255});
    const auto outside = LogDensities(With(MakeNegativeBinomial), params, values, {0, 0});
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(inside[i], outside[i], 1e-12 * (1 + std::abs(inside[i]))) << values[i];
    }
  }
}

TEST(NegativeBinomial, KeepsItsDigitsForLargeCountsAndDispersions) {
  // mpmath, 60 digits.
  const auto log_p = LogDensities(With(MakeNegativeBinomial), {1e9, 5}, {1e9, 3e8}, {0, 2e9});
  EXPECT_NEAR(log_p[0], -20.8541301076238549, 1e-12);
  EXPECT_NEAR(log_p[1], -22.1700213103442657, 1e-12);
  const auto near_poisson =
      LogDensities(With(MakeNegativeBinomial), {1e9, 1e15}, {1e9, 1e9 + 1e5}, {0, 2e9});
  EXPECT_NEAR(near_poisson[0], -11.2805719517609617, 1e-12);
  EXPECT_NEAR(near_poisson[1], -16.2804502909822868, 1e-12);
}

TEST(Exponential, HasItsDensityInAnyUnit) {
  for (const double unit : {1e-8, 1.0, 1e8}) {
    const auto log_p =
        LogDensities(With(MakeExponential), {2 / unit}, {0, 3 * unit}, {unit, 2 * unit});
    EXPECT_NEAR(log_p[0], std::log(2) - std::log(unit), 1e-13);
    EXPECT_NEAR(log_p[1], std::log(2) - std::log(unit) - 6, 1e-13);
  }
}

TEST(Gamma, HasItsDensityInAnyUnit) {
  for (const double unit : {1e-8, 1.0, 1e8}) {
    for (const double shape : {0.3, 1.0, 2.5, 60.0}) {
      const auto log_p = LogDensities(With(MakeGamma), {shape, 2 / unit}, {0.7 * unit, 9 * unit},
                                      {unit, 2 * unit});
      const auto expected = [&](double x) {
        return shape * std::log(2) - LogGamma(shape) + (shape - 1) * std::log(x) - 2 * x -
               std::log(unit);
      };
      EXPECT_NEAR(log_p[0], expected(0.7), 1e-12);
      EXPECT_NEAR(log_p[1], expected(9), 1e-12);
    }
  }
}

TEST(Gamma, KeepsItsDigitsForLargeShapes) {
  // Shape 1e12, mean 1: nearly normal with standard deviation 1e-6. mpmath, 60 digits.
  const auto log_p = LogDensities(With(MakeGamma), {1e12, 1e12}, {1, 1.000002}, {0.9, 1.1});
  EXPECT_NEAR(log_p[0], 12.896572024759518, 1e-12);
  EXPECT_NEAR(log_p[1], 10.8965726913091622, 1e-6);
}

TEST(LogNormal, HasItsDensityInAnyUnit) {
  for (const double unit : {1e-8, 1.0, 1e8}) {
    const double mean = std::log(unit) + 0.5;
    const auto log_p =
        LogDensities(With(MakeLogNormal), {mean, 4}, {unit, 3 * unit}, {unit, 2 * unit});
    const auto expected = [&](double x) {
      const double z = (std::log(x) - 0.5) / 2;
      return -0.5 * z * z - std::log(2) - 0.5 * std::log(2 * std::numbers::pi) - std::log(x) -
             std::log(unit);
    };
    EXPECT_NEAR(log_p[0], expected(1), 1e-13);
    EXPECT_NEAR(log_p[1], expected(3), 1e-13);
  }
}

// --- M-steps.

TEST(Bernoulli, EstimateIsTheShareOfOnesAndThePosteriorModeWithAPrior) {
  EXPECT_EQ(Estimate(With(MakeBernoulli), {1, 0, 1, 1})[0], 0.75);
  // (3 + 2 - 1) / (4 + 2 + 5 - 2).
  EXPECT_NEAR(Estimate(With(MakeBernoulli, {.alpha = 2, .beta = 5}), {1, 0, 1, 1})[0], 4.0 / 9,
              1e-15);
}

TEST(Poisson, EstimateIsTheMeanAndThePosteriorModeWithAPrior) {
  EXPECT_EQ(Estimate(With(MakePoisson), {1, 0, 4, 3})[0], 2);
  // (8 + 3 - 1) / (4 + 2).
  EXPECT_NEAR(Estimate(With(MakePoisson, {.prior = {3, 2}}), {1, 0, 4, 3})[0], 10.0 / 6, 1e-15);
}

TEST(Exponential, EstimateIsTheInverseMeanAndThePosteriorModeWithAPrior) {
  EXPECT_NEAR(Estimate(With(MakeExponential), {1, 0.5, 4, 2.5})[0], 0.5, 1e-15);
  // (4 + 3 - 1) / (8 + 2).
  EXPECT_NEAR(Estimate(With(MakeExponential, {.prior = {3, 2}}), {1, 0.5, 4, 2.5})[0], 0.6, 1e-15);
}

TEST(LogNormal, EstimateIsThatOfLogarithmsAndThePosteriorModeWithAPrior) {
  std::vector<double> values;
  for (const double y : {1.0, 2.0, 4.0, 5.0}) values.push_back(std::exp(y));
  const Params plain = Estimate(With(MakeLogNormal), values);
  EXPECT_NEAR(plain[0], 3, 1e-14);
  EXPECT_NEAR(plain[1], 2.5, 1e-13);
  const LogNormalOptions::Prior prior{.mean = 1, .observations = 4, .shape = 2, .scale = 3};
  const Params mode = Estimate(With(MakeLogNormal, {.prior = prior}), values);
  // mean (12 + 4) / 8; scatter about 2: 1 + 0 + 4 + 9, prior 2 * 3 + 4 * 1; weight 4 + 2 * 2 + 3.
  EXPECT_NEAR(mode[0], 2, 1e-14);
  EXPECT_NEAR(mode[1], 24.0 / 11, 1e-13);
}

TEST(Gamma, EstimateSolvesTheLikelihoodEquations) {
  for (const double unit : {1e-8, 1.0, 1e8}) {
    const std::vector<double> values = {0.3 * unit, 2 * unit, 0.9 * unit, 5 * unit, 1.7 * unit};
    const Params params = Estimate(With(MakeGamma), values);
    const double mean = MeanOf(values);
    double mean_log = 0;
    for (const double x : values) mean_log += std::log(x) / 5;
    EXPECT_NEAR(params[0] / params[1] / mean, 1, 1e-14);
    EXPECT_NEAR(LogMinusDigamma(params[0]), std::log(mean) - mean_log, 1e-13);
  }
}

TEST(Gamma, EstimateIsExactWhereTheSpreadIsAMillionthOfTheMean) {
  // log mean(x) - mean(log x) is half the squared coefficient of variation, 5e-13, to six digits.
  const Params params = Estimate(With(MakeGamma), {1e8 - 100, 1e8 + 100});
  EXPECT_NEAR(params[0] / 1e12, 1, 1e-5);
  EXPECT_NEAR(params[0] / params[1], 1e8, 1e-6);
}

TEST(Gamma, PriorCountsAsVirtualObservations) {
  // With many virtual and few real observations the estimate is the prior's own distribution.
  const Params strong =
      Estimate(With(MakeGamma, {.prior = {.observations = 1e9, .mean = 6, .shape = 3}}), {1, 2, 3});
  EXPECT_NEAR(strong[0], 3, 1e-6);
  EXPECT_NEAR(strong[1], 0.5, 1e-6);
  // mean (6 + 2 * 6) / (3 + 2).
  const Params weak =
      Estimate(With(MakeGamma, {.prior = {.observations = 2, .mean = 6, .shape = 3}}), {1, 2, 3});
  EXPECT_NEAR(weak[0] / weak[1], 3.6, 1e-13);
}

// Derivative of the log-likelihood by the dispersion at the mean of the counts.
double DispersionScore(const std::vector<double>& values, double mean, double r) {
  double sum = 0;
  for (const double x : values) {
    sum += DigammaRise(r, x) + std::log(r / (r + mean)) + 1 - (r + x) / (r + mean);
  }
  return sum;
}

TEST(NegativeBinomial, EstimateSolvesTheLikelihoodEquationsInAFewSteps) {
  for (const double unit : {1.0, 1e3, 1e7}) {
    const std::vector<double> values = {0, 1 * unit, 4 * unit, 9 * unit, 2 * unit, 30 * unit};
    const Params params = Estimate(With(MakeNegativeBinomial), values, 8);
    EXPECT_NEAR(params[0], MeanOf(values), 1e-13 * MeanOf(values));
    EXPECT_NEAR(DispersionScore(values, params[0], params[1]), 0, 1e-11);
  }
}

TEST(NegativeBinomial, MaximisationIsQuadraticNearTheMaximum) {
  const std::vector<double> values = {0, 1, 4, 9, 2, 30};
  const double best = Estimate(With(MakeNegativeBinomial), values, 50)[1];
  const Bench bench(With(MakeNegativeBinomial), 1, Column(values));
  const std::vector<std::vector<double>> ones(1, std::vector<double>(values.size(), 1.0));
  for (const double start : {0.9, 1.1}) {
    const Params next = bench.Maximize({MeanOf(values), start * best}, ones);
    EXPECT_LT(std::abs(next[1] / best - 1), 0.01) << "a tenth off becomes less than a hundredth";
  }
}

TEST(NegativeBinomial, CountsNoMoreSpreadThanPoissonReachTheCeilingAndSayIt) {
  std::vector<Repair> repairs;
  const Params params = Estimate(With(MakeNegativeBinomial), {3, 4, 5, 4}, 30, &repairs);
  EXPECT_EQ(params[0], 4);
  EXPECT_EQ(params[1], 4e6);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kPoissonLimit);
  EXPECT_EQ(repairs[0].component, 0);
  EXPECT_NEAR(repairs[0].amount, 4, 1e-5);
}

TEST(NegativeBinomial, PriorsGiveThePosteriorMode) {
  const std::vector<double> values = {0, 1, 4, 9, 2, 30};
  const NegativeBinomialOptions options{.mean_prior = {4, 2}, .dispersion_prior = {3, 1.5}};
  const Params mode = Estimate(With(MakeNegativeBinomial, options), values, 200);
  const Bench bench(With(MakeNegativeBinomial, options), 1, Column(values));
  const std::vector<std::vector<double>> ones(1, std::vector<double>(values.size(), 1.0));
  const double q = bench.Q(mode, ones);
  for (const double factor : {0.999, 1.001}) {
    EXPECT_LT(bench.Q({mode[0] * factor, mode[1]}, ones), q);
    EXPECT_LT(bench.Q({mode[0], mode[1] * factor}, ones), q);
    EXPECT_LT(bench.Q({mode[0] * factor, mode[1] * factor}, ones), q);
  }
  EXPECT_NEAR(bench.emission().LogPrior(mode),
              3 * std::log(mode[0]) - 2 * mode[0] + 2 * std::log(mode[1]) - 1.5 * mode[1], 1e-12);
}

// --- Boundaries and limits.

TEST(Bernoulli, ProbabilitiesOfZeroAndOneAreMaximaLikeOthers) {
  EXPECT_EQ(Estimate(With(MakeBernoulli), {0, 0, 0})[0], 0);
  EXPECT_EQ(Estimate(With(MakeBernoulli), {1, 1, 1})[0], 1);
  const auto never = LogDensities(With(MakeBernoulli), {0}, {0, 1, kNaN}, {0, 1});
  EXPECT_EQ(never[0], 0);
  EXPECT_EQ(never[1], -kInfinity);
  EXPECT_EQ(never[2], 0);
  const auto always = LogDensities(With(MakeBernoulli), {1}, {0, 1, kNaN}, {0, 1});
  EXPECT_EQ(always[0], -kInfinity);
  EXPECT_EQ(always[1], 0);
  EXPECT_EQ(always[2], 0);
}

TEST(Poisson, RateOfZeroIsAMaximumLikeOthers) {
  for (const double maximum : {5.0, 5e8}) {
    EXPECT_EQ(Estimate(With(MakePoisson), {0, 0, 0})[0], 0);
    const auto log_p = LogDensities(With(MakePoisson), {0}, {0, 1, kNaN}, {0, maximum});
    EXPECT_EQ(log_p[0], 0);
    EXPECT_EQ(log_p[1], -kInfinity);
    EXPECT_EQ(log_p[2], 0);
  }
}

TEST(NegativeBinomial, MeanOfZeroIsAMaximumLikeOthers) {
  const Params params = Estimate(With(MakeNegativeBinomial), {0, 0, 0}, 5);
  EXPECT_EQ(params[0], 0);
  EXPECT_GT(params[1], 0);
  for (const double maximum : {5.0, 0.0}) {
    const auto log_p = LogDensities(With(MakeNegativeBinomial), {0, 2}, {0, 1}, {0, maximum});
    EXPECT_EQ(log_p[0], 0);
    EXPECT_EQ(log_p[1], -kInfinity);
  }
}

TEST(BoundaryParameters, KeepMixturesFinite) {
  // A component that only makes zeros beside one that makes anything.
  const Data data = Column({0, 0, 0, 0, 1, 1, 0, 1});
  for (const auto& [make, params] :
       {std::pair(With(MakeBernoulli), Params{0, 0.5}), {With(MakePoisson), {0, 0.5}}}) {
    Bench bench(make, 2, data);
    auto emission = make(2, bench.summary(), bench.table().names());
    const auto model = MakeMixture(*std::move(emission)).value();
    Theta theta = {0.5, 0.5};
    theta.insert(theta.end(), params.begin(), params.end());
    EXPECT_TRUE(ObjectiveNeverDecreases(*model, bench.table(), theta, 20));
    theta = OneIteration(*model, bench.table(), theta);
    EXPECT_EQ(theta[2], 0) << "a maximum that EM does not leave";
    Params coordinates(theta.size());
    Params back(theta.size());
    model->ToUnconstrained(theta, coordinates);
    EXPECT_EQ(coordinates[2], -kInfinity);
    model->FromUnconstrained(coordinates, theta, back);
    EXPECT_EQ(back[2], 0);
  }
}

// Two components: the second has the value `at` only.
std::vector<Repair> Collapse(const MakeEmission& make, double at, Params& params) {
  const Bench bench(make, 2, Column({1, 2, 3, 4, 5, at, at, at}));
  std::vector<std::vector<double>> resp = {{1, 1, 1, 1, 1, 0, 0, 0}, {0, 0, 0, 0, 0, 1, 1, 1}};
  std::vector<Repair> repairs;
  params = bench.Maximize(bench.Reference(), resp, &repairs);
  return repairs;
}

TEST(Limits, ComponentsOfEqualCellsStopAtTheFloorAndSayIt) {
  Params params;
  const std::vector<double> cells = {1, 2, 3, 4, 5, 2.5, 2.5, 2.5};
  const double mean = MeanOf(cells);
  double variance = 0;
  for (const double x : cells) variance += (x - mean) * (x - mean) / 8;
  const double floor = 1e-9 * std::log1p(variance / (mean * mean));

  std::vector<Repair> repairs = Collapse(With(MakeGamma), 2.5, params);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kVarianceFloored);
  EXPECT_EQ(repairs[0].component, 1);
  EXPECT_NEAR(params[1] * floor, 1, 1e-12);
  EXPECT_NEAR(params[1] / params[3], 2.5, 1e-12);
  EXPECT_NEAR(repairs[0].amount, 2.5 * 2.5 * floor, 1e-9 * floor);

  repairs = Collapse(With(MakeLogNormal), 2.5, params);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kVarianceFloored);
  EXPECT_EQ(repairs[0].component, 1);
  EXPECT_NEAR(params[1], std::log(2.5), 1e-14);
  EXPECT_NEAR(params[3], floor, 1e-12 * floor);

  repairs = Collapse(With(MakeExponential), 0, params);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kVarianceFloored);
  EXPECT_EQ(repairs[0].component, 1);
  EXPECT_NEAR(1 / (params[1] * params[1]), 1e-9 * 15 * 15 / 64.0, 1e-20);
}

TEST(Limits, WithoutARidgeACollapsedComponentHasNoDensity) {
  for (const auto& [make, at] : {std::pair(With(MakeGamma, {.ridge = 0, .prior = {}}), 2.5),
                                 {With(MakeLogNormal, {.ridge = 0, .prior = {}}), 1},
                                 {With(MakeExponential, {.ridge = 0, .prior = {}}), 0}}) {
    Params params;
    Collapse(make, at, params);
    const Bench bench(make, 2, Column({1, 2, 3, 4, 5, at, at, at}));
    const auto prepared = bench.emission().NewPrepared();
    const absl::Status status = bench.emission().Prepare(params, *prepared);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("[1, 0]: got "));
  }
}

TEST(Limits, StepsOfAnAcceleratorStopThere) {
  const Bench bench(With(MakeLogNormal), 1, Column({1, 2, 3}));
  Params params = bench.Reference();
  Params coordinates(2);
  bench.emission().ToUnconstrained(params, coordinates);
  coordinates[1] = -100;
  bench.emission().FromUnconstrained(coordinates, params, params);
  EXPECT_NEAR(params[1], 1e-9 * std::log1p(2.0 / 3 / 4), 1e-16);
}

// --- Refusals.

TEST(Options, AreChecked) {
  const auto message = [](const MakeEmission& make) {
    const absl::Status status = StatusOf(make, {1, 0});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_EQ(message(With(MakeBernoulli, {.alpha = 0.5})),
            "alpha: got 0.5, must be finite and at least 1");
  EXPECT_EQ(message(With(MakeBernoulli, {.beta = kNaN})),
            "beta: got nan, must be finite and at least 1");
  EXPECT_EQ(message(With(MakePoisson, {.prior = {0.5, 1}})),
            "prior.shape: got 0.5, must be finite and at least 1");
  EXPECT_EQ(message(With(MakePoisson, {.prior = {2, 0}})),
            "prior.rate: got 0, must be positive when the shape is above 1");
  EXPECT_EQ(message(With(MakeNegativeBinomial, {.mean_prior = {1, -1}, .dispersion_prior = {}})),
            "mean_prior.rate: got -1, must be finite and 0 or more");
  EXPECT_EQ(message(With(MakeExponential, {.ridge = 1, .prior = {}})),
            "ridge: got 1, must be in [0, 1)");
  EXPECT_EQ(message(With(MakeGamma, {.ridge = 1e-9, .prior = {1, 0, 1}})),
            "prior.mean: got 0, must be positive and finite");
  EXPECT_EQ(
      message(With(MakeLogNormal, {.ridge = 0, .prior = LogNormalOptions::Prior{0, 1, 1, -2}})),
      "prior.scale: got -2, must be positive and finite");
}

TEST(Data, ThatCannotSupportTheDistributionIsRefused) {
  const auto message = [](const MakeEmission& make, const std::vector<double>& values) {
    const absl::Status status = StatusOf(make, values);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    return std::string(status.message());
  };
  EXPECT_EQ(message(With(MakeGamma), {1, 0}),
            "columns[x]: got a minimum of 0, must be positive and finite; leave the column out or "
            "use another emission for it");
  EXPECT_EQ(message(With(MakeBernoulli), {1, 3}),
            "columns[x]: got a maximum of 3, must be 0 or 1; leave the column out or use another "
            "emission for it");
  EXPECT_EQ(message(With(MakeLogNormal), {5, 5}),
            "columns[x]: got 5 in every row, must vary; leave the column out");
  EXPECT_EQ(message(With(MakeExponential), {0, 0}),
            "columns[x]: got a mean of 0, must be positive; leave the column out or rescale it");
}

// --- Published numbers.

TEST(PoissonMixture, ReachesHasselbladsDeaths) {
  // Deaths of women over 80 in The Times, 1910-1912: days with 0 to 9. Hasselblad (1969),
  // "Estimation of finite mixtures of distributions from the exponential family"; the optimum to
  // these digits as in R's SQUAREM (Varadhan & Roland 2008).
  const Data deaths =
      Column({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {162, 267, 271, 185, 111, 61, 27, 8, 3, 1});
  const Bench bench(With(MakePoisson), 2, deaths);
  auto emission = MakePoisson({}, 2, bench.summary(), bench.table().names());
  const auto model = MakeMixture(*std::move(emission)).value();
  FitOptions options;
  options.restarts = 1;
  options.start = StartMethod::kGiven;
  options.given = {0.3, 0.7, 1.0, 2.5};
  options.relative_tolerance = 0;
  options.parameter_tolerance = 1e-10;
  options.max_iterations = 100000;
  options.acceleration = Acceleration::kSquarem;
  Pool pool(1);
  Pool::Share share(pool);
  RunOptions run;
  run.share = &share;
  const auto fit = Fit(*model, bench.table(), bench.summary(), options, run);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_NEAR(fit->objective, -1989.945859883, 1e-9);
  EXPECT_NEAR(fit->theta[0], 0.3598854, 1e-6);
  EXPECT_NEAR(fit->theta[2], 1.2560951, 1e-6);
  EXPECT_NEAR(fit->theta[3], 2.6634044, 1e-6);
}

}  // namespace
}  // namespace emserve::testing
