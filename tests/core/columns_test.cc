// What all emissions of independent columns share, under every distribution.
#include "core/distribution/columns.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "core/distribution/columns_maximization.h"
#include "core/em/fit.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/columns_test.h"
#include "tests/core/laws.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;
using Params = std::vector<double>;

constexpr int kComponents = 2;
constexpr int kColumns = 3;
constexpr int64_t kRows = 203;

class Columns : public ::testing::TestWithParam<Family> {
 protected:
  Columns() : data_(DataOf(GetParam(), kRows, kColumns, kComponents)) {}

  Bench MakeBench(const ConstraintOptions& constraints = {}) const {
    return Bench(GetParam().make, kComponents, data_, constraints);
  }
  std::unique_ptr<Model> MakeModel(const Bench& bench) const {
    auto emission = GetParam().make(kComponents, bench.summary(), bench.table().names());
    return MakeMixture(*std::move(emission)).value();
  }
  // Every seventh cell is missing, never a whole row.
  Data WithGaps() const {
    Data data = data_;
    for (size_t i = 0; i < data.values.size(); i += 7) data.values[i] = kNaN;
    return data;
  }
  // Of the log density of one row, where large terms cancel.
  double tolerance() const { return 1e-11; }

  const Data data_;
};

INSTANTIATE_TEST_SUITE_P(All, Columns, ::testing::ValuesIn(ColumnFamilies()),
                         [](const auto& test) { return test.param.name; });

void ExpectNear(const Params& actual, const Params& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], tolerance * (1e-3 + std::abs(expected[i]))) << i;
  }
}

TEST_P(Columns, KeepTheLaws) {
  const Bench bench = MakeBench();
  const auto model = MakeModel(bench);
  Theta theta = RandomTheta(*model, bench.table(), bench.summary(), 1);
  for (int i = 0; i < 3; ++i) theta = OneIteration(*model, bench.table(), theta);
  EXPECT_TRUE(StatisticsAddUp(*model, bench.table(), theta));
  EXPECT_TRUE(WeightsAreMultiplicities(*model, data_, theta));
  EXPECT_TRUE(RelabellingRelabels(*model, bench.table(), theta));
  EXPECT_TRUE(EStepDoesNotAllocate(*model, bench.table(), theta));
  EXPECT_TRUE(TruthIsBeaten(*model, theta, 900));
  if (GetParam().exact) {
    EXPECT_TRUE(MaximizationMaximizesQ(*model, bench.table(), bench.summary(), theta));
  }
}

TEST_P(Columns, ObjectiveNeverDecreasesFromRandomStarts) {
  const Bench bench = MakeBench();
  const auto model = MakeModel(bench);
  for (const uint64_t seed : {1, 2, 3, 4, 5}) {
    const Theta theta = RandomTheta(*model, bench.table(), bench.summary(), seed);
    EXPECT_TRUE(ObjectiveNeverDecreases(*model, bench.table(), theta, 60));
  }
}

TEST_P(Columns, ObjectiveNeverDecreasesWithGaps) {
  const Data data = WithGaps();
  const Bench bench(GetParam().make, kComponents, data);
  const auto model = MakeModel(bench);
  const Theta theta = RandomTheta(*model, bench.table(), bench.summary(), 3);
  EXPECT_TRUE(ObjectiveNeverDecreases(*model, bench.table(), theta, 40));
  EXPECT_TRUE(StatisticsAddUp(*model, bench.table(), theta));
  EXPECT_TRUE(EStepDoesNotAllocate(*model, bench.table(), theta));
}

TEST_P(Columns, RepeatedMaximisationReachesTheMaximum) {
  // With the responsibilities as they are; for exact ones the second maximisation changes nothing.
  const Bench bench = MakeBench();
  const auto resp = bench.RandomResponsibilities(8);
  Params params = bench.Reference();
  double before = -kInfinity;
  for (int i = 0; i < 20; ++i) {
    params = bench.Maximize(params, resp);
    const double q = bench.Q(params, resp);
    EXPECT_GE(q, before - 1e-11 * (1 + std::abs(q)));
    before = q;
  }
  for (size_t e = 0; e < params.size(); ++e) {
    for (const double factor : {0.999, 1.001}) {
      Params other = params;
      other[e] *= factor;
      if (!bench.emission().Validate(other).ok()) continue;
      EXPECT_LE(bench.Q(other, resp), before + 1e-11 * (1 + std::abs(before))) << e;
    }
  }
}

TEST_P(Columns, RowsWithGapsHaveTheDensityOfTheirOtherCells) {
  const Bench complete = MakeBench();
  const Params params = complete.RandomParams(4);
  // The density of each column on its own, by leaving all others out.
  std::vector<std::vector<std::vector<double>>> of_column;
  for (int d = 0; d < kColumns; ++d) {
    Data one = data_;
    for (size_t i = 0; i < one.values.size(); ++i) {
      if (static_cast<int>(i % kColumns) != d) one.values[i] = kNaN;
    }
    // Moments are of the whole data, hence the same emission on another table.
    Bench bench(GetParam().make, kComponents, data_);
    bench.Replace(one);
    of_column.push_back(bench.LogDensity(params));
  }
  const auto whole = complete.LogDensity(params);
  for (int k = 0; k < kComponents; ++k) {
    for (int i = 0; i < kRows; ++i) {
      const double sum = of_column[0][k][i] + of_column[1][k][i] + of_column[2][k][i];
      EXPECT_NEAR(whole[k][i], sum, tolerance() * (1 + std::abs(sum)));
    }
  }
}

TEST_P(Columns, RowsWithoutCellsHaveDensityOne) {
  Bench bench = MakeBench();
  const Params params = bench.RandomParams(4);
  Data data = data_;
  std::fill_n(data.values.begin() + kColumns, kColumns, kNaN);
  bench.Replace(data);
  for (const auto& of_component : bench.LogDensity(params)) {
    EXPECT_EQ(of_component[1], 0);
    EXPECT_NE(of_component[0], 0);
  }
}

TEST_P(Columns, MissingCellsCountAsWeightZeroInTheStatistics) {
  Bench bench = MakeBench();
  const Params params = bench.RandomParams(4);
  const auto resp = bench.RandomResponsibilities(5);
  Bench gaps = MakeBench();
  gaps.Replace(WithGaps());
  const auto with_gaps = gaps.Statistics(params, resp);
  // Column by column: responsibility 0 where the cell is missing.
  for (int d = 0; d < kColumns; ++d) {
    auto zeroed = resp;
    for (int i = 0; i < kRows; ++i) {
      if ((i * kColumns + d) % 7 != 0) continue;
      for (auto& of_component : zeroed) of_component[i] = 0;
    }
    const auto expected = bench.Statistics(params, zeroed);
    for (size_t e = d; e < expected.size(); e += kColumns) {
      EXPECT_NEAR(with_gaps[e], expected[e], 1e-12 * (1 + std::abs(expected[e]))) << e;
    }
  }
}

TEST_P(Columns, SamplesHaveTheMomentsOfConditionals) {
  Bench bench = MakeBench();
  const Params params = bench.RandomParams(4);
  // The mean and variance of a missing cell that surely belongs to component k.
  for (int k = 0; k < kComponents; ++k) {
    double mean = 0;
    double variance = 0;
    bench.Conditional(params, k, 1, 1, mean, variance);
    constexpr int kDraws = 200000;
    const auto prepared = bench.emission().NewPrepared();
    ASSERT_TRUE(bench.emission().Prepare(params, *prepared).ok());
    Random random(3, static_cast<uint64_t>(k));
    std::vector<double> row(kColumns);
    double first = 0;
    double second = 0;
    double fourth = 0;
    for (int i = 0; i < kDraws; ++i) {
      bench.emission().Sample(*prepared, k, random, row);
      const double away = row[1] - mean;
      first += away / kDraws;
      second += away * away / kDraws;
      fourth += away * away * away * away / kDraws;
    }
    EXPECT_LE(std::abs(first), 5 * std::sqrt(variance / kDraws));
    EXPECT_LE(std::abs(second - variance), 5 * std::sqrt(fourth / kDraws));
  }
}

TEST_P(Columns, ConditionalsObeyTheLawOfTotalVariance) {
  Bench bench = MakeBench();
  const Params params = bench.RandomParams(6);
  double mean0 = 0, variance0 = 0, mean1 = 0, variance1 = 0, mean = 0, variance = 0;
  bench.Conditional(params, 0, 1, 2, mean0, variance0);
  bench.Conditional(params, 1, 1, 2, mean1, variance1);
  bench.Conditional(params, 0, 0.3, 2, mean, variance);
  const double expected = 0.3 * mean0 + 0.7 * mean1;
  EXPECT_NEAR(mean, expected, 1e-12 * std::abs(expected));
  const double total = 0.3 * (variance0 + (mean0 - expected) * (mean0 - expected)) +
                       0.7 * (variance1 + (mean1 - expected) * (mean1 - expected));
  EXPECT_NEAR(variance, total, 1e-12 * total);
}

TEST_P(Columns, UnconstrainedCoordinatesLeadBack) {
  const Bench bench = MakeBench();
  const Params params = bench.RandomParams(4);
  Params coordinates(params.size());
  Params back(params.size());
  bench.emission().ToUnconstrained(params, coordinates);
  bench.emission().FromUnconstrained(coordinates, params, back);
  ExpectNear(back, params, 1e-13);
  // Any step leads to parameters again.
  for (const double step : {-3.0, 2.0}) {
    Params moved = coordinates;
    for (double& coordinate : moved) coordinate += step;
    bench.emission().FromUnconstrained(moved, params, back);
    EXPECT_TRUE(bench.emission().Validate(back).ok());
  }
}

TEST_P(Columns, ExpectedStatisticsMaximiseToTheParametersWithoutPrior) {
  const Bench bench = MakeBench();
  const Params params = bench.RandomParams(4);
  if (bench.emission().LogPrior(params) != 0) GTEST_SKIP() << "has a prior";
  Params stats(bench.emission().statistics().size());
  Params next(params.size());
  const std::vector<double> occupancy = {40, 90};
  bench.emission().ExpectedStatistics(params, occupancy, stats);
  std::vector<Repair> repairs;
  ASSERT_TRUE(bench.emission().Maximize(params, occupancy, stats, next, {repairs, {}}).ok());
  ExpectNear(next, params, 1e-6);
}

TEST_P(Columns, ExpectedLogDensityDiffersFromDensitiesByAConstant) {
  const Bench bench = MakeBench();
  const Params centre = bench.RandomParams(4);
  const auto resp = bench.RandomResponsibilities(9);
  const auto stats = bench.Statistics(centre, resp);
  const std::vector<double> occupancy(kComponents, 1);
  const auto difference = [&](const Params& params) {
    return bench.emission().ExpectedLogDensity(centre, occupancy, stats, params) +
           bench.emission().LogPrior(params) - bench.Q(params, resp);
  };
  const double constant = difference(centre);
  const double allowance = 1e-9 * (1 + std::abs(constant));
  for (const uint64_t seed : {11, 12, 13}) {
    if (GetParam().exact) {
      EXPECT_NEAR(difference(bench.RandomParams(seed)), constant, allowance);
    } else {
      EXPECT_LE(difference(bench.RandomParams(seed)), constant + allowance) << "a minorant";
    }
  }
}

TEST_P(Columns, RecentredStatisticsAreThoseOfTheNewCentre) {
  if (!GetParam().exact) GTEST_SKIP() << "documented as an approximation";
  const Bench bench = MakeBench();
  const Params old = bench.RandomParams(4);
  const Params centre = bench.RandomParams(5);
  const auto resp = bench.RandomResponsibilities(9);
  auto stats = bench.Statistics(old, resp);
  bench.emission().Recenter(old, centre, {}, stats);
  const auto expected = bench.Statistics(centre, resp);
  for (size_t e = 0; e < stats.size(); ++e) {
    EXPECT_NEAR(stats[e], expected[e], 1e-14 + 1e-8 * std::abs(expected[e])) << e;
  }
}

TEST_P(Columns, CellsOutsideTheSupportAreRefusedByRowAndColumn) {
  Bench bench = MakeBench();
  Data data = data_;
  data.values[101 * kColumns + 2] = GetParam().outside;
  data.values[7] = kNaN;  // missing is not outside
  bench.Replace(data);
  BlockBuffer buffer = bench.table().MakeBuffer(32);
  EXPECT_TRUE(bench.emission().CheckRows(bench.table().Read(0, 32, buffer), {"a", "b", "c"}).ok());
  const absl::Status status =
      bench.emission().CheckRows(bench.table().Read(96, 32, buffer), {"a", "b", "c"});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("[101]: got "));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(" in column 'c', must be " + GetParam().support));
  data.weights.assign(kRows, 1.0);
  data.weights[101] = 0;
  bench.Replace(data);
  EXPECT_TRUE(bench.emission().CheckRows(bench.table().Read(96, 32, buffer), {"a", "b", "c"}).ok())
      << "a row without weight is no row";
}

TEST_P(Columns, EmptyComponentsKeepTheirParametersAndAreReported) {
  const Bench bench = MakeBench();
  const Params params = bench.RandomParams(4);
  auto resp = bench.RandomResponsibilities(5);
  std::fill(resp[1].begin(), resp[1].end(), 0.0);
  std::vector<Repair> repairs;
  const Params next = bench.Maximize(params, resp, &repairs);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kComponentEmpty);
  EXPECT_EQ(repairs[0].component, 1);
  for (size_t e = 0; e < params.size(); ++e) {
    if (e / kColumns % kComponents == 1) {
      EXPECT_EQ(next[e], params[e]);
    } else {
      EXPECT_NE(next[e], params[e]);
    }
  }
}

TEST_P(Columns, ColumnsWithoutCellsAreRefused) {
  Data data = data_;
  for (int64_t i = 0; i < kRows; ++i) data.values[i * kColumns + 1] = kNaN;
  const Table table = data.ToTable();
  const auto made = GetParam().make(kComponents, SummaryOf(table), {"a", "b", "c"});
  EXPECT_EQ(made.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(made.status().message(),
            "columns[b]: got no observed cell, must have some; leave the column out");
}

TEST_P(Columns, ColumnsOutsideTheSupportAreRefused) {
  if (GetParam().outside >= 0 && GetParam().support != "positive and finite" &&
      GetParam().name.substr(0, 9) != "bernoulli") {
    GTEST_SKIP() << "extremes do not show it";
  }
  Data data = data_;
  if (GetParam().outside == 0.5) GTEST_SKIP() << "not an extreme";
  data.values[1] = GetParam().outside;
  const Table table = data.ToTable();
  const auto made = GetParam().make(kComponents, SummaryOf(table), {"a", "b", "c"});
  EXPECT_EQ(made.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("columns[b]: got a m"));
  EXPECT_THAT(std::string(made.status().message()), HasSubstr(", must be " + GetParam().support));
}

TEST_P(Columns, BadParametersAreNamed) {
  const Bench bench = MakeBench();
  const ArraySpec& array = bench.emission().parameters().arrays().back();
  Params params = bench.RandomParams(4);
  EXPECT_TRUE(bench.emission().Validate(params).ok());
  for (const double bad : {kNaN, kInfinity, -1.0}) {
    Params broken = params;
    broken[array.offset + 1 * kColumns + 2] = bad;
    const absl::Status status = bench.emission().Validate(broken);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(array.name + "[1, 2]: got "));
    const auto prepared = bench.emission().NewPrepared();
    EXPECT_EQ(bench.emission().Prepare(broken, *prepared).code(),
              absl::StatusCode::kFailedPrecondition);
  }
}

// --- Constraints.

TEST_P(Columns, TiedComponentsAreOneComponent) {
  ConstraintOptions all;
  const Bench bench = MakeBench();
  for (const ArraySpec& array : bench.emission().parameters().arrays()) {
    for (int64_t d = 0; d < kColumns; ++d) {
      all.tied.push_back({.array = array.name, .elements = {d, d + kColumns}});
    }
  }
  if (bench.emission().LogPrior(bench.Reference()) != 0) GTEST_SKIP() << "two priors";
  const Bench tied = MakeBench(all);
  const Bench single(GetParam().make, 1, data_);
  Params params = tied.Reference();
  Params one = single.Reference();
  const std::vector<std::vector<double>> ones(1, std::vector<double>(kRows, 1.0));
  for (int i = 0; i < 3; ++i) {
    params = tied.Maximize(params, tied.RandomResponsibilities(5));
    one = single.Maximize(one, ones);
  }
  for (const ArraySpec& array : tied.emission().parameters().arrays()) {
    const Params both = ArrayOf(tied.emission().parameters(), params, array.name);
    const Params alone = ArrayOf(single.emission().parameters(), one, array.name);
    for (int d = 0; d < kColumns; ++d) {
      EXPECT_EQ(both[d], both[d + kColumns]);
      EXPECT_NEAR(both[d], alone[d], 1e-9 * std::abs(alone[d]));
    }
  }
  EXPECT_EQ(tied.emission().degrees_of_freedom({true, true}),
            single.emission().degrees_of_freedom({true}));
}

TEST_P(Columns, FixedElementsKeepTheirValues) {
  const Bench free = MakeBench();
  const Params values = free.RandomParams(7);
  const Layout& layout = free.emission().parameters();
  for (const ArraySpec& array : layout.arrays()) {
    const double value = values[array.offset + 4];
    const Bench bench = MakeBench(
        {.fixed = {{.array = array.name, .elements = {4}, .values = {value}}}, .tied = {}});
    EXPECT_EQ(bench.emission().degrees_of_freedom({true, true}), layout.size() - 1);
    const auto resp = bench.RandomResponsibilities(5);
    Params params = bench.Maximize(bench.Reference(), resp);
    EXPECT_EQ(params[array.offset + 4], value);
    for (int i = 0; i < 10; ++i) params = bench.Maximize(params, resp);
    EXPECT_EQ(params[array.offset + 4], value);
    // The others of that cell are at their maximum given it.
    const double q = bench.Q(params, resp);
    for (size_t e = 4; e < params.size(); e += kComponents * kColumns) {
      if (e == static_cast<size_t>(array.offset) + 4) continue;
      for (const double factor : {0.999, 1.001}) {
        Params other = params;
        other[e] *= factor;
        EXPECT_LE(bench.Q(other, resp), q + 1e-11 * (1 + std::abs(q)));
      }
    }
    Params coordinates(params.size());
    Params back(params.size());
    bench.emission().ToUnconstrained(params, coordinates);
    for (double& coordinate : coordinates) coordinate += 0.01;
    bench.emission().FromUnconstrained(coordinates, params, back);
    EXPECT_EQ(back[array.offset + 4], value);
  }
}

TEST_P(Columns, PartialTiesReachTheConstrainedMaximum) {
  // One array tied across components, column by column; the others free.
  const Bench free = MakeBench();
  for (const ArraySpec& array : free.emission().parameters().arrays()) {
    ConstraintOptions options;
    for (int64_t d = 0; d < kColumns; ++d) {
      options.tied.push_back({.array = array.name, .elements = {d, d + kColumns}});
    }
    const Bench bench = MakeBench(options);
    const auto resp = bench.RandomResponsibilities(5);
    Params params = bench.RandomParams(6);
    double before = bench.Q(params, resp);
    for (int i = 0; i < 15; ++i) {
      params = bench.Maximize(params, resp);
      const double q = bench.Q(params, resp);
      EXPECT_GE(q, before - 1e-11 * (1 + std::abs(q)));
      before = q;
    }
    for (size_t e = 0; e < params.size(); ++e) {
      const bool tied = static_cast<int64_t>(e) >= array.offset &&
                        static_cast<int64_t>(e) < array.offset + array.size;
      if (tied && e % (kComponents * kColumns) >= kColumns) continue;
      if (tied) {
        EXPECT_EQ(params[e], params[e + kColumns]);
      }
      for (const double factor : {0.999, 1.001}) {
        Params other = params;
        other[e] *= factor;
        if (tied) other[e + kColumns] *= factor;
        if (!bench.emission().Validate(other).ok()) continue;
        EXPECT_LE(bench.Q(other, resp), before + 1e-10 * (1 + std::abs(before))) << e;
      }
    }
  }
}

TEST_P(Columns, ConstrainedObjectiveNeverDecreases) {
  ConstraintOptions options;
  const Bench free = MakeBench();
  const ArraySpec& first = free.emission().parameters().arrays().front();
  const ArraySpec& last = free.emission().parameters().arrays().back();
  options.tied.push_back({.array = first.name, .elements = {0, 3}});
  if (last.name != first.name) options.tied.push_back({.array = last.name, .elements = {3, 4}});
  options.fixed.push_back(
      {.array = last.name, .elements = {2}, .values = {free.Reference()[last.offset + 2]}});
  auto emission = GetParam().make(kComponents, free.summary(), free.table().names());
  auto model = MakeMixture(*std::move(emission), {.constraints = options});
  ASSERT_TRUE(model.ok()) << model.status();
  const Theta theta = RandomTheta(**model, free.table(), free.summary(), 3);
  EXPECT_TRUE(ObjectiveNeverDecreases(**model, free.table(), theta, 40));
}

TEST_P(Columns, FixedValuesOutsideTheDomainAreRefused) {
  const Bench bench = MakeBench();
  const std::string name = bench.emission().parameters().arrays().back().name;
  auto emission = GetParam().make(kComponents, bench.summary(), bench.table().names());
  const auto constraints =
      Constraints::Make((*emission)->parameters(),
                        {.fixed = {{.array = name, .elements = {5}, .values = {-1}}}, .tied = {}});
  const absl::Status status = (*emission)->Constrain(*constraints);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("constraints: got " + name + "[1, 2] fixed at -1, must be "));
}

TEST(ColumnsTies, HoldAlsoFromParametersThatBreakThem) {
  // Statistics are then centred on different parameters and must not be added up.
  const Data data{.num_columns = 1, .values = {1, 2, 4, 9, 3, 7}, .weights = {}};
  const Bench bench(With(MakeLogNormal), 2, data,
                    {.fixed = {},
                     .tied = {{.array = "log_means", .elements = {}},
                              {.array = "log_variances", .elements = {}}}});
  const std::vector<std::vector<double>> resp(2, std::vector<double>(6, 0.5));
  const Params params = bench.Maximize({0, 2, 0.5, 0.7}, resp);
  double mean = 0;
  for (const double x : data.values) mean += std::log(x) / 6;
  double variance = 0;
  for (const double x : data.values) variance += (std::log(x) - mean) * (std::log(x) - mean) / 6;
  EXPECT_NEAR(params[0], mean, 1e-6);
  EXPECT_EQ(params[1], params[0]);
  EXPECT_NEAR(params[2], variance, 1e-6);
  EXPECT_EQ(params[3], params[2]);
}

TEST(ColumnsTies, KeepTheLimitsOfEveryColumn) {
  // The first column is wider, so its floor is the higher; the second component is a point in both.
  const Data data{.num_columns = 2, .values = {1, 4, 9, 5, 100, 6, 2, 5, 2, 5}, .weights = {}};
  const Bench bench(With(MakeLogNormal), 2, data,
                    {.fixed = {}, .tied = {{.array = "log_variances", .elements = {2, 3}}}});
  const auto floor = [&](int d) {
    const double mean = bench.summary().mean[d];
    return 1e-9 * std::log1p(bench.summary().variance[d] / (mean * mean));
  };
  ASSERT_GT(floor(0), 2 * floor(1));
  std::vector<Repair> repairs;
  const Params params =
      bench.Maximize(bench.Reference(), {{1, 1, 1, 0, 0}, {0, 0, 0, 1, 1}}, &repairs);
  EXPECT_NEAR(params[6], floor(0), 1e-12 * floor(0));
  EXPECT_EQ(params[7], params[6]);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kVarianceFloored);
}

TEST(ColumnsEmptyCells, KeepTheirParametersBesideCellsThatMove) {
  // The second component never sees the second column.
  const Data data{
      .num_columns = 2, .values = {1, 4, 9, 5, 100, kNaN, 2, kNaN, 3, kNaN}, .weights = {}};
  const Bench bench(With(MakeGamma), 2, data);
  const Params before = bench.Reference();
  std::vector<Repair> repairs;
  const Params params = bench.Maximize(before, {{1, 1, 0, 0, 0}, {0, 0, 1, 1, 1}}, &repairs);
  for (const int e : {3, 7}) EXPECT_EQ(params[e], before[e]);
  for (const int e : {0, 1, 2, 4, 5, 6}) EXPECT_NE(params[e], before[e]);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kCellsUnobserved) << "rows belong to the component";
  EXPECT_EQ(repairs[0].component, 1);
  EXPECT_EQ(repairs[0].amount, 0);
}

TEST(ColumnsEmptyCells, DoNotCostAComponentItsWeight) {
  // Rows of the second cluster never have the third column.
  Random random(5, 0);
  Data data{.num_columns = 3, .values = {}, .weights = {}};
  for (int i = 0; i < 200; ++i) {
    const double rate = i % 2 == 0 ? 3 : 40;
    data.values.push_back(DrawPoisson(rate, random));
    data.values.push_back(DrawPoisson(rate, random));
    data.values.push_back(i % 2 == 0 ? DrawPoisson(7, random) : kNaN);
  }
  const Table table = data.ToTable();
  auto emission = MakePoisson({}, 2, SummaryOf(table), table.names());
  const auto model = MakeMixture(*std::move(emission), {}).value();
  Pool pool(1);
  Pool::Share share(pool);
  RunOptions run;
  run.share = &share;
  FitOptions options;
  options.collapse = CollapsePolicy::kDrop;
  options.start = StartMethod::kGiven;
  options.restarts = 1;
  options.given = {0.5, 0.5, 3, 3, 7, 40, 40, 5};
  const auto fit = Fit(*model, table, SummaryOf(table), options, run);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_NEAR(fit->theta[1], 0.5, 1e-3);
  EXPECT_EQ(fit->theta[7], 5) << "no row says otherwise";
  ASSERT_EQ(fit->repairs.size(), 1u);
  EXPECT_EQ(fit->repairs[0].reason, kCellsUnobserved);
}

TEST(ColumnsEmptyCells, CountByTheirPriorWhereTheyAreTied) {
  // The second component has no rows, but the first one's variance.
  const Data data{.num_columns = 1, .values = {1, 2, 4, 9, 3, 7}, .weights = {}};
  const Bench bench(With(MakeLogNormal, {.prior = LogNormalOptions::Prior{0.5, 2, 1.5, 0.7}}), 2,
                    data, {.fixed = {}, .tied = {{.array = "log_variances", .elements = {0, 1}}}});
  const std::vector<std::vector<double>> resp = {std::vector<double>(6, 1.0),
                                                 std::vector<double>(6, 0.0)};
  const Params params = bench.Maximize({0, 5, 0.5, 0.5}, resp);
  EXPECT_EQ(params[1], 5) << "its own";
  EXPECT_EQ(params[2], params[3]);
  for (const double factor : {0.99, 1.01}) {
    Params other = params;
    other[2] = other[3] *= factor;
    EXPECT_LT(bench.Q(other, resp), bench.Q(params, resp)) << factor;
  }
}

TEST(ColumnsMaximize, IsCancelledOnRequest) {
  const Data data{.num_columns = 1, .values = {1, 2, 3}, .weights = {}};
  const Bench bench(With(MakeGamma), 1, data);
  const Params params = bench.Reference();
  const auto stats = bench.Statistics(params, {{1, 1, 1}});
  Params next(params.size());
  std::vector<Repair> repairs;
  std::stop_source source;
  source.request_stop();
  const std::vector<double> occupancy = {3};
  EXPECT_EQ(bench.emission()
                .Maximize(params, occupancy, stats, next, {repairs, source.get_token()})
                .code(),
            absl::StatusCode::kCancelled);
}

// Two numbers per cell, whose expectation is highest at (1, 2); at the hundredth question about it
// a stop is requested.
class Stopping final : public Univariate {
 public:
  const std::vector<UnivariateParameter>& parameters() const override { return parameters_; }
  const std::vector<std::string>& statistics() const override { return statistics_; }
  int num_constants() const override { return 0; }
  const Support& support() const override { return support_; }
  void Reference(int, std::span<double> params) const override { params[0] = params[1] = 0; }
  void Prepare(int, std::span<const double>, double*) const override {}
  void AddLogDensity(const Run&, const double*, double*) const override {}
  void AddStatistics(const Run&, const double*, const double*, std::span<double>) const override {}
  double Expected(const CellStatistics&, std::span<const double> params) const override {
    if (++num_calls_ == 100) stop_.request_stop();
    return -std::pow(params[0] - 1, 2) - std::pow(params[1] - 2, 2);
  }
  void MaximizeOne(const CellStatistics&, int p, std::span<double> params) const override {
    if (++num_calls_ == 100) stop_.request_stop();
    params[p] = p + 1;
  }
  void ExpectedSums(std::span<const double>, std::span<double>) const override {}
  double Mean(std::span<const double>) const override { return 0; }
  double Variance(std::span<const double>) const override { return 1; }
  double Draw(std::span<const double>, Random&) const override { return 0; }
  Cumulatives CumulativesOf(std::span<const double>, double) const override { return {}; }

  int num_calls() const { return num_calls_; }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  const std::vector<UnivariateParameter> parameters_ = {{"a", Domain::kReal, ""},
                                                        {"b", Domain::kReal, ""}};
  const std::vector<std::string> statistics_;
  const Support support_ = {[](double) { return true; }, "anything"};
  mutable std::stop_source stop_;
  mutable int num_calls_ = 0;
};

TEST(ColumnsMaximize, StopsInTheMiddleOfTies) {
  const int num_columns = 64;
  Layout layout;
  layout.Add("a", {1, num_columns});
  layout.Add("b", {1, num_columns});
  const auto constraints =
      Constraints::Make(layout, {.fixed = {}, .tied = {{.array = "a", .elements = {}}}});
  const Stopping univariate;
  const ColumnsMaximization maximization(univariate, 1, num_columns, *constraints);
  const Params params(layout.size());
  Params next(layout.size());
  const std::vector<double> observed(num_columns, 1.0);
  const absl::Status status =
      maximization.Maximize(params, observed, 1e-10, next, univariate.token());
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_LT(univariate.num_calls(), 100 + 3 * num_columns);
}

TEST(ColumnsDegreesOfFreedom, CountWhatIsFreeInTheComponentsThatAreLeft) {
  const Data data = DataOf(ColumnFamilies()[10], 50, 3, 4);
  const MakeEmission make = With(MakeGamma);
  EXPECT_EQ(Bench(make, 4, data).emission().degrees_of_freedom({true, true, true, true}), 24);
  EXPECT_EQ(Bench(make, 4, data).emission().degrees_of_freedom({true, false, true, true}), 18);
  const Bench tied(make, 4, data, {.fixed = {}, .tied = {{.array = "shapes", .elements = {}}}});
  EXPECT_EQ(tied.emission().degrees_of_freedom({true, true, true, true}), 13);
  EXPECT_EQ(tied.emission().degrees_of_freedom({false, true, false, true}), 7)
      << "the shape belongs to all components";
  const Bench fixed(make, 4, data,
                    {.fixed = {{.array = "shapes", .elements = {0, 1, 2}, .values = {1}}},
                     .tied = {{.array = "rates", .elements = {3, 6}}}});
  EXPECT_EQ(fixed.emission().degrees_of_freedom({true, true, true, true}), 9 + 11);
  EXPECT_EQ(fixed.emission().degrees_of_freedom({true, false, false, false}), 3);
  EXPECT_EQ(fixed.emission().degrees_of_freedom({false, true, false, false}), 6);
  EXPECT_EQ(fixed.emission().degrees_of_freedom({false, true, true, false}), 6 + 5);
}

}  // namespace
}  // namespace emserve::testing
