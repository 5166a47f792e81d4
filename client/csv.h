// Tables as CSV (RFC 4180).
//
// Reading: the first record is the header. Fields may be quoted, records end in LF or CRLF, a byte
// order mark and lines without any field are skipped. An empty field, NA and NaN (in any case) are
// missing values.
//
// Which columns are read: the chosen ones, all of which must be numbers; or, if none are chosen,
// every column that has a name and whose first non-missing field is a number. The columns that are
// left out for that reason are named in a note. A later field that is no number is an error with
// its line.
#ifndef EMSERVE_CLIENT_CSV_H_
#define EMSERVE_CLIENT_CSV_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/table.h"

namespace emserve::client {

struct CsvOptions {
  // Columns to read, by name, in this order. Default: all that hold numbers.
  std::vector<std::string> columns = {};
  // False: there is no header, and the columns are named c0, c1, ...
  bool header = true;
  char delimiter = ',';
};

struct CsvTable {
  Table table;
  // What a person should know: columns that were left out, a header that looks like data.
  std::vector<std::string> notes;
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

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_CSV_H_
