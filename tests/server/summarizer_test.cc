#include "server/datasets/summarizer.h"

#include <cmath>
#include <limits>

#include "core/runtime/random.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

using absl::StatusCode;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Summarized {
  std::vector<ColumnSummary> columns;
  absl::Status kinds;
};

template <typename T>
Summarized Summarize(DatasetSchema schema, const std::vector<T>& cells, int64_t step) {
  const std::string bytes = Packed(cells);
  const auto shared = std::make_shared<const DatasetSchema>(std::move(schema));
  EXPECT_EQ(*CheckSchema(*shared), static_cast<int64_t>(bytes.size()));
  Summarizer summarizer(shared, reinterpret_cast<const std::byte*>(bytes.data()));
  const auto size = static_cast<int64_t>(bytes.size());
  for (int64_t readable = std::min(step, size); readable < size; readable += step) {
    summarizer.Advance(readable);
  }
  summarizer.Advance(size);
  return {summarizer.Finish(), summarizer.CheckKinds()};
}

TEST(SummarizerTest, FindsMomentsAndExtremes) {
  const Summarized s = Summarize<double>(RealColumns({"a", "b"}, 4), {1, -5, 2, 5, 3, 5, 6, 5}, 7);
  EXPECT_DOUBLE_EQ(s.columns[0].mean, 3);
  EXPECT_DOUBLE_EQ(s.columns[0].variance, 3.5);
  EXPECT_EQ(s.columns[0].minimum, 1);
  EXPECT_EQ(s.columns[0].maximum, 6);
  EXPECT_DOUBLE_EQ(s.columns[1].mean, 2.5);
  EXPECT_EQ(s.columns[1].first_non_finite_row, -1);
}

TEST(SummarizerTest, CountsWhatIsNotFiniteAndLeavesItOut) {
  const Summarized s =
      Summarize<double>(RealColumns({"a", "b"}, 5),
                        {1, kNan, kInfinity, kNan, 3, kNan, -kInfinity, kNan, kNan, kNan}, 1000);
  EXPECT_EQ(s.columns[0].num_missing, 1);
  EXPECT_EQ(s.columns[0].num_infinite, 2);
  EXPECT_EQ(s.columns[0].first_non_finite_row, 1);
  EXPECT_EQ(s.columns[0].mean, 2);
  EXPECT_EQ(s.columns[0].variance, 1);
  EXPECT_EQ(s.columns[1].num_missing, 5);
  EXPECT_EQ(s.columns[1].mean, 0);
  EXPECT_EQ(s.columns[1].minimum, 0);
  EXPECT_EQ(s.columns[1].maximum, 0);
}

// Long enough for many blocks; the reference sums in long double around the true mean.
TEST(SummarizerTest, KeepsDigitsAtLargeOffsets) {
  constexpr int64_t kRows = 50000;
  constexpr double kOffset = 1e8;
  Random random(1, 0);
  std::vector<double> cells;
  for (int64_t i = 0; i < kRows; ++i) {
    cells.push_back(i % 10 == 3 ? kNan : kOffset + random.Normal());
    cells.push_back(0.1);  // constant, and no sum of it is exact
  }
  const Summarized s = Summarize<double>(RealColumns({"x", "c"}, kRows), cells, 100001);
  long double sum = 0, squares = 0;
  int64_t count = 0;
  for (size_t i = 0; i < cells.size(); i += 2) {
    if (std::isnan(cells[i])) continue;
    const long double d = static_cast<long double>(cells[i]) - kOffset;
    sum += d;
    squares += d * d;
    ++count;
  }
  const double mean = static_cast<double>(kOffset + sum / count);
  const double variance = static_cast<double>(squares / count - (sum / count) * (sum / count));
  EXPECT_DOUBLE_EQ(s.columns[0].mean, mean);
  EXPECT_NEAR(s.columns[0].variance, variance, 1e-8);
  EXPECT_EQ(s.columns[0].num_missing, kRows / 10);
  EXPECT_EQ(s.columns[0].first_non_finite_row, 3);
  EXPECT_EQ(s.columns[1].mean, 0.1);
  EXPECT_EQ(s.columns[1].variance, 0);
}

TEST(SummarizerTest, HasTheSameBitsHoweverTheBytesArrive) {
  Random random(2, 0);
  std::vector<double> cells(3 * 20000);
  for (double& cell : cells) cell = random.Normal();
  const Summarized whole = Summarize(RealColumns({"a", "b", "c"}, 20000), cells, 1 << 30);
  for (const int64_t step : {1000, 4099, 65536}) {
    const Summarized cut = Summarize(RealColumns({"a", "b", "c"}, 20000), cells, step);
    for (int c = 0; c < 3; ++c) {
      EXPECT_EQ(cut.columns[c].mean, whole.columns[c].mean);
      EXPECT_EQ(cut.columns[c].variance, whole.columns[c].variance);
    }
  }
}

TEST(SummarizerTest, ReadsFloatsAndIntegers) {
  DatasetSchema schema = RealColumns({"a"}, 3);
  schema.type = ElementType::kFloat32;
  const Summarized floats = Summarize<float>(schema, {1.5f, 2.5f, 3.5f}, 2);
  EXPECT_EQ(floats.columns[0].mean, 2.5);
  schema.type = ElementType::kInt64;
  const Summarized integers = Summarize<int64_t>(schema, {-1, 0, 4}, 3);
  EXPECT_EQ(integers.columns[0].mean, 1);
  EXPECT_EQ(integers.columns[0].minimum, -1);
}

TEST(SummarizerTest, SurvivesHugeValues) {
  constexpr double kMax = std::numeric_limits<double>::max();
  std::vector<double> cells;
  for (int i = 0; i < 20000; ++i) cells.push_back(i < 10000 ? kMax : -kMax);
  const Summarized s = Summarize(RealColumns({"a"}, 20000), cells, 1 << 30);
  EXPECT_TRUE(std::isfinite(s.columns[0].mean));
  EXPECT_GE(s.columns[0].mean, -kMax);
  EXPECT_EQ(s.columns[0].maximum, kMax);
}

TEST(SummarizerTest, RefusesCellsThatContradictTheKindNamingTheFirst) {
  DatasetSchema schema = RealColumns({"n", "c"}, 4);
  schema.columns[0].kind = ColumnKind::kCount;
  schema.columns[1].kind = ColumnKind::kCategorical;
  schema.columns[1].levels = {"no", "yes"};
  EXPECT_THAT(Summarize<double>(schema, {0, 0, 3, 1, kNan, kNan, 7, 1}, 8).kinds, IsOk());
  EXPECT_THAT(Summarize<double>(schema, {0, 0, 3, 1, 2.5, 0, -7, 1}, 8).kinds,
              FailsWith(StatusCode::kInvalidArgument, "columns[n]: got 2.5 in row 2"));
  EXPECT_THAT(Summarize<double>(schema, {0, 0, -3, 1, 2, 0, 7, 1}, 8).kinds,
              FailsWith(StatusCode::kInvalidArgument, "columns[n]: got -3 in row 1"));
  EXPECT_THAT(Summarize<double>(schema, {0, 0, 3, 1, 2, 2, 7, 1}, 8).kinds,
              FailsWith(StatusCode::kInvalidArgument, "columns[c]: got 2 in row 2"));
  EXPECT_THAT(Summarize<double>(schema, {0, 0, kInfinity, 1, 2, 1, 7, 1}, 8).kinds,
              FailsWith(StatusCode::kInvalidArgument, "columns[n]: got inf in row 1"));
}

TEST(CheckSchemaTest, GivesTheSizeOfTheContent) {
  DatasetSchema schema = RealColumns({"a", "b", "c"}, 10);
  EXPECT_EQ(*CheckSchema(schema), 240);
  schema.type = ElementType::kFloat32;
  EXPECT_EQ(*CheckSchema(schema), 120);
}

TEST(CheckSchemaTest, RefusesMalformedSchemasWithThePath) {
  const auto refused = [](const DatasetSchema& schema, const char* text) {
    EXPECT_THAT(CheckSchema(schema), FailsWith(StatusCode::kInvalidArgument, text));
  };
  refused(RealColumns({}, 1), "columns: got 0");
  refused(RealColumns({"a"}, 0), "num_rows: got 0");
  refused(RealColumns({"a"}, -5), "num_rows: got -5");
  refused(RealColumns({"a"}, std::numeric_limits<int64_t>::max()),
          "num_rows: got 9223372036854775807");
  refused(RealColumns({"a", "b"}, std::numeric_limits<int64_t>::max() / 8), "num_rows: ");
  refused(RealColumns({"a", ""}, 1), "columns[1].name: got 0 bytes");
  refused(RealColumns({"a", "a"}, 1), "columns[1].name: got \"a\" a second time");
  refused(RealColumns({"a\n"}, 1), "columns[0].name: got a control character");
  DatasetSchema schema = RealColumns({"a"}, 1);
  schema.columns[0].name = std::string(257, 'x');
  refused(schema, "columns[0].name: got 257 bytes");
  schema = RealColumns({"a"}, 1);
  schema.columns[0].levels = {"x"};
  refused(schema, "columns[0].levels: got levels");
  schema.columns[0].kind = ColumnKind::kCategorical;
  EXPECT_THAT(CheckSchema(schema), IsOk());
  schema.columns[0].levels = {"x", "x"};
  refused(schema, "columns[0].levels[1]");
  schema.columns[0].levels = {};
  refused(schema, "columns[0].levels: got none");
}

}  // namespace
}  // namespace emserve::server
