// Multinomial and von Mises-Fisher emissions on rows without a cell.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/emission/multinomial.h"
#include "core/emission/von_mises_fisher.h"
#include "core/numerics/bessel.h"
#include "core/runtime/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/emission_subject.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

absl::StatusOr<std::unique_ptr<Emission>> Counts(const Summary& summary,
                                                 const std::vector<std::string>& names) {
  return MakeMultinomial({.concentration = 1, .trials = 10}, 2, summary, names);
}
absl::StatusOr<std::unique_ptr<Emission>> Directions(const Summary& summary,
                                                     const std::vector<std::string>& names) {
  return MakeVonMisesFisher({}, 2, summary, names);
}

struct Case {
  MakeEmission make;
  Data complete, gappy;  // the same rows, and some without a cell
  Theta params;
};
const Case kCases[] = {
    {Counts,
     {.num_columns = 3, .values = {3, 1, 0, 0, 2, 5}, .weights = {}},
     {.num_columns = 3, .values = {3, 1, 0, kNaN, kNaN, kNaN, 0, 2, 5}, .weights = {}},
     {0.5, 0.3, 0.2, 0.1, 0.3, 0.6}},
    {Directions,
     {.num_columns = 3, .values = {1, 0, 0, 0, 0.6, 0.8}, .weights = {}},
     {.num_columns = 3, .values = {1, 0, 0, kNaN, kNaN, kNaN, 0, 0.6, 0.8}, .weights = {}},
     {1, 0, 0, 0, 0.8, 0.6, 2, 5}},
};

TEST(RowsWithoutACell, SayNothing) {
  for (const Case& c : kCases) {
    EmissionOnBlock complete(c.make, c.complete);
    EmissionOnBlock gappy(c.make, c.gappy);
    EXPECT_EQ(gappy.RowError(), "");
    complete.Prepare(c.params);
    gappy.Prepare(c.params);
    const std::vector<double> expected = complete.LogDensity();
    const std::vector<double> got = gappy.LogDensity();
    for (int k = 0; k < 2; ++k) {
      const size_t begin = static_cast<size_t>(k) * gappy.block.stride;
      EXPECT_EQ(got[begin], expected[begin]);
      EXPECT_EQ(got[begin + 1], 0);
      EXPECT_EQ(got[begin + 2], expected[begin + 1]);
    }
    EXPECT_EQ(gappy.block.weights[1], 0);
    EXPECT_EQ(gappy.Accumulate(gappy.Assigned({0, 0, 1})),
              complete.Accumulate(complete.Assigned({0, 1})));
  }
}

TEST(RowsWithoutACell, LeaveAFitAsItIs) {
  for (const Case& c : kCases) {
    Data complete = c.complete;
    Data gappy = c.gappy;
    for (int copy = 0; copy < 30; ++copy) {  // not quite copies
      for (int r = 0; r < 2; ++r) {
        std::vector<double> row(c.complete.values.begin() + 3 * r,
                                c.complete.values.begin() + 3 * r + 3);
        std::rotate(row.begin(), row.begin() + (copy % 7 == 0 ? 1 : 0), row.end());
        complete.values.insert(complete.values.end(), row.begin(), row.end());
        gappy.values.insert(gappy.values.end(), row.begin(), row.end());
      }
      gappy.values.insert(gappy.values.end(), 3, kNaN);
    }
    Theta start = {0.5, 0.5};
    start.insert(start.end(), c.params.begin(), c.params.end());
    FitOptions options;
    options.start = StartMethod::kGiven;
    options.given = start;
    options.restarts = 1;
    const auto of_complete = FitSubject(MixtureOf(c.make, complete), options);
    const auto of_gappy = FitSubject(MixtureOf(c.make, gappy), options);
    ASSERT_TRUE(of_complete.ok() && of_gappy.ok()) << of_complete.status() << of_gappy.status();
    EXPECT_NEAR(of_gappy->objective, of_complete->objective,
                1e-10 * std::abs(of_complete->objective));
  }
}

// Where labels keep the weight of a row without a cell, it counts as its mean says.
TEST(RowsWithoutACell, CountAsExpectedWhereTheyHaveWeight) {
  for (const Case& c : kCases) {
    EmissionOnBlock gappy(c.make, c.gappy);
    gappy.Prepare(c.params);
    std::vector<double> resp = gappy.Assigned({0, 0, 0});
    const std::vector<double> without = gappy.Accumulate(resp);
    resp[1] = 2;
    const std::vector<double> with = gappy.Accumulate(resp);
    if (&c == &kCases[0]) {
      EXPECT_EQ(with, without);  // a row whose total is not modelled
    } else {
      // E x - m = (A(kappa) - 1) m.
      const double cosine = BesselIRatio(0.5, 2).value;
      EXPECT_NEAR(with[0] - without[0], 2 * (cosine - 1), 1e-14);
      for (size_t j = 1; j < with.size(); ++j) EXPECT_EQ(with[j], without[j]);
    }
  }
}

TEST(RowsWithoutACell, HaveTheMeansAndVariancesOfTheMixture) {
  constexpr int kDraws = 200000;
  for (const Case& c : kCases) {
    EmissionOnBlock subject(c.make, c.gappy);
    subject.Prepare(c.params);
    const Block& block = subject.block;
    std::vector<double> posterior(2 * static_cast<size_t>(block.stride));
    posterior[1] = 0.25;
    posterior[block.stride + 1] = 0.75;
    const Scratch mean(3LL * block.stride);
    const Scratch variance(3LL * block.stride);
    subject.emission->Conditional(*subject.prepared, block, posterior, *subject.workspace,
                                  mean.data(), variance.data());
    Random random(1, 2);
    std::vector<double> row(3), sum(3), squares(3);
    for (int i = 0; i < kDraws; ++i) {
      subject.emission->Sample(*subject.prepared, i % 4 == 0 ? 0 : 1, random, row);
      for (int d = 0; d < 3; ++d) {
        sum[d] += row[d] / kDraws;
        squares[d] += row[d] * row[d] / kDraws;
      }
    }
    for (int d = 0; d < 3; ++d) {
      const int64_t at = static_cast<int64_t>(d) * block.stride;
      const double spread = variance[at + 1];
      EXPECT_NEAR(mean[at + 1], sum[d], 5 * std::sqrt(spread / kDraws));
      EXPECT_NEAR(squares[d] - sum[d] * sum[d], spread, 0.02 * spread);
      EXPECT_EQ(mean[at], c.gappy.values[d]);
      EXPECT_EQ(variance[at], 0);
    }
  }
}

TEST(RowsWithoutACell, OfUniformDirectionsHaveVarianceOneOverD) {
  EmissionOnBlock subject(Directions, kCases[1].gappy);
  for (const double concentration : {0.0, 1e-9, 1e-5}) {
    subject.Prepare({1, 0, 0, 1, 0, 0, concentration, concentration});
    std::vector<double> posterior(2 * static_cast<size_t>(subject.block.stride), 0.5);
    const Scratch mean(3LL * subject.block.stride);
    const Scratch variance(3LL * subject.block.stride);
    subject.emission->Conditional(*subject.prepared, subject.block, posterior, *subject.workspace,
                                  mean.data(), variance.data());
    EXPECT_NEAR(mean[1], concentration / 3, 1e-9);
    for (int d = 0; d < 3; ++d) EXPECT_NEAR(variance[d * subject.block.stride + 1], 1.0 / 3, 1e-9);
  }
}

TEST(RowsWithSomeCells, AreRefusedWithTheRemedy) {
  for (const Case& c : kCases) {
    Data bad = c.gappy;
    bad.values[3] = 1;
    const Table table = bad.ToTable();
    const Summary summary = SummaryOf(table);
    const absl::Status status = c.make(summary, {"a", "b", "c"}).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(
        std::string(status.message()),
        HasSubstr("columns[b]: got missing cells, must be complete, or missing together "
                  "with all of the row; fill in the cell, or remove the row's other cells"));
    // Columns that miss as many cells, but of different rows, are told by their rows.
    Data crossed = c.complete;
    for (int copy = 0; copy < 2; ++copy) {
      crossed.values.insert(crossed.values.end(), c.complete.values.begin(),
                            c.complete.values.end());
    }
    crossed.values[0] = crossed.values[4] = crossed.values[8] = kNaN;
    EmissionOnBlock subject(c.make, crossed);
    EXPECT_THAT(subject.RowError(),
                HasSubstr("[0]: got nan in column 'x0', must be complete, or "));
  }
}

}  // namespace
}  // namespace emserve::testing
