#include "core/data/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace emserve {
namespace {

using ::testing::HasSubstr;

// Cells of `T` at an odd address, value 100 r + c, as an upload may leave them.
template <typename T>
Cells OddCells(int64_t rows, int columns, ElementType type) {
  auto bytes =
      std::make_shared<std::vector<std::byte>>(static_cast<size_t>(rows * columns) * sizeof(T) + 1);
  for (int64_t r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      const T value = static_cast<T>(100 * r + c);
      std::memcpy(bytes->data() + 1 + static_cast<size_t>(r * columns + c) * sizeof(T), &value,
                  sizeof(T));
    }
  }
  Cells cells;
  cells.bytes = bytes->data() + 1;
  cells.owner = std::move(bytes);
  cells.type = type;
  cells.num_rows = rows;
  cells.num_columns = columns;
  return cells;
}

void ExpectBlockIsTransposed(const Table& table, const std::vector<int>& columns) {
  BlockBuffer buffer(50, table.num_columns());
  for (const int64_t first : {0, 7, 50}) {
    for (const int count : {1, 16, 33, 50}) {
      const Block block = table.Read(first, count, buffer);
      ASSERT_EQ(block.stride % kRowPad, 0);
      ASSERT_EQ(block.num_rows, count);
      for (size_t c = 0; c < columns.size(); ++c) {
        for (int i = 0; i < block.stride; ++i) {
          const double expected =
              i < count ? 100.0 * static_cast<double>(first + i) + columns[c] : 0.0;
          ASSERT_EQ(block.column(static_cast<int>(c))[i], expected) << c << "," << i;
        }
      }
      for (int i = 0; i < block.stride; ++i) ASSERT_EQ(block.weights[i], i < count ? 1 : 0);
    }
  }
}

TEST(Table, ReadsBlocksOfEveryElementType) {
  ExpectBlockIsTransposed(*Table::Create(OddCells<double>(100, 3, ElementType::kFloat64), {}),
                          {0, 1, 2});
  ExpectBlockIsTransposed(*Table::Create(OddCells<float>(100, 3, ElementType::kFloat32), {}),
                          {0, 1, 2});
  ExpectBlockIsTransposed(*Table::Create(OddCells<int64_t>(100, 3, ElementType::kInt64), {}),
                          {0, 1, 2});
}

TEST(Table, SelectsAndReordersColumns) {
  Table::Options options;
  options.columns = {4, 0, 2};
  options.names = {"e", "a", "c"};
  const auto table = Table::Create(OddCells<double>(100, 5, ElementType::kFloat64), options);
  ASSERT_TRUE(table.ok()) << table.status();
  ExpectBlockIsTransposed(*table, {4, 0, 2});
  options.columns = {1, 2, 3, 4, 5, 6, 0, 0, 1, 7};  // runs, a repetition, a single one
  options.names = {};
  for (const auto& mixed :
       {Table::Create(OddCells<double>(100, 8, ElementType::kFloat64), options),
        Table::Create(OddCells<float>(100, 8, ElementType::kFloat32), options),
        Table::Create(OddCells<int64_t>(100, 8, ElementType::kInt64), options)}) {
    ASSERT_TRUE(mixed.ok()) << mixed.status();
    ExpectBlockIsTransposed(*mixed, options.columns);
  }
  EXPECT_EQ(table->value(3, 0), 304);
  EXPECT_EQ(table->names()[1], "a");
}

TEST(Table, ReadsWeightsFromAColumnOrApart) {
  Table::Options from_column;
  from_column.columns = {0};
  from_column.weight_column = 1;
  Table::Options apart;
  apart.columns = {0};
  apart.weights = std::make_shared<const std::vector<double>>(std::vector<double>{1, 101, 201});
  for (const Table::Options& options : {from_column, apart}) {
    const auto table = Table::Create(OddCells<float>(3, 2, ElementType::kFloat32), options);
    ASSERT_TRUE(table.ok()) << table.status();
    EXPECT_TRUE(table->weighted());
    BlockBuffer buffer(3, 1);
    const Block block = table->Read(1, 2, buffer);
    EXPECT_EQ(block.weights[0], 101);
    EXPECT_EQ(block.weights[1], 201);
    EXPECT_EQ(block.weights[2], 0);
    EXPECT_EQ(table->weight(2), 201);
  }
}

TEST(Table, RefusesShapesThatDoNotFit) {
  const auto refused = [](Cells cells, Table::Options options, const char* message) {
    const auto table = Table::Create(std::move(cells), std::move(options));
    ASSERT_FALSE(table.ok()) << message;
    EXPECT_TRUE(absl::IsInvalidArgument(table.status()));
    EXPECT_THAT(std::string(table.status().message()), HasSubstr(message));
  };
  const Cells good = OddCells<double>(3, 2, ElementType::kFloat64);
  Cells cells = good;
  cells.num_rows = 0;
  refused(cells, {}, "num_rows: got 0");
  cells = good;
  cells.num_rows = int64_t{1} << 60;
  refused(cells, {}, "num_rows: the table has more bytes");
  cells = good;
  cells.num_columns = 0;
  refused(cells, {}, "num_columns: got 0");
  Table::Options options;
  options.columns = {0, 2};
  refused(good, options, "columns[1]: got 2");
  options = {};
  options.weight_column = -1;
  refused(good, options, "weight_column: got -1");
  options = {};
  options.weights = std::make_shared<const std::vector<double>>(2);
  refused(good, options, "weights: got 2 values, must be 3");
  options.weight_column = 0;
  refused(good, options, "weights: got both");
  options = {};
  options.names = {"a"};
  refused(good, options, "names: got 1 names, must be 2");
  EXPECT_FALSE(Table::FromValues({1, 2, 3}, 2, 2).ok());
  EXPECT_FALSE(Table::FromValues({1, 2, 3}, -1, -3).ok());
}

TEST(Table, EffectiveWeightIsThatOfRead) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  // Observed, half missing, missing, missing with a label, missing without weight.
  auto owner = std::make_shared<const std::vector<double>>(std::vector<double>{
      1, 2, kNan, 2, kNan, 3, kNan, 4, kNan, kNan, kNan, 5, kNan, kNan, 1, 6, 7, 8, kNan, 0});
  Cells cells;
  cells.bytes = reinterpret_cast<const std::byte*>(owner->data());
  cells.owner = owner;
  cells.num_rows = 5;
  cells.num_columns = 4;
  Table::Options options;
  options.columns = {0, 1};
  options.label_column = 2;
  options.label_components = 2;
  options.weight_column = 3;
  const auto table = Table::Create(std::move(cells), std::move(options));
  ASSERT_TRUE(table.ok()) << table.status();
  BlockBuffer buffer = table->MakeBuffer(5);
  const Block block = table->Read(0, 5, buffer);
  const double expected[] = {2, 4, 0, 6, 0};
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(table->EffectiveWeight(i), expected[i]) << i;
    EXPECT_EQ(block.weights[i], expected[i]) << i;
  }
}

TEST(Partition, CoversEveryRowOnceAndDependsOnTheDataAlone) {
  // Lanes that keep much for themselves are few.
  EXPECT_EQ(Partition::Make(12345678, 10, 1 << 20).num_lanes, 64);
  EXPECT_EQ(Partition::Make(12345678, 10, 1 << 23).num_lanes, 8);
  EXPECT_EQ(Partition::Make(12345678, 10, int64_t{1} << 40).num_lanes, 4);
  for (const int64_t rows : {1, 47, 48, 480, 4095, 4096, 8191, 100000, 12345678}) {
    for (const int64_t per_row : {1, 100, 5000, 1000000}) {
      const Partition p = Partition::Make(rows, per_row);
      ASSERT_EQ(p.block_rows % kRowPad, 0);
      ASSERT_GE(p.num_lanes, 1);
      ASSERT_LE(p.num_lanes, Partition::kMaxLanes);
      ASSERT_LE(p.num_lanes, p.num_blocks);
      EXPECT_EQ(p.first_block(0), 0);
      EXPECT_EQ(p.first_block(p.num_lanes), p.num_blocks);
      for (int lane = 0; lane < p.num_lanes; ++lane)
        EXPECT_LT(p.first_block(lane), p.first_block(lane + 1));
      EXPECT_EQ(p.first_row(p.num_blocks - 1) + p.rows(p.num_blocks - 1), rows);
      EXPECT_GE(p.rows(p.num_blocks - 1), 1);
    }
  }
}

}  // namespace
}  // namespace emserve
