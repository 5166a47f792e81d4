#include "client/csv.h"

#include <cmath>
#include <limits>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/temp_dir.h"

namespace emserve::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::NanSensitiveDoubleEq;
using ::testing::Not;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

CsvTable Parsed(std::string_view text, const CsvOptions& options = {}) {
  absl::StatusOr<CsvTable> csv = ParseCsv(text, "f.csv", options);
  EXPECT_TRUE(csv.ok()) << csv.status();
  return csv.ok() ? *std::move(csv) : CsvTable();
}

std::string Error(std::string_view text, const CsvOptions& options = {}) {
  const absl::StatusOr<CsvTable> csv = ParseCsv(text, "f.csv", options);
  EXPECT_EQ(csv.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(csv.status().message());
}

TEST(ParseCsv, ReadsHeaderAndRows) {
  const CsvTable csv = Parsed("a,b\n1,2\n3,4\n");
  EXPECT_THAT(csv.table.columns, ElementsAre("a", "b"));
  EXPECT_EQ(csv.table.num_rows, 2);
  EXPECT_THAT(csv.table.values, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(csv.notes, IsEmpty());
}

TEST(ParseCsv, UnderstandsQuotesWindowsLineEndsAndAByteOrderMark) {
  const CsvTable csv = Parsed("\xEF\xBB\xBF\"a, \"\"x\"\"\", \"b\r\n\"1\",2\r\n3,\" 4\"\r\n5,6");
  EXPECT_THAT(csv.table.columns, ElementsAre("a, \"x\"", "\"b"));
  EXPECT_THAT(csv.table.values, ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(ParseCsv, TakesTheEmptyLinesOfOneColumnAsMissingCells) {
  const auto nan = NanSensitiveDoubleEq(kNaN);
  const CsvTable csv = Parsed("count\n10\n\n20\n\n\n");
  EXPECT_EQ(csv.table.num_rows, 5);
  EXPECT_THAT(csv.table.values, ElementsAre(10, nan, 20, nan, nan));
  EXPECT_THAT(csv.notes, ElementsAre("f.csv: took 2 empty lines at its end as rows with a missing "
                                     "cell"));
  EXPECT_EQ(csv.complete.message(), "f.csv:3: column \"count\": is missing; leave the row out");
  EXPECT_THAT(Parsed("a\n1\n\n").notes,
              ElementsAre("f.csv: took 1 empty line at its end as a row with a missing cell"));
  const CsvTable windows = Parsed("\r\ncount\r\n \t\r\n10\r\n\r\n20");
  EXPECT_THAT(windows.table.values, ElementsAre(nan, 10, nan, 20));
  EXPECT_THAT(windows.notes, IsEmpty());
  EXPECT_THAT(Parsed("\n10\n\n20\n", {.header = false}).table.values,
              ElementsAre(nan, 10, nan, 20));
  const CsvTable named = Parsed("c\nred\n\nblue\n", {.all_categories = true});
  EXPECT_THAT(named.table.values, ElementsAre(1, nan, 0));
  EXPECT_THAT(Error("count\n10\n\nx\n"), HasSubstr("f.csv:4: column \"count\": got \"x\""));
  EXPECT_THAT(Error("\n\n"), HasSubstr("empty file"));
}

TEST(ParseCsv, RefusesEmptyLinesAmongRowsOfManyColumns) {
  EXPECT_EQ(Error("a,b\n1,2\n\n \n3,4\n"),
            "f.csv:3: got an empty line, must have 2 cells; take it out, or write a row of missing "
            "cells");
  EXPECT_THAT(Error("a,b\n\n1,2\n"), HasSubstr("f.csv:2: got an empty line"));
  EXPECT_THAT(Error("1,2\r\n\r\n3,4\r\n", {.header = false}),
              HasSubstr("f.csv:2: got an empty line"));
  EXPECT_THAT(Parsed("\n\na,b\n1,2\n,\n3,4\n\n  \n").table.values,
              ElementsAre(1, 2, NanSensitiveDoubleEq(kNaN), NanSensitiveDoubleEq(kNaN), 3, 4));
}

TEST(ParseCsv, CountsLinesInsideQuotes) {
  EXPECT_THAT(Error("\n\"a\nb\",c\n1,2\n3,x\n"),
              HasSubstr("f.csv:5: column \"c\": got \"x\", must be a number"));
}

TEST(ParseCsv, KnowsTheLineOfEveryRow) {
  using Lines = std::vector<std::pair<int64_t, int64_t>>;
  EXPECT_EQ(Parsed("a,b\n1,2\n3,4\n5,6\n").lines, (Lines{{0, 2}}));
  EXPECT_EQ(Parsed("a\n1\n\n3\n").lines, (Lines{{0, 2}}));
  EXPECT_EQ(Parsed("\n1\n\n3\n", {.header = false}).lines, (Lines{{0, 1}}));
  EXPECT_EQ(Parsed("a,t\n1,x\n2,\"y\nz\"\n3,x\n4,x\n").lines, (Lines{{0, 2}, {2, 5}}));
}

TEST(ParseCsv, ReadsMissingValues) {
  const CsvTable csv = Parsed("a,b\n,NA\nnan, NaN \n1,2\n");
  EXPECT_THAT(csv.table.values,
              ElementsAre(NanSensitiveDoubleEq(kNaN), NanSensitiveDoubleEq(kNaN),
                          NanSensitiveDoubleEq(kNaN), NanSensitiveDoubleEq(kNaN), 1, 2));
}

TEST(ParseCsv, LeavesOutTextColumnsWithANoteWhenNoneAreChosen) {
  const CsvTable csv = Parsed(ReadAll(EMSERVE_TEST_DATA "/iris.csv"));
  EXPECT_THAT(csv.table.columns,
              ElementsAre("Sepal.Length", "Sepal.Width", "Petal.Length", "Petal.Width"));
  EXPECT_EQ(csv.table.num_rows, 150);
  EXPECT_EQ(csv.table.values.size(), 600u);
  EXPECT_EQ(csv.table.values[599], 1.8);
  EXPECT_THAT(csv.notes, ElementsAre(HasSubstr("left out Species")));
}

TEST(ParseCsv, LeavesOutATextColumnThatBeginsWithMissingValues) {
  const CsvTable csv = Parsed("a,t,b\n1,NA,2\n3,red,4\n");
  EXPECT_THAT(csv.table.columns, ElementsAre("a", "b"));
  EXPECT_THAT(csv.table.values, ElementsAre(1, 2, 3, 4));
}

TEST(ParseCsv, RefusesTextInAColumnOfNumbersWithLineAndColumn) {
  EXPECT_THAT(Error("a,b\n1,2\n3,oops\n"),
              HasSubstr("f.csv:3: column \"b\": got \"oops\", must be a number"));
}

TEST(ParseCsv, ReadsChosenColumnsInTheirOrderAndIgnoresTheOthers) {
  const CsvTable csv = Parsed("a,b,c\n1,x,3\n4,,6\n", {.columns = {"c", "a"}});
  EXPECT_THAT(csv.table.columns, ElementsAre("c", "a"));
  EXPECT_THAT(csv.table.values, ElementsAre(3, 1, 6, 4));
}

TEST(ParseCsv, RefusesTextInAChosenColumn) {
  EXPECT_THAT(Error("a,t\n1,red\n", {.columns = {"t"}}),
              HasSubstr("f.csv:2: column \"t\": got \"red\""));
}

TEST(ParseCsv, RefusesUnknownAndRepeatedColumns) {
  EXPECT_THAT(Error("a,b\n1,2\n", {.columns = {"z"}}),
              HasSubstr("has no column \"z\"; it has a, b"));
  EXPECT_THAT(Error("a,b\n1,2\n", {.columns = {"a", "a"}}), HasSubstr("twice"));
  EXPECT_THAT(Error("a,a\n1,2\n"), HasSubstr("f.csv:1: got column \"a\" twice"));
}

TEST(ParseCsv, LeavesOutRowNumbersWithoutAName) {
  const CsvTable csv = Parsed("\"\",\"x\"\n\"1\",2\n\"2\",4\n");
  EXPECT_THAT(csv.table.columns, ElementsAre("x"));
  EXPECT_THAT(csv.table.values, ElementsAre(2, 4));
  EXPECT_THAT(csv.notes, ElementsAre(HasSubstr("column 1, which has no name")));
}

TEST(ParseCsv, RefusesRaggedRows) {
  EXPECT_THAT(Error("a,b\n1,2\n3\n"), HasSubstr("f.csv:3: got 1 fields, must be 2"));
  EXPECT_THAT(Error("a,b\n1,2,3\n"), HasSubstr("f.csv:2: got 3 fields, must be 2"));
}

TEST(ParseCsv, RefusesDamagedQuotesAndEmptyFiles) {
  EXPECT_THAT(Error("a,b\n\"1,2\n"), HasSubstr("f.csv:2: a quoted field is not closed"));
  EXPECT_THAT(Error("a,b\n\"1\"x,2\n"), HasSubstr("text follows a closing quote"));
  EXPECT_THAT(Error(""), HasSubstr("empty file"));
  EXPECT_THAT(Error("a,b\n"), HasSubstr("no rows"));
  EXPECT_THAT(Error("a\nred\n"), HasSubstr("no column of numbers"));
}

TEST(ParseCsv, ReadsFilesWithoutHeader) {
  const CsvTable csv = Parsed("1,2\n3,4\n", {.header = false});
  EXPECT_THAT(csv.table.columns, ElementsAre("c0", "c1"));
  EXPECT_EQ(csv.table.num_rows, 2);
}

TEST(ParseCsv, RefusesAFirstLineOfNumbersUnlessToldWhatItIs) {
  for (const char* text : {"1,2\n3,4\n", "1,1\n3,4\n", "1,NA\n3,4\n"}) {
    const std::string error = Error(text);
    EXPECT_THAT(error, HasSubstr("f.csv:1: the first line holds only numbers")) << text;
    EXPECT_THAT(error, HasSubstr("--no-header")) << text;
    EXPECT_THAT(error, HasSubstr("--header")) << text;
  }
  EXPECT_THAT(Parsed("1,2\n3,4\n", {.header = true}).table.columns, ElementsAre("1", "2"));
  EXPECT_EQ(Parsed("1,2\n3,4\n", {.header = false}).table.num_rows, 2);
  // Asked for by these names, they are names.
  EXPECT_THAT(Parsed("2020,2021\n3,4\n", {.columns = {"2021"}}).table.values, ElementsAre(4));
  EXPECT_THAT(Error("1,2\n3,4\n", {.columns = {"a"}}), HasSubstr("--no-header"));
  EXPECT_THAT(Parsed("a,2\n3,4\n").table.columns, ElementsAre("a", "2"));
}

TEST(ParseCsv, NamesTheLineOfTheFirstCellThatIsMissingOrInfinite) {
  EXPECT_TRUE(Parsed("a,t\n1,red\n2,\n").complete.ok());
  const CsvTable csv = Parsed("\na,b\n1,2\n3,NA\n,5\n");
  EXPECT_EQ(csv.complete.message(), "f.csv:4: column \"b\": is missing; leave the row out");
  EXPECT_TRUE(csv.finite.ok());
  EXPECT_EQ(Parsed("a,b\n1,2\n-inf,\n").finite.message(),
            "f.csv:3: column \"a\": got -Inf, must be finite");
  // The table is still read: others can use it.
  EXPECT_EQ(Parsed("a,b\n1,NA\n").table.num_rows, 1);
}

TEST(ParseCsv, TakesTheWordsForMissingCells) {
  EXPECT_THAT(Parsed("a\n1\n?\n na \nNaN\n\"\"\n").table.values,
              ElementsAre(1, NanSensitiveDoubleEq(kNaN), NanSensitiveDoubleEq(kNaN),
                          NanSensitiveDoubleEq(kNaN), NanSensitiveDoubleEq(kNaN)));
  EXPECT_THAT(Parsed("a\n1\n-\n", {.missing = {"-"}}).table.values,
              ElementsAre(1, NanSensitiveDoubleEq(kNaN)));
  EXPECT_THAT(Error("a\n1\nNA\n", {.missing = {"-"}}), HasSubstr("got \"NA\""));
}

TEST(ParseCsv, NumbersCategoriesInSortedOrder) {
  const CsvTable csv =
      Parsed("a,t,n\n1,red,3\n2,blue,5\n3,?,\n4,red,3\n", {.categories = {"t", "n"}});
  EXPECT_EQ(csv.table.columns, (std::vector<std::string>{"a", "t", "n"}));
  EXPECT_EQ(csv.table.levels, (std::vector<std::vector<std::string>>{{}, {"blue", "red"}, {}}));
  EXPECT_THAT(csv.table.values, ElementsAre(1, 1, 3, 2, 0, 5, 3, NanSensitiveDoubleEq(kNaN),
                                            NanSensitiveDoubleEq(kNaN), 4, 1, 3));
  // The order of the rows does not matter, and a column of numbers has no levels.
  EXPECT_EQ(Parsed("t\nblue\nred\n", {.all_categories = true}).table.levels,
            Parsed("t\nred\nblue\n", {.all_categories = true}).table.levels);
  EXPECT_THAT(Parsed("t\n2\n10\n", {.all_categories = true}).table.levels, IsEmpty());
  EXPECT_THAT(
      Error("t,w\na,x\n", {.columns = {"t", "w"}, .all_categories = true, .numbers = {"w"}}),
      HasSubstr("column \"w\": got \"x\", must be a number"));
}

TEST(ParseCsv, KeepsToCategoriesThatAreKnown) {
  const CsvOptions options{.columns = {"t"}, .levels = {{"t", {"red", "blue"}}}};
  const CsvTable csv = Parsed("t\nblue\n\"\"\nred\n", options);
  EXPECT_THAT(csv.table.values, ElementsAre(1, NanSensitiveDoubleEq(kNaN), 0));
  EXPECT_EQ(csv.table.levels, (std::vector<std::vector<std::string>>{{"red", "blue"}}));
  EXPECT_EQ(Error("t\nred\ngreen\n", options),
            "f.csv:3: column \"t\": got \"green\", must be one of the model's categories: red, "
            "blue");
}

TEST(AppendCsvRecord, WritesCategoriesByName) {
  std::string out;
  const std::vector<std::vector<std::string>> levels = {{}, {"a, b", "c"}};
  const double rows[] = {1, 0, 2, 1, 3, kNaN};
  for (size_t i = 0; i < 6; i += 2) AppendCsvRecord(std::span(rows).subspan(i, 2), levels, out);
  EXPECT_EQ(out, "1,\"a, b\"\n2,c\n3,NaN\n");
}

TEST(ParseCsv, ReadsOtherSeparators) {
  EXPECT_THAT(Parsed("a;b\n1;2\n", {.separator = ';'}).table.values, ElementsAre(1, 2));
  EXPECT_THAT(Parsed("a\tb\n1\t2\n", {.separator = '\t'}).table.columns, ElementsAre("a", "b"));
}

TEST(ParseCsv, NamesTheSeparatorThatTheFileSeemsToHave) {
  const auto semicolon = HasSubstr("looks separated by ';': say --separator ';'");
  EXPECT_THAT(Error("a;b\n1;2\n"), semicolon);
  EXPECT_THAT(Error("a;b\n1,5;2,5\n"), semicolon);
  EXPECT_THAT(Error("a;b\n1;2\n", {.columns = {"a"}}), semicolon);
  EXPECT_THAT(Error("a\tb\n1\t2\n"), HasSubstr("say --separator tab"));
  EXPECT_THAT(Error("a,b\n1,2\n", {.separator = '\t'}), HasSubstr("say --separator ','"));
  EXPECT_THAT(Error("a\nred\n"), Not(HasSubstr("--separator")));
}

TEST(ParseCsv, RefusesHeadersThatAreNotUtf8) {
  EXPECT_THAT(Error("a,gr\xF6\xDF"
                    "e\n1,2\n"),
              HasSubstr("f.csv:1: the header is not UTF-8; convert the file (iconv -f latin1"));
  EXPECT_THAT(Error(std::string_view("\xFF\xFE"
                                     "a\0\n\0",
                                     6)),
              HasSubstr("iconv -f utf-16"));
  EXPECT_THAT(Parsed("gr\u00F6\u00DFe\n1\n").table.columns, ElementsAre("gr\u00F6\u00DFe"));
}

TEST(ParseCsv, NeverCrashesOnRandomBytes) {
  std::mt19937 random(7);
  const std::string_view alphabet = ",\"\n\r 1a.-e\tN";
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (size_t n = random() % 40; n > 0; --n) text += alphabet[random() % alphabet.size()];
    const absl::StatusOr<CsvTable> csv = ParseCsv(text, "f.csv", {.header = i % 2 == 0});
    if (!csv.ok()) continue;
    ASSERT_EQ(static_cast<int64_t>(csv->table.values.size()),
              csv->table.num_rows * csv->table.num_columns())
        << text;
  }
}

TEST(SplitCsvRecord, SplitsAndTrimsNames) {
  EXPECT_THAT(*SplitCsvRecord("a, b ,\"c,d\""), ElementsAre("a", "b", "c,d"));
  EXPECT_FALSE(SplitCsvRecord("\"a").ok());
}

TEST(AppendCsvRecord, WritesWhatParseCsvReads) {
  const std::vector<std::string> names = {"plain", "a,b", "say \"x\"", " blank ", "two\nlines"};
  std::string text;
  AppendCsvRecord(names, text);
  const std::vector<double> row = {0.1, kNaN, -1e300, 3, 5e-324};
  AppendCsvRecord(row, text);
  const CsvTable csv = Parsed(text);
  EXPECT_THAT(csv.table.columns, ElementsAre("plain", "a,b", "say \"x\"", "blank", "two\nlines"));
  EXPECT_THAT(csv.table.values, ElementsAre(0.1, NanSensitiveDoubleEq(kNaN), -1e300, 3, 5e-324));
}

}  // namespace
}  // namespace emserve::client
