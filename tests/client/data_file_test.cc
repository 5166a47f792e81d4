// NPY files, and files of either format by their names.
#include "client/data_file.h"

#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "client/file.h"
#include "client/npy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/temp_dir.h"

namespace emserve::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A .npy file with this header; version 2 has a longer length field.
std::string Npy(const std::string& header, std::string_view cells, int version = 1) {
  std::string out("\x93NUMPY", 6);
  out += static_cast<char>(version);
  out += '\0';
  const uint32_t size = static_cast<uint32_t>(header.size());
  out.append(reinterpret_cast<const char*>(&size), version == 1 ? 2 : 4);
  out += header;
  out += cells;
  return out;
}

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

const std::string kHeader = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }    \n";
const std::string kCells = Bytes<double>({1, 2, 3, 4, 5, 6.5});

std::string Error(const std::string& bytes) {
  const absl::StatusOr<Table> table = ParseNpy(bytes, "f.npy");
  EXPECT_EQ(table.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(table.status().message());
}

TEST(ParseNpy, ReadsBothVersionsAndTypes) {
  for (const int version : {1, 2}) {
    const absl::StatusOr<Table> table = ParseNpy(Npy(kHeader, kCells, version), "f.npy");
    ASSERT_TRUE(table.ok()) << table.status();
    EXPECT_THAT(table->columns, ElementsAre("c0", "c1", "c2"));
    EXPECT_EQ(table->num_rows, 2);
    EXPECT_THAT(table->values, ElementsAre(1, 2, 3, 4, 5, 6.5));
  }
  const absl::StatusOr<Table> floats = ParseNpy(
      Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)}", Bytes<float>({0.5f, -2})),
      "f.npy");
  EXPECT_THAT(floats->values, ElementsAre(0.5, -2));
  const absl::StatusOr<Table> integers =
      ParseNpy(Npy("{\"shape\": (3,), \"descr\": \"<i8\", \"fortran_order\": False}",
                   Bytes<int64_t>({7, -8, 9})),
               "f.npy");
  EXPECT_THAT(integers->values, ElementsAre(7, -8, 9));
  EXPECT_EQ(integers->num_columns(), 1);
}

template <typename T>
void ExpectReads(const std::string& descr, const std::vector<T>& cells,
                 const std::vector<double>& values) {
  const std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" +
                             std::to_string(cells.size()) + ",)}";
  const absl::StatusOr<Table> table = ParseNpy(Npy(header, Bytes(cells)), "f.npy");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->values, values) << descr;
}

TEST(ParseNpy, ReadsIntegersOfEverySizeAndBooleans) {
  ExpectReads<int32_t>("<i4", {-5, 2147483647}, {-5, 2147483647});
  ExpectReads<int16_t>("<i2", {-5, 7}, {-5, 7});
  ExpectReads<int8_t>("|i1", {-5, 7}, {-5, 7});
  ExpectReads<uint8_t>("|u1", {0, 255}, {0, 255});
  ExpectReads<uint8_t>("|b1", {0, 1}, {0, 1});
  ExpectReads<uint16_t>("<u2", {65535}, {65535});
  ExpectReads<uint32_t>("<u4", {4294967295}, {4294967295});
  ExpectReads<uint64_t>("<u8", {1, uint64_t{1} << 53}, {1, 9007199254740992});
}

TEST(ParseNpy, ReadsBigEndianNumbers) {
  const absl::StatusOr<Table> integers =
      ParseNpy(Npy("{'descr': '>i4', 'fortran_order': False, 'shape': (2, 1)}",
                   Bytes<uint8_t>({0, 0, 1, 2, 255, 255, 255, 255})),
               "f.npy");
  ASSERT_TRUE(integers.ok()) << integers.status();
  EXPECT_THAT(integers->values, ElementsAre(258, -1));
  const absl::StatusOr<Table> doubles =
      ParseNpy(Npy("{'descr': '>f8', 'fortran_order': True, 'shape': (1, 2)}",
                   Bytes<uint8_t>({0x3F, 0xF8, 0, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0})),
               "f.npy");
  ASSERT_TRUE(doubles.ok()) << doubles.status();
  EXPECT_THAT(doubles->values, ElementsAre(1.5, -2));
}

TEST(ParseNpy, ReadsFortranOrder) {
  const absl::StatusOr<Table> table =
      ParseNpy(Npy("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3)}",
                   Bytes<double>({1, 4, 2, 5, 3, 6})),
               "f.npy");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(table->values, ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(ParseNpy, RefusesIntegersThatADoubleCannotHold) {
  constexpr int64_t kLargest = int64_t{1} << 53;
  ExpectReads<int64_t>("<i8", {kLargest, -kLargest}, {9007199254740992, -9007199254740992});
  const std::string header = "{'descr': '<i8', 'fortran_order': False, 'shape': (2, 2)}";
  for (const int64_t cell : {kLargest + 1, -kLargest - 1}) {
    EXPECT_THAT(Error(Npy(header, Bytes<int64_t>({1, 2, 3, cell}))),
                HasSubstr("got an integer beyond 2^53 in row 1, column c1"));
    EXPECT_THAT(Error(Npy("{'descr': '<i8', 'fortran_order': True, 'shape': (2, 2)}",
                          Bytes<int64_t>({1, cell, 3, 4}))),
                HasSubstr("in row 1, column c0"));
  }
}

TEST(ParseNpy, RefusesWhatItCannotReadAndSaysHowToConvert) {
  EXPECT_THAT(Error(Npy("{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3)}", kCells)),
              HasSubstr("astype"));
  EXPECT_THAT(Error(Npy("{'descr': '|f8', 'fortran_order': False, 'shape': (2, 3)}", kCells)),
              HasSubstr("'|f8'"));
  EXPECT_THAT(Error(Npy("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}", kCells)),
              HasSubstr("'|O'"));
  EXPECT_THAT(Error(Npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2, 3)}", kCells)),
              HasSubstr("3 dimensions"));
  EXPECT_THAT(Error(Npy("{'descr': '<f8', 'fortran_order': False, 'shape': ()}", kCells)),
              HasSubstr("0 dimensions"));
  EXPECT_THAT(Error(Npy("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 3)}", "")),
              HasSubstr("0 rows"));
  EXPECT_THAT(Error(Npy(kHeader, kCells, 3)), HasSubstr("format 3"));
}

TEST(ParseNpy, RefusesHostileHeaders) {
  for (const char* shape :
       {"(4611686018427387904, 3)", "(3037000500, 3037000500)", "(99999999999999999999, 1)",
        "(-2, 3)", "(2, 3, 1, 1", "(2 3)", "(2, 3, )x", "2", "(2.0, 3)"}) {
    const std::string header =
        std::string("{'descr': '<f8', 'fortran_order': False, 'shape': ") + shape + "}";
    Error(Npy(header, kCells));
  }
  for (const char* header :
       {"", "{}", "{'descr': '<f8'}", "{'descr': '<f8', 'descr': '<f8', 'shape': (2, 3)}",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2, 3)}",
        "{'descr': '<f8', 'fortran_order': 0, 'shape': (2, 3)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), 'x': 1}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)} trailing", "__import__('os')"}) {
    EXPECT_THAT(Error(Npy(header, kCells)), HasSubstr("header")) << header;
  }
}

TEST(ParseNpy, RefusesEveryTruncation) {
  const std::string whole = Npy(kHeader, kCells);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ParseNpy(whole.substr(0, size), "f.npy").ok()) << size;
  }
  EXPECT_FALSE(ParseNpy(whole + "x", "f.npy").ok());
}

TEST(ParseNpy, NeverCrashesOnFlippedBytes) {
  std::mt19937 random(3);
  const std::string whole = Npy(kHeader, kCells);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = whole;
    for (int n = 0; n < 3; ++n) bytes[random() % bytes.size()] = static_cast<char>(random());
    const absl::StatusOr<Table> table = ParseNpy(bytes, "f.npy");
    if (table.ok()) {
      ASSERT_EQ(table->values.size() % table->columns.size(), 0u);
    }
  }
}

TEST(ReadDataFile, TellsFormatsApartByContent) {
  const TempDir dir;
  const absl::StatusOr<DataFile> npy =
      ReadDataFile(dir.Write("x.csv", Npy(kHeader, kCells)), {.columns = {"c2", "c0"}});
  ASSERT_TRUE(npy.ok()) << npy.status();
  EXPECT_FALSE(npy->has_names);
  EXPECT_THAT(npy->table.values, ElementsAre(3, 1, 6.5, 4));
  const absl::StatusOr<DataFile> tsv = ReadDataFile(dir.Write("x.tsv", "a\tb\n1\t2\n"), {});
  ASSERT_TRUE(tsv.ok()) << tsv.status();
  EXPECT_TRUE(tsv->has_names);
  EXPECT_THAT(tsv->table.columns, ElementsAre("a", "b"));
}

TEST(ReadDataFile, GivesUnnamedColumnsTheExpectedNamesInOrder) {
  const TempDir dir;
  const std::string path = dir.Write("x.npy", Npy(kHeader, kCells));
  const absl::StatusOr<DataFile> file =
      ReadDataFile(path, {.columns = {"x", "y", "z"}, .unnamed_in_order = true});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->table.columns, ElementsAre("x", "y", "z"));
  const absl::StatusOr<DataFile> wrong =
      ReadDataFile(path, {.columns = {"x", "y"}, .unnamed_in_order = true});
  EXPECT_THAT(std::string(wrong.status().message()),
              HasSubstr("got 3 columns without names, must be 2"));
}

TEST(ReadDataFile, MatchesNamedColumnsByPositionOnRequest) {
  const TempDir dir;
  const std::string path = dir.Write("x.csv", "a,t,b\n1,red,2\n");
  const absl::StatusOr<DataFile> file =
      ReadDataFile(path, {.columns = {"x", "y"}, .by_position = true});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->table.columns, ElementsAre("x", "y"));
  EXPECT_THAT(file->table.values, ElementsAre(1, 2));
  const absl::StatusOr<DataFile> wrong =
      ReadDataFile(path, {.columns = {"x", "y", "z"}, .by_position = true});
  EXPECT_THAT(std::string(wrong.status().message()),
              HasSubstr("got 2 columns of numbers, must be 3: x, y, z"));
}

TEST(ReadDataFile, NamesTheRowOfTheFirstCellThatIsMissing) {
  const TempDir dir;
  const double kNaN = std::numeric_limits<double>::quiet_NaN();
  const std::string path =
      dir.Write("x.npy", Npy(kHeader, Bytes<double>({1, 2, 3, 4, kNaN, -kNaN})));
  const absl::StatusOr<DataFile> file = ReadDataFile(path, {});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(std::string(file->complete.message()),
              HasSubstr("x.npy: column \"c1\": is missing in row 1, counted from 0"));
  EXPECT_TRUE(ReadDataFile(path, {.columns = {"c0"}})->complete.ok());
  const absl::StatusOr<DataFile> csv = ReadDataFile(dir.Write("x.csv", "a\n1\nNA\n"), {});
  EXPECT_THAT(std::string(csv->complete.message()), HasSubstr("x.csv:3: column \"a\": is missing"));
  const absl::StatusOr<DataFile> infinite =
      ReadDataFile(dir.Write("i.npy", Npy(kHeader, Bytes<double>({1, 2, 3, 4, 5, 1 / 0.0}))), {});
  EXPECT_THAT(std::string(infinite->finite.message()),
              HasSubstr("i.npy: column \"c2\": got Inf in row 1, counted from 0, must be finite"));
}

TEST(ReadDataFile, NumbersCategoriesAsTheModelDoesByPositionToo) {
  const TempDir dir;
  const std::string path = dir.Write("x.csv", "u,v\nred,1\nblue,2\n");
  DataFileOptions options{.columns = {"t", "a"}, .levels = {{"t", {"red", "green", "blue"}}}};
  options.by_position = true;
  const absl::StatusOr<DataFile> file = ReadDataFile(path, options);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->table.values, (std::vector<double>{0, 1, 2, 2}));
  EXPECT_EQ(file->table.levels[0].size(), 3u);
  options.levels = {{"t", {"green", "blue"}}};
  EXPECT_THAT(std::string(ReadDataFile(path, options).status().message()),
              HasSubstr("column \"t\": got \"red\", must be green, blue"));
}

TEST(ReadDataFile, TakesTheSeparatorFromTheOptionBeforeTheName) {
  const TempDir dir;
  const absl::StatusOr<DataFile> file =
      ReadDataFile(dir.Write("x.tsv", "a;b\n1;2\n"), {.separator = ';'});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->table.values, ElementsAre(1, 2));
}

TEST(ReadDataFile, SaysWhichFileCannotBeRead) {
  const absl::StatusOr<DataFile> file = ReadDataFile("/nowhere/x.csv", {});
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(file.status().message()),
              HasSubstr("/nowhere/x.csv: cannot be read: No such file"));
}

TEST(OutputFile, AppearsOnlyWhenItIsComplete) {
  const TempDir dir;
  const std::string path = dir.Write("out.csv", "old");
  {
    const auto file = OutputFile::Create(path);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Write("half").ok());
    EXPECT_EQ(ReadAll(path), "old");
  }
  EXPECT_EQ(ReadAll(path), "old");
  EXPECT_EQ(dir.NumFiles(), 1u);
  const auto file = OutputFile::Create(path);
  ASSERT_TRUE((*file)->Write("whole").ok());
  ASSERT_TRUE((*file)->Commit().ok());
  EXPECT_EQ(ReadAll(path), "whole");
  EXPECT_EQ(dir.NumFiles(), 1u);
}

TEST(OutputFile, SaysWhyItCannotBeMade) {
  EXPECT_THAT(std::string(OutputFile::Create("/nowhere/out.csv").status().message()),
              HasSubstr("/nowhere/out.csv: cannot be written: No such file"));
  EXPECT_THAT(std::string(OutputFile::Create("/").status().message()), HasSubstr("directory"));
}

TEST(WriteCsvFile, RoundTrips) {
  const TempDir dir;
  const Table table{.columns = {"a", "b c"}, .num_rows = 2, .values = {1.0 / 3, 2, -0.5, 1e-300}};
  ASSERT_TRUE(WriteCsvFile(table, dir.path("t.csv")).ok());
  const absl::StatusOr<DataFile> back = ReadDataFile(dir.path("t.csv"), {});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->table.columns, table.columns);
  EXPECT_EQ(back->table.values, table.values);
}

TEST(RowPlaces, AreLinesWhereThereAreLines) {
  const RowPlaces csv{.source = "f.csv", .lines = {{0, 2}, {2, 5}}};
  EXPECT_EQ(csv.Of(0), "f.csv:2");
  EXPECT_EQ(csv.Of(1), "f.csv:3");
  EXPECT_EQ(csv.Of(3), "f.csv:6");
  EXPECT_EQ(RowPlaces{.source = "f.npy"}.Of(3), "f.npy: row 3, counted from 0");
}

}  // namespace
}  // namespace emserve::client
