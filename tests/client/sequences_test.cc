// Cuts of tables into sequences.
#include "client/sequences.h"

#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace emserve::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Table Of(std::vector<double> numbers) {
  Table table{
      .columns = {"a", "s"}, .num_rows = static_cast<int64_t>(numbers.size()), .values = {}};
  for (const double number : numbers) {
    table.values.push_back(7);
    table.values.push_back(number);
  }
  return table;
}

TEST(SequencesOfColumn, AreRunsOfEqualNumbers) {
  const auto lengths = SequencesOfColumn(Of({4, 4, 4, 1, 9, 9}), "s");
  ASSERT_TRUE(lengths.ok()) << lengths.status();
  EXPECT_THAT(*lengths, ElementsAre(3, 1, 2));
  EXPECT_THAT(*SequencesOfColumn(Of({4, 4}), "a"), ElementsAre(2));
}

TEST(SequencesOfColumn, RefusesMissingReturningAndUnknown) {
  const auto message = [](const Table& table, const std::string& column) {
    return std::string(SequencesOfColumn(table, column).status().message());
  };
  EXPECT_THAT(message(Of({1, std::numeric_limits<double>::quiet_NaN()}), "s"),
              HasSubstr("got a missing cell in row 1"));
  EXPECT_THAT(message(Of({1, 2, 1}), "s"), HasSubstr("got 1 again in row 2"));
  EXPECT_THAT(message(Of({1}), "t"), HasSubstr("must be one of the data's"));
  Table named = Of({0, 1, 0});
  named.levels = {{}, {"ann", "bob"}};
  EXPECT_THAT(message(named, "s"), HasSubstr("got \"ann\" again in row 2"));
}

TEST(CheckSequences, WantsAllRowsAndNoEmptySequence) {
  const auto message = [](const std::vector<int64_t>& lengths) {
    return std::string(CheckSequences(lengths, 5).message());
  };
  EXPECT_EQ(message({2, 3}), "");
  EXPECT_EQ(message({2, 2}), "sequence_lengths: got a sum of 4, must be 5, the number of rows");
  EXPECT_THAT(message({5, 0}), HasSubstr("sequence_lengths[1]: got 0, must be at least 1"));
  EXPECT_THAT(message({2, std::numeric_limits<int64_t>::max()}), HasSubstr("sequence_lengths[1]"));
}

TEST(DropColumn, KeepsTheOtherCells) {
  Table table = Of({1, 2, 3});
  table.levels = {{}, {"x", "y", "z"}};
  DropColumn("a", table);
  EXPECT_THAT(table.columns, ElementsAre("s"));
  EXPECT_THAT(table.values, ElementsAre(1, 2, 3));
  EXPECT_EQ(table.levels[0].size(), 3u);
  DropColumn("none", table);
  EXPECT_EQ(table.num_columns(), 1);
}

TEST(SequencesWithin, TakesAtLeastOne) {
  const std::vector<int64_t> lengths = {3, 4, 10, 2};
  EXPECT_EQ(SequencesWithin(lengths, 1), 1u);
  EXPECT_EQ(SequencesWithin(lengths, 7), 2u);
  EXPECT_EQ(SequencesWithin(lengths, 16), 2u);
  EXPECT_EQ(SequencesWithin(lengths, 19), 4u);
}

}  // namespace
}  // namespace emserve::client
