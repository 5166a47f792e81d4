// The multinomial emission: counts by hand, priors and constraints, and what it refuses.
#include "core/emission/multinomial.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/em/fit.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/emission_subject.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

MakeEmission Make(int num_components, MultinomialOptions options = {}) {
  return [=](const Summary& summary, const std::vector<std::string>& names) {
    return MakeMultinomial(options, num_components, summary, names);
  };
}

const Data kSmall{.num_columns = 3, .values = {2, 1, 0, 0, 0, 0, 0, 3, 1, 5, 0, 0}, .weights = {}};
const Theta kSmallParams = {0.5, 0.3, 0.2, /**/ 0.25, 0.75, 0};

// Rows of about `total` counts in `num_columns` categories from `num_components` topics.
Data Topics(int64_t num_rows, int num_columns, int num_components, int total, uint64_t seed) {
  Random random(seed, 1);
  Data data{.num_columns = num_columns, .values = {}, .weights = {}};
  for (int64_t i = 0; i < num_rows; ++i) {
    std::vector<double> row(num_columns);
    const double start = static_cast<double>(i % num_components) / num_components;
    for (int t = static_cast<int>(random.Below(2 * total)); t > 0; --t) {
      const double u = start + 0.6 * random.Uniform();
      row[static_cast<int>((u - std::floor(u)) * num_columns)] += 1;
    }
    data.values.insert(data.values.end(), row.begin(), row.end());
  }
  return data;
}

TEST(MultinomialDensity, CountsOrdersAndProbabilities) {
  EmissionOnBlock subject(Make(2), kSmall);
  subject.Prepare(kSmallParams);
  const std::vector<double> log_density = subject.LogDensity();
  const int stride = subject.block.stride;
  EXPECT_NEAR(log_density[0], std::log(3 * 0.5 * 0.5 * 0.3), 1e-14);
  EXPECT_EQ(log_density[1], 0);  // says nothing
  EXPECT_NEAR(log_density[2], std::log(4 * 0.3 * 0.3 * 0.3 * 0.2), 1e-14);
  EXPECT_NEAR(log_density[3], 5 * std::log(0.5), 1e-14);
  EXPECT_NEAR(log_density[stride], std::log(3 * 0.25 * 0.25 * 0.75), 1e-14);
  EXPECT_EQ(log_density[stride + 1], 0);
  EXPECT_EQ(log_density[stride + 2], -kInfinity);
  for (int i = 4; i < stride; ++i) EXPECT_EQ(log_density[i], 0) << "padding";
}

TEST(MultinomialDensity, SumsToOneOverAllRowsOfATotal) {
  Data data{.num_columns = 3, .values = {}, .weights = {}};
  for (int a = 0; a <= 7; ++a) {
    for (int b = 0; a + b <= 7; ++b) {
      data.values.insert(data.values.end(), {1.0 * a, 1.0 * b, 7.0 - a - b});
    }
  }
  EmissionOnBlock subject(Make(2), data);
  subject.Prepare(kSmallParams);
  const std::vector<double> log_density = subject.LogDensity();
  for (int k = 0; k < 2; ++k) {
    double sum = 0;
    for (int64_t i = 0; i < data.num_rows(); ++i) {
      sum += std::exp(log_density[k * subject.block.stride + i]);
    }
    EXPECT_NEAR(sum, 1, 1e-13);
  }
}

TEST(MultinomialDensity, TakesCountsBeyondAnyTableOfFactorials) {
  // Two categories of probability 1/2: the binomial of n at n / 2, by Stirling's series.
  for (const double n : {2e3, 2.046e3, 2.048e3, 1e6, 1e12}) {
    const Data data{.num_columns = 2, .values = {n / 2, n / 2, n, 0}, .weights = {}};
    EmissionOnBlock subject(Make(1), data);
    subject.Prepare({0.5, 0.5});
    const std::vector<double> log_density = subject.LogDensity();
    const double expected = 0.5 * std::log(2 / (M_PI * n)) - 1 / (4 * n);
    EXPECT_NEAR(log_density[0], expected, 2e-8) << n;
    EXPECT_NEAR(log_density[1], n * std::log(0.5), 4e-15 * n) << n;
  }
}

TEST(MultinomialDensity, KeepsItsDigitsForCountsOfAnySize) {
  // Against the normal density of the last but one count: the binomial is 1 + O(1 / sd) of it.
  const double n = 9e15;
  const double p = 0.3;
  const double sd = std::sqrt(n * p * (1 - p));
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (const double away : {-2.0, -1.0, 0.0, 1.0, 2.0}) {
    const double x = std::round(n * p + away * sd);
    data.values.insert(data.values.end(), {x, n - x});
  }
  data.values.insert(data.values.end(), {n, 0, 0, n});
  EmissionOnBlock subject(Make(2), data);
  subject.Prepare({p, 1 - p, 1, 0});
  const std::vector<double> log_density = subject.LogDensity();
  for (int i = 0; i < 5; ++i) {
    const double z = (data.values[2 * static_cast<size_t>(i)] - n * p) / sd;
    EXPECT_NEAR(log_density[i], -0.5 * z * z - std::log(sd) - 0.5 * std::log(2 * M_PI), 1e-6) << i;
  }
  const int stride = subject.block.stride;
  EXPECT_EQ(log_density[stride + 0], -kInfinity);
  EXPECT_NEAR(log_density[stride + 5], 0, 1e-9);
  EXPECT_EQ(log_density[stride + 6], -kInfinity);

  const Data rare{.num_columns = 2, .values = {1e12, 1e12}, .weights = {}};
  EmissionOnBlock other(Make(1), rare);
  other.Prepare({1e-300, 1});
  EXPECT_NEAR(other.LogDensity()[0], 1e12 * (2 * std::log(2) - 300 * std::log(10)), 1e3);
}

TEST(MultinomialMaximize, GivesSharesOfTheCounts) {
  Data data = kSmall;
  data.weights = {1, 2, 3, 4};
  EmissionOnBlock subject(Make(2), data);
  const std::vector<double> stats = subject.Accumulate(subject.Assigned({0, 0, 1, 1}));
  EXPECT_THAT(stats, ElementsAre(2, 1, 0, 20, 9, 3));
  const Theta next = subject.Maximize(kSmallParams, {3, 7}, stats);
  const Theta expected = {2. / 3, 1. / 3, 0, 20. / 32, 9. / 32, 3. / 32};
  for (size_t i = 0; i < next.size(); ++i) EXPECT_NEAR(next[i], expected[i], 1e-15) << i;
  // Rows without counts leave a component as it is, and no rows do so with a report.
  std::vector<Repair> repairs;
  const Theta kept = subject.Maximize(kSmallParams, {10, 0}, std::vector<double>(6), &repairs);
  EXPECT_EQ(kept, kSmallParams);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kComponentEmpty);
  EXPECT_EQ(repairs[0].component, 1);
}

TEST(MultinomialMaximize, AddsThePriorsCounts) {
  EmissionOnBlock subject(Make(2, {.concentration = 1.5}), kSmall);
  const std::vector<double> stats = subject.Accumulate(subject.Assigned({0, 0, 1, 1}));
  const Theta next = subject.Maximize(kSmallParams, {2, 2}, stats);
  const Theta expected = {2.5 / 4.5, 1.5 / 4.5, 0.5 / 4.5, 5.5 / 10.5, 3.5 / 10.5, 1.5 / 10.5};
  for (size_t i = 0; i < next.size(); ++i) EXPECT_NEAR(next[i], expected[i], 1e-15) << i;
  double log_prior = 0;
  for (const double p : next) log_prior += 0.5 * std::log(p);
  EXPECT_NEAR(subject.emission->LogPrior(next), log_prior, 1e-13);
}

TEST(MultinomialConstraints, HoldFixedTiedAndSharedElements) {
  EmissionOnBlock subject(Make(3), kSmall);
  ASSERT_TRUE(subject
                  .Constrain({.fixed = {{"probabilities", {0}, {0.25}}},
                              .tied = {{"probabilities", {3, 6}},
                                       {"probabilities", {4, 7}},
                                       {"probabilities", {5, 8}}}})
                  .ok());
  EXPECT_EQ(subject.emission->degrees_of_freedom({true, true, true}), 1 + 2);
  EXPECT_EQ(subject.emission->degrees_of_freedom({true, false, true}), 1 + 2) << "shared";
  EXPECT_EQ(subject.emission->degrees_of_freedom({false, false, true}), 2);
  EXPECT_EQ(subject.emission->degrees_of_freedom({true, false, false}), 1);
  Theta params(9);
  subject.emission->Reference(subject.summary, params);
  // Counts 7, 4 and 1 in all.
  const Theta reference = {0.25, 0.6, 0.15, 7. / 12, 4. / 12, 1. / 12, 7. / 12, 4. / 12, 1. / 12};
  for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(params[i], reference[i], 1e-15) << i;
  const std::vector<double> stats = subject.Accumulate(subject.Assigned({0, 0, 1, 2}));
  const Theta next = subject.Maximize(params, {2, 1, 1}, stats);
  const Theta expected = {0.25, 0.75, 0, 5. / 9, 3. / 9, 1. / 9, 5. / 9, 3. / 9, 1. / 9};
  for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(next[i], expected[i], 1e-15) << i;

  // One element of two rows.
  EmissionOnBlock joined(Make(3), kSmall);
  ASSERT_TRUE(joined.Constrain({.fixed = {}, .tied = {{"probabilities", {0, 3}}}}).ok());
  EXPECT_EQ(joined.emission->degrees_of_freedom({true, true, true}), 3 + 2);
  EXPECT_EQ(joined.emission->degrees_of_freedom({true, false, true}), 2 + 2);

  EmissionOnBlock refusing(Make(3), kSmall);
  const absl::Status status = refusing.Constrain(
      {.fixed = {{"probabilities", {4}, {0.5}}}, .tied = {{"probabilities", {0, 1, 2, 3, 5}}}});
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("constraints: got ties that join"));
}

TEST(MultinomialSample, HasTheSharesAndTheTotal) {
  EmissionOnBlock subject(Make(2, {.concentration = 1, .trials = 7}), kSmall);
  subject.Prepare(kSmallParams);
  Random random(4, 0);
  std::vector<double> row(3);
  std::vector<double> sum(3);
  double square = 0;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    subject.emission->Sample(*subject.prepared, 0, random, row);
    ASSERT_EQ(row[0] + row[1] + row[2], 7);
    for (int d = 0; d < 3; ++d) sum[d] += row[d] / kDraws;
    square += row[0] * row[0] / kDraws;
    subject.emission->Sample(*subject.prepared, 1, random, row);
    ASSERT_EQ(row[2], 0);
  }
  for (int d = 0; d < 3; ++d) EXPECT_NEAR(sum[d], 7 * kSmallParams[d], 0.05);
  EXPECT_NEAR(square - sum[0] * sum[0], 7 * 0.25, 0.07);
  // The mean total of the rows by default, 12 counts in 4 rows.
  EXPECT_EQ(ResolveMultinomial({}, subject.summary)->trials, 3);
}

TEST(MultinomialCheckRows, NamesRowAndColumn) {
  EmissionOnBlock subject(Make(2), kSmall);
  const auto error = [&](double value) {
    Data data = kSmall;
    data.values[7] = value;
    const Table table = data.ToTable();
    BlockBuffer buffer = table.MakeBuffer(4);
    const Block block = table.Read(0, 4, buffer);
    return std::string(subject.emission->CheckRows(block, {"a", "b", "c"}).message());
  };
  EXPECT_EQ(error(-1), "[2]: got -1 in column 'b', must be a count, a whole number from 0 to 2^53");
  EXPECT_THAT(error(0.5), HasSubstr("[2]: got 0.5 in column 'b', must be a count"));
  EXPECT_THAT(error(1e16), HasSubstr("[2]: got 1e+16 in column 'b', must be a count"));
  EXPECT_EQ(error(kNaN),
            "[2]: got nan in column 'b', must be complete, or missing together with all of the "
            "row; fill in the cell, or remove the row's other cells");
  EXPECT_EQ(error(9007199254740992.0), "");
}

TEST(MultinomialRefuses, MissingCellsAndBadOptions) {
  Data holes = kSmall;
  holes.values[4] = kNaN;
  const Summary summary = SummaryOf(holes.ToTable());
  const absl::Status status = MakeMultinomial({}, 2, summary, {"a", "b", "c"}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("columns[b]: got missing cells, must be "));
  const Summary good = SummaryOf(kSmall.ToTable());
  EXPECT_THAT(
      std::string(MakeMultinomial({.concentration = 0.9}, 2, good, Names(3)).status().message()),
      HasSubstr("concentration: got 0.9, must be"));
  EXPECT_THAT(std::string(MakeMultinomial({.concentration = 1, .trials = -1}, 2, good, Names(3))
                              .status()
                              .message()),
              HasSubstr("trials: got -1, must be 0 to 1000000"));
  EmissionOnBlock subject(Make(2), kSmall);
  Theta bad = kSmallParams;
  bad[4] = 2;
  EXPECT_THAT(std::string(subject.emission->Validate(bad).message()),
              HasSubstr("probabilities[1, 1]: got 2, must be in [0, 1]"));
}

TEST(MultinomialConditional, IsTheCellsThemselves) {
  EmissionOnBlock subject(Make(2), kSmall);
  subject.Prepare(kSmallParams);
  const int stride = subject.block.stride;
  std::vector<double> posterior(2 * stride), mean(3 * stride), variance(3 * stride, 1.0);
  subject.emission->Conditional(*subject.prepared, subject.block, posterior, *subject.workspace,
                                mean.data(), variance.data());
  EXPECT_EQ(mean[stride + 2], 3);
  EXPECT_EQ(variance[stride + 2], 0);
}

TEST(MultinomialStatistics, GiveTheirParametersBack) {
  EmissionOnBlock subject(Make(2), kSmall);
  ExpectExpectedStatisticsGiveParametersBack(*subject.emission, kSmallParams,
                                             {0.4, 0.3, 0.3, 0.3, 0.3, 0.4});
}

TEST(MultinomialLaws, Hold) {
  // More columns than a stretch of the inner loop, and not a multiple of it.
  const Data data = Topics(517, 11, 3, 20, 2);
  ExpectLaws(MixtureOf(Make(3), data), data);
  ExpectLaws(MixtureOf(Make(3, {.concentration = 1.2}), data), data);
}

TEST(MultinomialFit, FindsTheTopics) {
  const Data data = Topics(900, 30, 3, 40, 5);
  const Subject subject = MixtureOf(Make(3), data);
  FitOptions options;
  options.restarts = 5;
  const auto fit = FitSubject(subject, options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kConverged);
  // Three classes of 300 rows; empty rows follow the weights.
  for (int k = 0; k < 3; ++k) EXPECT_NEAR(fit->theta[k], 1. / 3, 0.02);
}

}  // namespace
}  // namespace emserve::testing
