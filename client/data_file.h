// Tables from files, whatever their format: CSV with a header, or NPY.
#ifndef EMSERVE_CLIENT_DATA_FILE_H_
#define EMSERVE_CLIENT_DATA_FILE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/table.h"

namespace emserve::client {

struct DataFileOptions {
  // Columns to read, by name, in this order. Default: all that hold numbers (client/csv.h).
  std::vector<std::string> columns = {};
  // Whether a CSV file has a header; without one its columns are named c0, c1, ... Default: it has,
  // and one that holds only numbers is refused (client/csv.h).
  std::optional<bool> header = {};
  // Between the fields of a CSV file. Default: a tab if the name ends in .tsv, else a comma.
  std::optional<char> separator = {};
  // Cells of a CSV file that are missing beside empty ones. Default: NA, NaN and ?.
  std::optional<std::vector<std::string>> missing = {};
  // Columns of categories, which may hold text in a CSV file (client/csv.h).
  std::vector<std::string> categories = {};
  bool all_categories = false;
  std::vector<std::string> numbers = {};
  std::map<std::string, std::vector<std::string>> levels = {};
  // True: a file without names (NPY, or no header) must have exactly as many columns as `columns`
  // and gets these names in order, instead of being asked for c0, c1, ...
  bool unnamed_in_order = false;
  // The same for every file, whatever names it has.
  bool by_position = false;
};

// Where the rows of a table stand in its file.
struct RowPlaces {
  std::string source;  // the file, for messages
  // Of CSV, as CsvTable has them.
  std::vector<std::pair<int64_t, int64_t>> lines = {};

  // "f.csv:7", the line from 1; without lines "f.npy: row 5, counted from 0".
  std::string Of(int64_t row) const;
};

struct DataFile {
  Table table;
  RowPlaces places;
  // False if the file has no names of its own and the columns are called c0, c1, ...
  bool has_names = false;
  // What a person should know, e.g. columns that were left out.
  std::vector<std::string> notes;
  // OK if no cell is infinite, and if none is missing; otherwise InvalidArgument about the first
  // one that is: for those who cannot use such a table.
  absl::Status finite;
  absl::Status complete;
};

// Reads a file, "-" for the standard input. Its first bytes tell NPY from CSV. InvalidArgument with
// the file and, for CSV, the line.
absl::StatusOr<DataFile> ReadDataFile(const std::string& path, const DataFileOptions& options);

// Writes a table as CSV; "-" is the standard output.
absl::Status WriteCsvFile(const Table& table, const std::string& path);

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_DATA_FILE_H_
