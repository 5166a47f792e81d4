// Tables as CSV (RFC 4180).
//
// Reading: the first record is the header, UTF-8. Fields may be quoted, records end in LF or CRLF,
// a byte order mark is skipped. An empty field, NA, NaN (in any case) and ? are missing values.
//
// Empty lines: in a file of one column each is a row with a missing cell, also at the end, where a
// note tells so. In any other they are errors with their line, but for those after the last row.
// Before a header they are skipped.
//
// Which columns are read: the chosen ones, all of which must be numbers; or, if none are chosen,
// every column that has a name and whose first non-missing field is a number. The columns that are
// left out for that reason are named in a note. A later field that is no number is an error with
// its line.
//
// Columns of categories may hold text. One whose cells are all numbers stays as it is; of any other
// the cells become the indices of its categories in sorted order (bytes, so that the order of the
// rows does not matter), whose names are Table::levels.
#ifndef EMSERVE_CLIENT_CSV_H_
#define EMSERVE_CLIENT_CSV_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/table.h"

namespace emserve::client {

struct CsvOptions {
  // Columns to read, by name, in this order. Default: all that hold numbers.
  std::vector<std::string> columns = {};
  // Whether the first record is a header; without one the columns are named c0, c1, ... Default: it
  // is, and one that holds only numbers is refused, because it may be the first row of the data.
  std::optional<bool> header = {};
  char separator = ',';
  // Cells that are missing, in any case, beside empty ones.
  std::vector<std::string> missing = {"NA", "NaN", "?"};
  // Columns of categories by name, or all but `numbers`.
  std::vector<std::string> categories = {};
  bool all_categories = false;
  std::vector<std::string> numbers = {};
  // Columns whose categories are known: their names in order. Any other cell is an error.
  std::map<std::string, std::vector<std::string>> levels = {};
};

struct CsvTable {
  Table table;
  // Row and line, from 0 and 1, where each stretch of rows that stand on lines of their own begins:
  // several only if there are quoted fields of more than one line.
  std::vector<std::pair<int64_t, int64_t>> lines;
  // What a person should know: columns that were left out, empty lines at the end.
  std::vector<std::string> notes;
  // OK if no cell is infinite, and if none is missing; otherwise InvalidArgument about the first
  // one that is, with its line: for those who cannot use such a table.
  absl::Status finite;
  absl::Status complete;
};

// Parses `text`. `source` names it in errors (InvalidArgument, "<source>:<line>: ..."). At least
// one row and one column. O(text).
absl::StatusOr<CsvTable> ParseCsv(std::string_view text, const std::string& source,
                                  const CsvOptions& options);

// Splits one record into its fields, e.g. a list of column names from a command line.
// InvalidArgument if a quote is not closed.
absl::StatusOr<std::vector<std::string>> SplitCsvRecord(std::string_view record);

// Appends a record of fields, quoted where needed.
void AppendCsvRecord(std::span<const std::string> fields, std::string& out);
// Appends a record of numbers, each the shortest that reads back as the same double.
void AppendCsvRecord(std::span<const double> values, std::string& out);
// The same with the names of categories for the numbers of those columns that have `levels`.
void AppendCsvRecord(std::span<const double> values,
                     std::span<const std::vector<std::string>> levels, std::string& out);

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_CSV_H_
