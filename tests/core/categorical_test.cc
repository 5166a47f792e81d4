// The categorical emission: latent class analysis by hand, against poLCA, and what it refuses.
#include "core/emission/categorical.h"

#include <cmath>
#include <limits>
#include <map>
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

MakeEmission Make(int num_components, CategoricalOptions options = {}) {
  return [=](const Summary& summary, const std::vector<std::string>& names) {
    return MakeCategorical(options, num_components, summary, names);
  };
}

// Rows of columns that are independent given one of `num_classes` classes, codes from 0; `missing`
// is the share of missing cells.
Data Classes(int num_classes, const std::vector<int>& levels, double missing, uint64_t seed) {
  Random random(seed, 1);
  Data data{.num_columns = static_cast<int>(levels.size()), .values = {}, .weights = {}};
  for (int i = 0; i < 517; ++i) {
    for (size_t c = 0; c < levels.size(); ++c) {
      const double start = static_cast<double>(i % num_classes) / num_classes;
      const double u = start + 0.1 * static_cast<double>(c) + 0.5 * random.Uniform();
      const double code = std::floor((u - std::floor(u)) * levels[c]);
      data.values.push_back(random.Uniform() < missing ? kNaN : code);
    }
  }
  return data;
}

// Two columns, codes 1..2 and 1..3, two components.
const Data kSmall{.num_columns = 2, .values = {1, 1, 2, 3, 1, 2, 2, 3}, .weights = {}};
const Theta kSmallParams = {0.25, 0.75, 0.5, 0.5, /**/ 0.1, 0.2, 0.7, 0.6, 0.4, 0};

TEST(CategoricalDensity, IsTheProductOverColumns) {
  EmissionOnBlock subject(Make(2), kSmall);
  subject.Prepare(kSmallParams);
  const std::vector<double> log_density = subject.LogDensity();
  const int stride = subject.block.stride;
  EXPECT_NEAR(log_density[0], std::log(0.25 * 0.1), 1e-15);
  EXPECT_NEAR(log_density[1], std::log(0.75 * 0.7), 1e-15);
  EXPECT_NEAR(log_density[2], std::log(0.25 * 0.2), 1e-15);
  EXPECT_NEAR(log_density[stride + 0], std::log(0.5 * 0.6), 1e-15);
  EXPECT_EQ(log_density[stride + 1], -std::numeric_limits<double>::infinity());
  EXPECT_NEAR(log_density[stride + 2], std::log(0.5 * 0.4), 1e-15);
  for (int i = subject.block.num_rows; i < stride; ++i) {
    EXPECT_EQ(log_density[i], 0);  // padding, whose 0 is no code here
    EXPECT_EQ(log_density[stride + i], 0);
  }
}

TEST(CategoricalDensity, LeavesMissingCellsOut) {
  Data data = kSmall;
  data.values[1] = data.values[2] = data.values[6] = data.values[7] = kNaN;
  EmissionOnBlock subject(Make(2, {.first = {1}, .num_levels = {2, 3}}), data);
  EXPECT_FALSE(subject.block.complete);
  subject.Prepare(kSmallParams);
  const std::vector<double> log_density = subject.LogDensity();
  EXPECT_NEAR(log_density[0], std::log(0.25), 1e-15);
  EXPECT_NEAR(log_density[1], std::log(0.7), 1e-15);
  EXPECT_NEAR(log_density[2], std::log(0.25 * 0.2), 1e-15);
  EXPECT_EQ(log_density[3], 0);
}

TEST(CategoricalDensity, IsZeroForCodesOutOfRangeWhichCountNowhere) {
  for (const double code : {0.0, 4.0, -1e300, 1e300}) {
    Data data = kSmall;
    data.values[1] = code;
    data.weights = {0, 1, 1, 1};  // as no other row gets past CheckRows
    EmissionOnBlock subject(Make(2, {.first = {1}, .num_levels = {2, 3}}), data);
    EXPECT_EQ(subject.RowError(), "");
    subject.Prepare(kSmallParams);
    const std::vector<double> log_density = subject.LogDensity();
    EXPECT_EQ(log_density[0], -std::numeric_limits<double>::infinity()) << code;
    EXPECT_NEAR(log_density[1], std::log(0.75 * 0.7), 1e-15);
    const std::vector<double> stats =
        subject.Accumulate(std::vector<double>(2 * subject.block.stride, 1.0));
    EXPECT_THAT(stats, ElementsAre(2, 2, 2, 2, /**/ 0, 0, 1, 1, 2, 2));
  }
}

TEST(CategoricalMaximize, GivesSharesOfTheObservedCells) {
  Data data = kSmall;
  data.weights = {1, 2, 3, 4};
  data.values[7] = kNaN;
  EmissionOnBlock subject(Make(2), data);
  const std::vector<double> stats = subject.Accumulate(subject.Assigned({0, 0, 0, 1}));
  EXPECT_THAT(stats, ElementsAre(4, 0, 2, 4, /**/ 1, 0, 3, 0, 2, 0));  // [levels, K]
  const Theta now = kSmallParams;
  const Theta next = subject.Maximize(now, {6, 4}, stats);
  // Nothing is known of component 1's second column: it stays.
  const Theta expected = {4. / 6, 2. / 6, 0, 1, 1. / 6, 3. / 6, 2. / 6, 0.6, 0.4, 0};
  for (size_t i = 0; i < next.size(); ++i) EXPECT_NEAR(next[i], expected[i], 1e-15) << i;
}

TEST(CategoricalMaximize, AddsThePriorsCounts) {
  EmissionOnBlock subject(Make(2, {.first = {}, .num_levels = {}, .concentration = 3}), kSmall);
  const std::vector<double> stats = subject.Accumulate(subject.Assigned({0, 0, 0, 1}));
  const Theta next = subject.Maximize(kSmallParams, {3, 1}, stats);
  const Theta expected = {4. / 7, 3. / 7, 2. / 5, 3. / 5, 3. / 9,
                          3. / 9, 3. / 9, 2. / 7, 2. / 7, 3. / 7};
  for (size_t i = 0; i < next.size(); ++i) EXPECT_NEAR(next[i], expected[i], 1e-15) << i;
  double log_prior = 0;
  for (const double p : next) log_prior += 2 * std::log(p);
  EXPECT_NEAR(subject.emission->LogPrior(next), log_prior, 1e-13);
  EXPECT_FALSE(subject.emission->Validate(kSmallParams).ok());  // has a 0
}

TEST(CategoricalMaximize, KeepsAnEmptyComponentAndSaysSo) {
  EmissionOnBlock subject(Make(2), kSmall);
  std::vector<double> stats = subject.Accumulate(subject.Assigned({0, 0, 0, 0}));
  stats[1] = 1e-13;
  std::vector<Repair> repairs;
  const Theta next = subject.Maximize(kSmallParams, {4, 1e-13}, stats, &repairs);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kComponentEmpty);
  EXPECT_EQ(repairs[0].component, 1);
  EXPECT_EQ(repairs[0].amount, 1e-13);
  EXPECT_EQ(std::vector(next.begin() + 7, next.end()),
            std::vector(kSmallParams.begin() + 7, kSmallParams.end()));
  EXPECT_NEAR(next[0], 0.5, 1e-15);
}

TEST(CategoricalConstraints, HoldFixedTiedAndSharedElements) {
  EmissionOnBlock subject(Make(3), kSmall);
  const ConstraintOptions options = {
      .fixed = {{"probabilities_0", {0}, {0.9}}},
      .tied = {{"probabilities_1", {0, 1}},  // within component 0
                                             // components 1 and 2 share the second column
               {"probabilities_1", {3, 6}},
               {"probabilities_1", {4, 7}},
               {"probabilities_1", {5, 8}}}};
  ASSERT_TRUE(subject.Constrain(options).ok());
  // 3 - 1 of column 0, 1 of component 0 and 2 shared ones of column 1.
  EXPECT_EQ(subject.emission->degrees_of_freedom({true, true, true}), 2 + 1 + 2);
  EXPECT_EQ(subject.emission->degrees_of_freedom({false, false, true}), 1 + 2);
  EXPECT_EQ(subject.emission->degrees_of_freedom({true, false, false}), 1);
  Theta params(subject.emission->parameters().size());
  subject.emission->Reference(subject.summary, params);
  EXPECT_NEAR(params[0], 0.9, 1e-15);
  ASSERT_TRUE(subject.emission->Validate(params).ok());
  const std::vector<double> stats = subject.Accumulate(subject.Assigned({0, 0, 1, 2}));
  const Theta next = subject.Maximize(params, {2, 1, 1}, stats);
  const Theta expected = {0.9,  0.1,  1,   0, 0,   1, /**/
                          0.25, 0.25, 0.5, 0, 0.5, 0.5, 0, 0.5, 0.5};
  for (size_t i = 0; i < next.size(); ++i) EXPECT_NEAR(next[i], expected[i], 1e-15) << i;
  Theta coordinates(next.size());
  Theta back(next.size());
  subject.emission->ToUnconstrained(params, coordinates);
  for (double& c : coordinates) c += 0.5;  // any shift is rescaled away
  subject.emission->FromUnconstrained(coordinates, params, back);
  for (size_t i = 0; i < next.size(); ++i) EXPECT_NEAR(back[i], params[i], 1e-15) << i;
}

TEST(CategoricalConstraints, TiedRowsMayHaveTheSameFixedElements) {
  EmissionOnBlock subject(Make(2), kSmall);
  ASSERT_TRUE(subject
                  .Constrain({.fixed = {{"probabilities_1", {0, 3}, {0.2}}},
                              .tied = {{"probabilities_1", {1, 4}}, {"probabilities_1", {2, 5}}}})
                  .ok());
  EXPECT_EQ(subject.emission->degrees_of_freedom({true, true}), 2 + 1);
  const std::vector<double> stats = subject.Accumulate(subject.Assigned({0, 0, 1, 1}));
  const Theta next = subject.Maximize(kSmallParams, {2, 2}, stats);
  const double third = 0.8 / 3;
  const Theta expected = {0.5, 0.5, 0.5, 0.5, 0.2, third, 2 * third, 0.2, third, 2 * third};
  for (size_t i = 0; i < next.size(); ++i) EXPECT_NEAR(next[i], expected[i], 1e-15) << i;
}

TEST(CategoricalConstraints, TiesMayJoinSingleElementsOfRows) {
  // probabilities_1 of components 0 and 1: the same first one; probabilities_0: crosswise.
  EmissionOnBlock subject(Make(2), kSmall);
  ASSERT_TRUE(subject
                  .Constrain({.fixed = {},
                              .tied = {{"probabilities_0", {0, 3}},
                                       {"probabilities_0", {1, 2}},
                                       {"probabilities_1", {0, 3}}}})
                  .ok());
  EXPECT_EQ(subject.emission->degrees_of_freedom({true, true}), 1 + 3);
  EXPECT_EQ(subject.emission->degrees_of_freedom({true, false}), 1 + 2);
  Theta params(subject.emission->parameters().size());
  subject.emission->Reference(subject.summary, params);
  ASSERT_TRUE(subject.emission->Validate(params).ok());
  const std::vector<double> stats = subject.Accumulate(subject.Assigned({0, 0, 1, 1}));
  const Theta next = subject.Maximize(params, {2, 2}, stats);
  EXPECT_TRUE(subject.emission->Validate(next).ok());
  EXPECT_EQ(next[0], next[3]);
  EXPECT_EQ(next[1], next[2]);
  EXPECT_EQ(next[4], next[7]);
  EXPECT_FALSE(subject.emission->Validate(kSmallParams).ok());
}

TEST(CategoricalConstraints, RefuseWhatLeavesNoProbabilities) {
  const auto message = [](const ConstraintOptions& options) {
    EmissionOnBlock subject(Make(3), kSmall);
    const absl::Status status = subject.Constrain(options);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(message({.fixed = {{"probabilities_0", {1, 2}, {0.3, 0.4}}},
                       .tied = {{"probabilities_0", {0, 3}}}}),
              HasSubstr("constraints: got ties that join probabilities_0[0] with "
                        "probabilities_0[1] and contradict each other, must leave"));
  EXPECT_THAT(message({.fixed = {{"probabilities_0", {2, 3}, {0.6}}}, .tied = {}}),
              HasSubstr("probabilities_0[1]"));
  EXPECT_THAT(message({.fixed = {{"probabilities_1", {2}, {-0.1}}}, .tied = {}}),
              HasSubstr("must be in [0, 1]"));
}

TEST(CategoricalConditional, IsTheMostProbableCodeAndTheRest) {
  Data data = kSmall;
  data.values[1] = data.values[4] = kNaN;
  EmissionOnBlock subject(Make(2, {.first = {1}, .num_levels = {2, 3}}), data);
  subject.Prepare(kSmallParams);
  const int stride = subject.block.stride;
  std::vector<double> posterior(2 * stride, 0.0);
  posterior[0] = 0.5;
  posterior[stride] = 0.5;
  posterior[2] = 0.2;
  posterior[stride + 2] = 0.8;
  std::vector<double> mean(2 * stride), variance(2 * stride);
  subject.emission->Conditional(*subject.prepared, subject.block, posterior, *subject.workspace,
                                mean.data(), variance.data());
  EXPECT_EQ(mean[0], 1);
  EXPECT_EQ(variance[0], 0);
  // (0.1 + 0.6, 0.2 + 0.4, 0.7 + 0) / 2: two equal ones, up to rounding.
  EXPECT_NEAR(variance[stride], 0.65, 1e-15);
  // 0.2 (0.25, 0.75) + 0.8 (0.5, 0.5)
  EXPECT_EQ(mean[2], 2);
  EXPECT_NEAR(variance[2], 0.45, 1e-15);
  EXPECT_EQ(mean[stride + 2], 2);
  EXPECT_EQ(variance[stride + 2], 0);
}

TEST(CategoricalSample, HasTheShares) {
  EmissionOnBlock subject(Make(2), kSmall);
  subject.Prepare(kSmallParams);
  Random random(3, 0);
  std::vector<double> row(2);
  std::vector<double> shares(6);
  constexpr int kDraws = 40000;
  for (int i = 0; i < kDraws; ++i) {
    subject.emission->Sample(*subject.prepared, i % 2, random, row);
    ASSERT_TRUE(row[0] == 1 || row[0] == 2);
    if (i % 2 == 1 || row[0] == 1) shares[(i % 2) * 3 + static_cast<int>(row[1]) - 1] += 1;
  }
  const double expected[] = {0.25 * 0.1, 0.25 * 0.2, 0.25 * 0.7, 0.6, 0.4, 0};
  for (int j = 0; j < 6; ++j) EXPECT_NEAR(shares[j] / (kDraws / 2), expected[j], 0.012) << j;
  EXPECT_EQ(shares[5], 0);
}

TEST(CategoricalCheckRows, NamesRowColumnAndCodes) {
  const auto error = [](double value) {
    Data data = kSmall;
    data.values[5] = value;
    EmissionOnBlock subject(Make(2, {.first = {1}, .num_levels = {3}}), kSmall);
    const Table table = data.ToTable();
    BlockBuffer buffer = table.MakeBuffer(4);
    const Block block = table.Read(0, 4, buffer);
    return std::string(subject.emission->CheckRows(block, {"a", "b"}).message());
  };
  EXPECT_EQ(error(7), "[2]: got 7 in column 'b', must be a category code, 1 to 3");
  EXPECT_EQ(error(0), "[2]: got 0 in column 'b', must be a category code, 1 to 3");
  EXPECT_EQ(error(1.5), "[2]: got 1.5 in column 'b', must be a category code, 1 to 3");
  EXPECT_EQ(error(3), "");
  EXPECT_EQ(error(kNaN), "");
}

TEST(CategoricalOptionsCheck, FillInCodesAndRefuseBadOnes) {
  const auto resolve = [](const CategoricalOptions& options, const Data& data) {
    return ResolveCategorical(options, SummaryOf(data.ToTable()), Names(data.num_columns));
  };
  const auto found = resolve({}, kSmall);
  ASSERT_TRUE(found.ok());
  EXPECT_THAT(found->first, ElementsAre(1, 1));
  EXPECT_THAT(found->num_levels, ElementsAre(2, 3));
  const auto given = resolve({.first = {0}, .num_levels = {4, 5}}, kSmall);
  ASSERT_TRUE(given.ok());
  EXPECT_THAT(given->first, ElementsAre(0, 0));
  EXPECT_THAT(given->num_levels, ElementsAre(4, 5));

  const auto message = [&](const CategoricalOptions& options, const Data& data) {
    const absl::Status status = resolve(options, data).status();
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  };
  EXPECT_THAT(message({{1, 2, 3}, {}}, kSmall), HasSubstr("first: got 3 numbers, must be 2"));
  EXPECT_THAT(message({{}, {0}}, kSmall), HasSubstr("num_levels[0]: got 0, must be 1"));
  EXPECT_THAT(message({{}, {1000001}}, kSmall), HasSubstr("num_levels[0]: got 1000001"));
  EXPECT_THAT(message({.first = {}, .num_levels = {2}}, kSmall),
              HasSubstr("columns[x1]: got codes from 1 to 3, must be 1 to 2"));
  EXPECT_THAT(message({{2}, {}}, kSmall), HasSubstr("columns[x0]: got codes from 1 to 2"));
  Data wide = kSmall;
  wide.values[2] = 2e6;
  EXPECT_THAT(message({}, wide), HasSubstr("must be at most 1000000 levels; number"));
  wide.values[2] = 2.5;
  EXPECT_THAT(message({}, wide), HasSubstr("columns[x0]: got a cell of 2.5"));
  wide.values[2] = 1e100;
  EXPECT_THAT(message({}, wide), HasSubstr("columns[x0]: got a cell of 1e+100"));
  Data empty{.num_columns = 2, .values = {1, kNaN, 2, kNaN}, .weights = {}};
  EXPECT_THAT(message({}, empty), HasSubstr("columns[x1]: got no observed cell"));
  EXPECT_TRUE(resolve({.first = {0}, .num_levels = {3}}, empty).ok());

  for (const double concentration : {0.5, kNaN, HUGE_VAL}) {
    const absl::Status status =
        MakeCategorical({{}, {}, concentration}, 1, SummaryOf(kSmall.ToTable()), Names(2)).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("concentration: got "));
  }
}

TEST(CategoricalValidate, NamesTheOffendingElement) {
  EmissionOnBlock subject(Make(2), kSmall);
  const auto message = [&](size_t i, double value) {
    Theta bad = kSmallParams;
    bad[i] = value;
    return std::string(subject.emission->Validate(bad).message());
  };
  EXPECT_TRUE(subject.emission->Validate(kSmallParams).ok());
  EXPECT_THAT(message(8, -0.1), HasSubstr("probabilities_1[1, 1]: got -0.1, must be in [0, 1]"));
  EXPECT_THAT(message(2, kNaN), HasSubstr("probabilities_0[1, 0]"));
  EXPECT_THAT(message(2, 0.6), HasSubstr("probabilities_0[1]: got a sum of 1.1"));
}

TEST(CategoricalManyLevels, TenThousandAreRightWithOneComponentAndTwo) {
  constexpr int kLevels = 10000;
  Random random(8, 0);
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  std::vector<double> counts(kLevels);
  for (int i = 0; i < 60000; ++i) {
    // The first column tells the two classes apart, the second has one half of the codes in each.
    const int part = i % 2;
    const double code = static_cast<double>(random.Below(kLevels / 2)) + part * kLevels / 2.0;
    data.values.insert(data.values.end(), {static_cast<double>(part), code});
    counts[static_cast<int>(code)] += 1;
  }
  const CategoricalOptions options{.first = {0}, .num_levels = {2, kLevels}};
  for (const int num_components : {1, 2}) {
    const Subject subject = MixtureOf(Make(num_components, options), data);
    FitOptions fit_options;
    fit_options.restarts = 1;
    const auto fit = FitSubject(subject, fit_options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    // n log(1 / 2) of the class, and the code's share: of all, or of its class.
    double expected = 60000 * std::log(0.5);
    for (const double count : counts) {
      if (count > 0) expected += count * std::log(count / (60000.0 / num_components));
    }
    EXPECT_NEAR(fit->log_likelihood, expected, 1e-9 * std::abs(expected)) << num_components;
    const ArraySpec& codes = *subject.model->parameters().Find("probabilities_1");
    for (int l = 0; l < kLevels; l += 37) {
      double share = 0;
      for (int k = 0; k < num_components; ++k) {
        share += fit->theta[k] * fit->theta[codes.offset + k * kLevels + l];
      }
      EXPECT_NEAR(share, counts[l] / 60000, 1e-9);
    }
  }
}

TEST(CategoricalLaws, HoldWithAndWithoutMissingCellsPriorsAndConstraints) {
  const Data complete = Classes(3, {2, 3, 5, 7}, 0, 4);
  const Data holes = Classes(2, {2, 3, 5, 7}, 0.2, 5);
  const CategoricalOptions codes{.first = {0}, .num_levels = {2, 3, 5, 7}};
  CategoricalOptions prior = codes;
  prior.concentration = 1.5;
  ExpectLaws(MixtureOf(Make(3, codes), complete), complete);
  ExpectLaws(MixtureOf(Make(2, codes), holes), holes);
  ExpectLaws(MixtureOf(Make(2, prior), holes), holes);
}

TEST(CategoricalLaws, ConstrainedFitsClimb) {
  const Data data = Classes(3, {2, 3, 5, 7}, 0.1, 6);
  MixtureHyperparameters hyperparameters;
  hyperparameters.constraints = {
      .fixed = {{"probabilities_0", {0}, {0.3}}, {"probabilities_2", {4, 9}, {0.05}}},
      .tied = {{"probabilities_1", {0, 3}},
               {"probabilities_1", {1, 4}},
               {"probabilities_1", {2, 5}},
               {"probabilities_2", {0, 1, 2}}}};
  for (const double concentration : {1.0, 2.0}) {
    const Subject subject =
        MixtureOf(Make(3, {{0}, {2, 3, 5, 7}, concentration}), data, hyperparameters);
    Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
    EXPECT_TRUE(ObjectiveNeverDecreases(*subject.model, subject.table, theta, 200));
    for (int i = 0; i < 20; ++i) theta = OneIteration(*subject.model, subject.table, theta);
    EXPECT_TRUE(subject.model->Validate(theta).ok());
    EXPECT_EQ(theta[3], 0.3);
    EXPECT_EQ(theta[9], theta[12]);
    EXPECT_EQ(theta[18], theta[19]);
    EXPECT_EQ(theta[22], 0.05);
  }
}

TEST(CategoricalStatistics, GiveTheirParametersBack) {
  EmissionOnBlock subject(Make(2), kSmall);
  Theta other = kSmallParams;
  other[7] = 0.3;
  other[8] = 0.3;
  other[9] = 0.4;
  ExpectExpectedStatisticsGiveParametersBack(*subject.emission, kSmallParams, other);
}

struct Published {
  std::string dataset;
  int num_classes;
  int64_t df;
  double log_likelihood;
};

TEST(PublishedLatentClasses, AreReachedWithTheirDegreesOfFreedom) {
  std::vector<Published> rows;
  for (const std::vector<std::string>& cells : ReadCsv("lca_reference.csv")) {
    rows.push_back({cells[0], std::atoi(cells[1].c_str()), std::atoll(cells[3].c_str()),
                    std::atof(cells[4].c_str())});
  }
  ASSERT_EQ(rows.size(), 6u);
  for (const Published& row : rows) {
    const Subject subject = MixtureOf(Make(row.num_classes), LoadCategories(row.dataset + ".csv"));
    FitOptions options;
    options.restarts = 20;
    options.max_iterations = 5000;
    const auto fit = FitSubject(subject, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_GE(fit->log_likelihood, row.log_likelihood - 1e-3) << row.dataset << row.num_classes;
    // values with 3 classes is not identified: poLCA stops short of what there is.
    if (row.dataset != "values" || row.num_classes < 3) {
      EXPECT_LE(fit->log_likelihood, row.log_likelihood + 1e-3) << row.dataset << row.num_classes;
    }
    EXPECT_EQ(subject.model->degrees_of_freedom(fit->theta), row.df);
  }
}

// poLCA's manual: of 500 starts 258 reach the global maximum, the others four local ones. Started
// as poLCA does, with equal weights and uniform numbers rescaled to probabilities; with starts from
// random responsibilities the global maximum is the end of more.
TEST(PublishedLatentClasses, GeneralSurveyHasItsFiveOptima) {
  const Subject subject = MixtureOf(Make(3), LoadCategories("gss82.csv"));
  std::map<double, int> found = {
      {-2754.545, 0}, {-2755.617, 0}, {-2755.739, 0}, {-2762.005, 0}, {-2762.231, 0}};
  FitOptions options;
  options.start = StartMethod::kGiven;
  options.restarts = 1;
  options.max_iterations = 5000;
  options.relative_tolerance = 1e-10;
  constexpr int kStarts = 100;
  for (int start = 0; start < kStarts; ++start) {
    Random random(5, start);
    Theta theta(subject.model->parameters().size(), 1.0);
    for (const ArraySpec& array : subject.model->parameters().arrays()) {
      const int64_t size = array.shape.back();
      for (int64_t begin = array.offset; begin < array.offset + array.size; begin += size) {
        double sum = 0;
        for (int64_t i = begin; i < begin + size; ++i) {
          if (array.name != "weights") theta[i] = random.Uniform();
          sum += theta[i];
        }
        for (int64_t i = begin; i < begin + size; ++i) theta[i] /= sum;
      }
    }
    options.given = theta;
    const auto fit = FitSubject(subject, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_LE(fit->objective, -2754.545 + 1e-3);
    for (auto& [published, count] : found) count += std::abs(fit->objective - published) < 1.5e-3;
  }
  int of_five = 0;
  for (const auto& [published, count] : found) {
    EXPECT_GT(count, 0) << published;
    of_five += count;
  }
  EXPECT_EQ(of_five, kStarts);
  EXPECT_NEAR(found[-2754.545], kStarts * 258.0 / 500, 0.12 * kStarts);
}

}  // namespace
}  // namespace emserve::testing
