// Cuts of tables into sequences, and what tables read of them.
#include "core/data/sequences.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/data/table.h"
#include "gtest/gtest.h"
#include "tests/core/chain_data.h"

namespace emserve::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::string MessageOf(const absl::StatusOr<Sequences>& sequences) {
  EXPECT_EQ(sequences.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(sequences.status().message());
}

std::vector<int64_t> LengthsOf(const Sequences& sequences) {
  std::vector<int64_t> lengths;
  for (int64_t s = 0; s < sequences.size(); ++s) lengths.push_back(sequences.length(s));
  return lengths;
}

Cells CellsOf(const std::vector<double>& values, int num_columns) {
  Cells cells;
  cells.bytes = reinterpret_cast<const std::byte*>(values.data());
  cells.num_rows = static_cast<int64_t>(values.size()) / num_columns;
  cells.num_columns = num_columns;
  return cells;
}

TEST(Sequences, WithoutACutAllRowsAreOne) {
  const Sequences sequences(5);
  EXPECT_EQ(sequences.size(), 1);
  EXPECT_EQ(sequences.length(0), 5);
  EXPECT_EQ(sequences.Of(4), 0);
  EXPECT_TRUE(sequences.Begins(0));
  EXPECT_FALSE(sequences.Begins(1));
  EXPECT_FALSE(sequences.weighted());
  EXPECT_EQ(sequences.weight(0), 1);
}

TEST(Sequences, FollowEachOtherByTheirLengths) {
  const std::vector<int64_t> lengths = {3, 1, 2};
  const Sequences sequences = Sequences::FromLengths(lengths, 6).value();
  EXPECT_EQ(LengthsOf(sequences), lengths);
  const std::vector<int64_t> of_row = {0, 0, 0, 1, 2, 2};
  for (int64_t row = 0; row < 6; ++row) {
    EXPECT_EQ(sequences.Of(row), of_row[row]) << row;
    EXPECT_EQ(sequences.Begins(row), row == 0 || row == 3 || row == 4) << row;
  }
  EXPECT_EQ(sequences.first_row(3), 6);
}

// As doubles these are one number.
TEST(Sequences, IntegersDifferInTheirLastDigit) {
  const std::vector<int64_t> numbers = {1500000000000000001, 1500000000000000001,
                                        1500000000000000002, 1500000000000000000};
  Cells cells;
  cells.bytes = reinterpret_cast<const std::byte*>(numbers.data());
  cells.type = ElementType::kInt64;
  cells.num_rows = 4;
  cells.num_columns = 1;
  EXPECT_EQ(LengthsOf(Sequences::FromColumn(cells, 0).value()), (std::vector<int64_t>{2, 1, 1}));
}

TEST(Sequences, RefuseLengthsThatDoNotFillTheTable) {
  EXPECT_EQ(MessageOf(Sequences::FromLengths(std::vector<int64_t>{2, 0, 1}, 3)),
            "lengths[1]: got 0, must be 1 to 1, the rows that the sequences before it leave");
  EXPECT_EQ(MessageOf(Sequences::FromLengths(std::vector<int64_t>{2, -1}, 3)),
            "lengths[1]: got -1, must be 1 to 1, the rows that the sequences before it leave");
  EXPECT_EQ(MessageOf(Sequences::FromLengths(std::vector<int64_t>{2, 2}, 3)),
            "lengths[1]: got 2, must be 1 to 1, the rows that the sequences before it leave");
  EXPECT_EQ(MessageOf(Sequences::FromLengths(std::vector<int64_t>{2}, 3)),
            "lengths: got a sum of 2, must be 3, the number of rows");
  EXPECT_EQ(MessageOf(Sequences::FromLengths(std::vector<int64_t>{}, 3)),
            "lengths: got a sum of 0, must be 3, the number of rows");
  // A sum past int64 is refused like any other, not wrapped.
  const int64_t huge = std::numeric_limits<int64_t>::max();
  EXPECT_FALSE(Sequences::FromLengths(std::vector<int64_t>{huge, huge, 5}, 3).ok());
}

TEST(Sequences, RefuseALengthOfATableThatIsFull) {
  const std::string message = MessageOf(Sequences::FromLengths(std::vector<int64_t>{3, 1}, 3));
  EXPECT_EQ(message, "lengths[1]: got 1, must be left out: the sequences before it have all rows");
}

TEST(Sequences, AreRunsOfANumberInAColumn) {
  const std::vector<double> values = {0, 7, 1, 7, 2, -3, 3, 0.5, 4, 0.5, 5, 0.5};
  const Sequences sequences = Sequences::FromColumn(CellsOf(values, 2), 1).value();
  EXPECT_EQ(LengthsOf(sequences), (std::vector<int64_t>{2, 1, 3}));
}

TEST(Sequences, RefuseColumnsWithoutANumberOrWithOneThatReturns) {
  EXPECT_EQ(MessageOf(Sequences::FromColumn(CellsOf({1, kNaN, 2}, 1), 0)),
            "sequence_column: got a missing cell in row 1, must be the sequence's number");
  EXPECT_EQ(MessageOf(Sequences::FromColumn(CellsOf({1, 2, 2, 1}, 1), 0)),
            "sequence_column: got 1 again in row 3 after other sequences, must be in consecutive "
            "rows; sort the rows");
  // Both zeros are one number.
  EXPECT_EQ(Sequences::FromColumn(CellsOf({0.0, -0.0, 1}, 1), 0)->size(), 2);
  EXPECT_FALSE(Sequences::FromColumn(CellsOf({0.0, 1, -0.0}, 1), 0).ok());
}

TEST(Sequences, CarryOneWeightEach) {
  const Sequences plain = Sequences::FromLengths(std::vector<int64_t>{1, 2}, 3).value();
  const Sequences weighted = plain.Weighted({0, 2.5}).value();
  EXPECT_TRUE(weighted.weighted());
  EXPECT_EQ(weighted.weight(0), 0);
  EXPECT_EQ(weighted.weight(1), 2.5);
  EXPECT_EQ(LengthsOf(weighted), LengthsOf(plain));
  EXPECT_EQ(MessageOf(plain.Weighted({1})),
            "sequence_weights: got 1 values, must be 2, one per sequence");
  EXPECT_EQ(MessageOf(plain.Weighted({1, -1})),
            "sequence_weights[1]: got -1, must be finite and 0 or more");
  EXPECT_EQ(MessageOf(plain.Weighted({kNaN, 1})),
            "sequence_weights[0]: got nan, must be finite and 0 or more");
  EXPECT_EQ(MessageOf(plain.Weighted({std::numeric_limits<double>::infinity(), 1})),
            "sequence_weights[0]: got inf, must be finite and 0 or more");
}

TEST(SequencesOfATable, AreReadBlockByBlock) {
  const ChainData data{.rows = {.num_columns = 1, .values = {1, 2, 3, 4, 5, 6}, .weights = {}},
                       .lengths = {3, 1, 2},
                       .weights = {1, 0.5, 2}};
  const Table table = data.ToTable();
  for (int64_t first = 0; first < 6; ++first) {
    for (int count = 1; first + count <= 6; ++count) {
      BlockBuffer buffer = table.MakeBuffer(count);
      const Block block = table.Read(first, count, buffer);
      for (int t = 0; t < count; ++t) {
        const int64_t row = first + t;
        EXPECT_EQ(block.begins[t] != 0, row == 0 || row == 3 || row == 4);
        EXPECT_EQ(block.sequence_weights[t], row < 3 ? 1 : row == 3 ? 0.5 : 2);
      }
    }
  }
}

TEST(SequencesOfATable, MustHaveItsRows) {
  Table::Options options;
  options.sequences = std::make_shared<const Sequences>(4);
  const std::vector<double> values = {1, 2, 3};
  EXPECT_FALSE(Table::Create(CellsOf(values, 1), options).ok());
}

}  // namespace
}  // namespace emserve::testing
