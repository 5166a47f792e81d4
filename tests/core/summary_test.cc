#include "core/data/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/runtime/random.h"
#include "tests/core/chain_data.h"

namespace emserve {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<Summary> SummarizeWith(const Table& table, int threads) {
  Pool pool(threads);
  Pool::Share share(pool);
  return Summarize(table, share, {});
}

TEST(Summary, MatchesHandComputedMoments) {
  const auto s = SummarizeWith(*Table::FromValues({1, 10, 3, 20, 5, 60}, 3, 2), 1);
  ASSERT_TRUE(s.ok()) << s.status();
  EXPECT_EQ(s->total_weight, 3);
  EXPECT_DOUBLE_EQ(s->mean[0], 3);
  EXPECT_DOUBLE_EQ(s->mean[1], 30);
  EXPECT_DOUBLE_EQ(s->variance[0], 8.0 / 3);
  EXPECT_DOUBLE_EQ(s->variance[1], 1400.0 / 3);
  EXPECT_EQ(s->minimum[1], 10);
  EXPECT_EQ(s->maximum[1], 60);
}

TEST(Summary, WeightTwoIsTheRowTwiceAndWeightZeroTheRowAbsent) {
  const auto weighted = SummarizeWith(*Table::FromValues({1, 2, 1e300, 4}, 4, 1, {2, 1, 0, 1}), 1);
  const auto repeated = SummarizeWith(*Table::FromValues({1, 1, 2, 4}, 4, 1), 1);
  ASSERT_TRUE(weighted.ok()) << weighted.status();
  EXPECT_DOUBLE_EQ(weighted->mean[0], repeated->mean[0]);
  EXPECT_DOUBLE_EQ(weighted->variance[0], repeated->variance[0]);
  EXPECT_EQ(weighted->maximum[0], 4);
  EXPECT_EQ(weighted->num_weighted_rows, 3);
  const auto leading = SummarizeWith(*Table::FromValues({1e300, 1, 2}, 3, 1, {0, 1, 1}), 1);
  ASSERT_TRUE(leading.ok()) << leading.status();
  EXPECT_EQ(leading->mean[0], 1.5);
  EXPECT_EQ(leading->variance[0], 0.25);
}

TEST(Summary, KeepsDigitsAtAnOffsetOfAHundredMillion) {
  Random random(1, 1);
  std::vector<double> plain(20000), shifted(20000);
  for (size_t i = 0; i < plain.size(); ++i) {
    plain[i] = std::floor(1000 * random.Normal()) / 1024;  // exact in both tables
    shifted[i] = plain[i] + 1e8;
  }
  const auto a = SummarizeWith(*Table::FromValues(plain, 20000, 1), 2);
  const auto b = SummarizeWith(*Table::FromValues(shifted, 20000, 1), 2);
  EXPECT_NEAR(b->variance[0], a->variance[0], 1e-10);
  EXPECT_NEAR(b->mean[0] - 1e8, a->mean[0], 1e-7);
}

TEST(Summary, AConstantColumnHasExactlyZeroVariance) {
  const auto s = SummarizeWith(*Table::FromValues(std::vector<double>(9999, 0.1), 9999, 1), 2);
  EXPECT_EQ(s->variance[0], 0);
  EXPECT_EQ(s->mean[0], 0.1);
}

TEST(Summary, HasTheSameBitsWithAnyNumberOfThreads) {
  Random random(2, 2);
  std::vector<double> values(50000 * 3);
  for (double& v : values) v = 1e6 * random.Normal();
  const auto table = Table::FromValues(values, 50000, 3);
  const auto one = SummarizeWith(*table, 1);
  for (const int threads : {2, 7}) {
    const auto many = SummarizeWith(*table, threads);
    EXPECT_EQ(many->mean, one->mean);
    EXPECT_EQ(many->variance, one->variance);
  }
}

TEST(Summary, NamesTheFirstBadCell) {
  for (const double bad :
       {-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()}) {
    std::vector<double> values(20000, 1.0);
    values[9001 * 2 + 1] = bad;
    values[9900 * 2] = bad;
    const auto s = SummarizeWith(*Table::FromValues(values, 10000, 2), 7);
    ASSERT_TRUE(absl::IsInvalidArgument(s.status()));
    EXPECT_THAT(std::string(s.status().message()), HasSubstr("data[9001]"));
    EXPECT_THAT(std::string(s.status().message()), HasSubstr("column '1'"));
  }
}

TEST(Summary, RefusesBadWeights) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {-1.0, nan, std::numeric_limits<double>::infinity()}) {
    const auto s = SummarizeWith(*Table::FromValues({1, 2}, 2, 1, {1, bad}), 1);
    ASSERT_TRUE(absl::IsInvalidArgument(s.status())) << bad;
    EXPECT_THAT(std::string(s.status().message()), HasSubstr("data.weights[1]"));
  }
  EXPECT_TRUE(
      absl::IsInvalidArgument(SummarizeWith(*Table::FromValues({1, 2}, 2, 1, {0, 0}), 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      SummarizeWith(*Table::FromValues({1, 2}, 2, 1, {1e308, 1e308}), 1).status()));
}

TEST(Summary, NamesTheWeightsOfSequencesWhereTheyAreBad) {
  for (const double bad : {0.0, 1e308}) {
    const testing::ChainData data{.rows = {.num_columns = 1, .values = {1, 2}, .weights = {}},
                                  .lengths = {1, 1},
                                  .weights = {bad, bad}};
    const auto s = SummarizeWith(data.ToTable(), 1);
    ASSERT_TRUE(absl::IsInvalidArgument(s.status())) << bad;
    EXPECT_THAT(std::string(s.status().message()), HasSubstr("sequences.weights: got")) << bad;
  }
}

TEST(Summary, RefusesRowsWithoutACellByTheData) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto s = SummarizeWith(*Table::FromValues({nan, nan}, 2, 1), 1);
  ASSERT_TRUE(absl::IsInvalidArgument(s.status()));
  EXPECT_THAT(std::string(s.status().message()), HasSubstr("data: got no observed cell"));
}

TEST(Summary, RefusesColumnsWhoseVarianceOverflows) {
  const auto s = SummarizeWith(*Table::FromValues({1e200, -1e200}, 2, 1), 1);
  ASSERT_TRUE(absl::IsInvalidArgument(s.status()));
  EXPECT_THAT(std::string(s.status().message()), HasSubstr("overflows"));
}

TEST(Summary, StopsOnRequest) {
  Pool pool(1);
  Pool::Share share(pool);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(
      Summarize(*Table::FromValues({1, 2}, 2, 1), share, stop.get_token()).status()));
}

}  // namespace
}  // namespace emserve
