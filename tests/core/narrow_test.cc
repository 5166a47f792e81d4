#include "core/data/narrow.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/test_data.h"

namespace emserve {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// `values` with `num_columns` columns, under `options`.
Table TableOf(std::vector<double> values, int num_columns, Table::Options options) {
  auto owned = std::make_shared<const std::vector<double>>(std::move(values));
  Cells cells;
  cells.bytes = reinterpret_cast<const std::byte*>(owned->data());
  cells.num_rows = static_cast<int64_t>(owned->size()) / num_columns;
  cells.num_columns = num_columns;
  cells.owner = std::move(owned);
  return Table::Create(std::move(cells), std::move(options)).value();
}

absl::StatusOr<Table> Narrowed(const Table& table, int threads = 2) {
  Pool pool(threads);
  Pool::Share share(pool);
  const absl::StatusOr<Summary> summary = Summarize(table, share, {});
  if (!summary.ok()) return summary.status();
  return NarrowToFloat32(table, *summary, share, {});
}

std::string Refusal(const Table& table) {
  const absl::Status status = Narrowed(table).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  return std::string(status.message());
}

TEST(NarrowToFloat32, KeepsEveryCellToFloat32AndWhatGoesWithIt) {
  // x, weight, label, y, plausible 0, plausible 1.
  const std::vector<double> cells = {0.1,  2, 0,    1, 1, 0.25,  //
                                     -3.5, 0, -1,   2, 0, 1,     //
                                     kNan, 1, kNan, 7, 1, kNan};
  Table::Options options;
  options.columns = {0, 3};
  options.names = {"x", "y"};
  options.weight_column = 1;
  options.label_column = 2;
  options.label_components = 2;
  options.start_columns = {4, 5};
  const absl::StatusOr<Table> narrow = Narrowed(TableOf(cells, 6, options));
  ASSERT_TRUE(narrow.ok()) << narrow.status();
  EXPECT_EQ(narrow->element_type(), ElementType::kFloat32);
  EXPECT_EQ(narrow->names(), (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(narrow->value(0, 0), static_cast<double>(0.1F));
  EXPECT_EQ(narrow->value(1, 0), -3.5);
  EXPECT_TRUE(std::isnan(narrow->value(2, 0)));
  EXPECT_EQ(narrow->value(2, 1), 7);
  EXPECT_EQ(narrow->weight(0), 2);
  EXPECT_EQ(narrow->weight(1), 0);
  EXPECT_EQ(narrow->OnlyComponent(0), 0);
  EXPECT_FALSE(narrow->labelled(1));
  EXPECT_FALSE(narrow->labelled(2));
  ASSERT_EQ(narrow->start_columns().size(), 2u);
  EXPECT_EQ(narrow->raw_value(0, narrow->start_columns()[1]), 0.25);
}

TEST(NarrowToFloat32, KeepsPlausibilities) {
  Table::Options options;
  options.columns = {0};
  options.plausibility_columns = {1, 2};
  const absl::StatusOr<Table> narrow = Narrowed(TableOf({1, 0, 0.5, 2, 1, kNan}, 3, options));
  ASSERT_TRUE(narrow.ok()) << narrow.status();
  EXPECT_EQ(narrow->label_components(), 2);
  EXPECT_EQ(narrow->OnlyComponent(0), 1);
  EXPECT_EQ(narrow->OnlyComponent(1), std::nullopt);
}

TEST(NarrowToFloat32, NamesTheColumnThatRoundingWouldSpoil) {
  std::vector<double> cells;
  for (int i = 0; i < 10000; ++i) {
    cells.insert(cells.end(), {static_cast<double>(i), 1e8 + 0.001 * i});
  }
  const std::string message = Refusal(Table::FromValues(cells, 10000, 2).value());
  EXPECT_EQ(message.find("columns[1]: got"), 0u) << message;
  EXPECT_NE(message.find("use storage float64"), std::string::npos) << message;
  // The same digits around 0 are fine.
  for (size_t i = 1; i < cells.size(); i += 2) cells[i] -= 1e8;
  EXPECT_TRUE(Narrowed(Table::FromValues(cells, 10000, 2).value()).ok());
}

TEST(NarrowToFloat32, NamesTheFirstBadRowWithAnyNumberOfThreads) {
  std::vector<double> cells(50000, 0);
  for (size_t i = 0; i < cells.size(); ++i) cells[i] = static_cast<double>(i % 10);
  cells[20000] = 1e300;
  cells[40000] = -1e300;
  for (const int threads : {1, 4}) {
    std::vector<double> weights(cells.size(), 1);
    Pool pool(threads);
    Pool::Share share(pool);
    const Table table = Table::FromValues(cells, 50000, 1, weights).value();
    Summary summary;
    summary.variance = {1};
    const absl::Status status = NarrowToFloat32(table, summary, share, {}).status();
    EXPECT_NE(status.message().find("in row 20000"), absl::string_view::npos) << status;
    // What has no weight spoils nothing.
    weights[20000] = weights[40000] = 0;
    const Table light = Table::FromValues(cells, 50000, 1, weights).value();
    EXPECT_TRUE(NarrowToFloat32(light, summary, share, {}).ok());
  }
}

TEST(NarrowToFloat32, AColumnWithoutSpreadIsRoundedToOneValue) {
  const absl::StatusOr<Table> narrow = Narrowed(Table::FromValues({0.1, 0.1, 0.1}, 3, 1).value());
  ASSERT_TRUE(narrow.ok()) << narrow.status();
  EXPECT_EQ(narrow->value(2, 0), static_cast<double>(0.1F));
}

TEST(NarrowToFloat32, LeavesFloat32AsItIs) {
  const float cells[] = {1, 2, 3};
  Cells view;
  view.bytes = reinterpret_cast<const std::byte*>(cells);
  view.type = ElementType::kFloat32;
  view.num_rows = 3;
  view.num_columns = 1;
  const absl::StatusOr<Table> narrow = Narrowed(Table::Create(view, {}).value());
  ASSERT_TRUE(narrow.ok()) << narrow.status();
  EXPECT_EQ(narrow->value(1, 0), 2);
}

TEST(NarrowToFloat32, CanBeCancelled) {
  Pool pool(1);
  Pool::Share share(pool);
  std::stop_source stop;
  stop.request_stop();
  Summary summary;
  summary.variance = {1};
  const Table table = Table::FromValues({1, 2, 3}, 3, 1).value();
  EXPECT_TRUE(absl::IsCancelled(NarrowToFloat32(table, summary, share, stop.get_token()).status()));
}

}  // namespace
}  // namespace emserve
