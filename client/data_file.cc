#include "client/data_file.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/csv.h"
#include "client/file.h"
#include "client/npy.h"
#include "client/number.h"

namespace emserve::client {
namespace {

absl::StatusOr<Table> Select(Table table, const std::vector<std::string>& columns,
                             const std::string& path) {
  if (columns.empty()) return table;
  std::vector<size_t> chosen;
  for (const std::string& name : columns) {
    const auto found = std::find(table.columns.begin(), table.columns.end(), name);
    if (found == table.columns.end()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": has no column \"", name,
                                                     "\"; its columns are c0 to c",
                                                     table.columns.size() - 1));
    }
    const size_t index = static_cast<size_t>(found - table.columns.begin());
    if (std::find(chosen.begin(), chosen.end(), index) != chosen.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("columns: got \"", name, "\" twice, must be unique"));
    }
    chosen.push_back(index);
  }
  Table out;
  out.columns = columns;
  out.num_rows = table.num_rows;
  out.values.reserve(static_cast<size_t>(table.num_rows) * chosen.size());
  for (size_t row = 0; row < static_cast<size_t>(table.num_rows); ++row) {
    for (const size_t c : chosen) {
      out.values.push_back(table.values[row * table.columns.size() + c]);
    }
  }
  return out;
}

// Why a table without lines is not complete or not finite, if it is not.
void CheckCells(const std::string& path, DataFile& file) {
  const Table& table = file.table;
  const auto where = [&](auto hole) {
    const size_t at = static_cast<size_t>(hole - table.values.begin());
    return std::pair(
        absl::StrCat(path, ": column \"", table.columns[at % table.columns.size()], "\": "),
        absl::StrCat(" in row ", at / table.columns.size(), ", counted from 0"));
  };
  const auto missing = std::find_if(table.values.begin(), table.values.end(),
                                    [](double cell) { return std::isnan(cell); });
  if (missing != table.values.end()) {
    const auto [column, row] = where(missing);
    file.complete =
        absl::InvalidArgumentError(absl::StrCat(column, "is missing", row, "; leave the row out"));
  }
  const auto infinite = std::find_if(table.values.begin(), table.values.end(),
                                     [](double cell) { return std::isinf(cell); });
  if (infinite != table.values.end()) {
    const auto [column, row] = where(infinite);
    file.finite = absl::InvalidArgumentError(
        absl::StrCat(column, "got ", FormatNumber(*infinite), row, ", must be finite"));
  }
}

// Numbers the categories of a table's columns as `levels` does, which are all the text it may hold.
absl::Status UseLevels(const std::map<std::string, std::vector<std::string>>& levels,
                       const std::string& path, Table& table) {
  for (size_t c = 0; c < table.levels.size(); ++c) {
    const auto given = levels.find(table.columns[c]);
    std::vector<double> codes;
    for (const std::string& text : table.levels[c]) {
      const auto end =
          given == levels.end() ? std::vector<std::string>::const_iterator() : given->second.end();
      const auto at = given == levels.end() ? end : std::find(given->second.begin(), end, text);
      if (at == end) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": column \"", table.columns[c], "\": got \"", text, "\", must be ",
                         given == levels.end() ? "a number" : absl::StrJoin(given->second, ", ")));
      }
      codes.push_back(static_cast<double>(at - given->second.begin()));
    }
    if (codes.empty()) continue;
    table.levels[c] = given->second;
    for (size_t i = c; i < table.values.size(); i += table.columns.size()) {
      if (!std::isnan(table.values[i]))
        table.values[i] = codes[static_cast<size_t>(table.values[i])];
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string RowPlaces::Of(int64_t row) const {
  // The last stretch that begins at the row or before it.
  const auto next = std::upper_bound(
      lines.begin(), lines.end(), row,
      [](int64_t at, const std::pair<int64_t, int64_t>& stretch) { return at < stretch.first; });
  if (next == lines.begin()) return absl::StrCat(source, ": row ", row, ", counted from 0");
  const auto& [first_row, first_line] = *(next - 1);
  return absl::StrCat(source, ":", first_line + row - first_row);
}

absl::StatusOr<DataFile> ReadDataFile(const std::string& path, const DataFileOptions& options) {
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  if (!bytes.ok()) return bytes.status();
  const std::string source = path == "-" ? "standard input" : path;
  const bool is_npy = LooksLikeNpy(*bytes);
  DataFile file;
  file.places.source = source;
  file.has_names = !is_npy && options.header.value_or(true);
  const bool in_order = options.by_position || (!file.has_names && options.unnamed_in_order);
  const std::vector<std::string> columns = in_order ? std::vector<std::string>() : options.columns;
  if (is_npy) {
    absl::StatusOr<Table> table = ParseNpy(*bytes, source);
    if (table.ok()) table = Select(*std::move(table), columns, source);
    if (!table.ok()) return table.status();
    file.table = *std::move(table);
    CheckCells(source, file);
  } else {
    const char by_name = absl::EndsWithIgnoreCase(path, ".tsv") ? '\t' : ',';
    CsvOptions csv{.columns = columns,
                   .header = options.header,
                   .separator = options.separator.value_or(by_name),
                   .categories = options.categories,
                   .all_categories = options.all_categories,
                   .numbers = options.numbers,
                   .levels = options.levels};
    if (options.missing.has_value()) csv.missing = *options.missing;
    if (in_order && !options.levels.empty()) {  // which columns they are of is not known yet
      csv.all_categories = true;
      csv.levels.clear();
    }
    absl::StatusOr<CsvTable> parsed = ParseCsv(*bytes, source, csv);
    if (!parsed.ok()) return parsed.status();
    file.table = std::move(parsed->table);
    file.places.lines = std::move(parsed->lines);
    file.notes = std::move(parsed->notes);
    file.finite = std::move(parsed->finite);
    file.complete = std::move(parsed->complete);
  }
  if (in_order) {
    if (file.table.columns.size() != options.columns.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          source, ": got ", file.table.columns.size(),
          file.has_names ? " columns of numbers, must be " : " columns without names, must be ",
          options.columns.size(), ": ", absl::StrJoin(options.columns, ", ")));
    }
    file.table.columns = options.columns;
    if (absl::Status status = UseLevels(options.levels, source, file.table); !status.ok()) {
      return status;
    }
  }
  return file;
}

absl::Status WriteCsvFile(const Table& table, const std::string& path) {
  absl::StatusOr<std::unique_ptr<OutputFile>> file = OutputFile::Create(path);
  if (!file.ok()) return file.status();
  constexpr size_t kFlush = size_t{1} << 18;
  std::string buffer;
  AppendCsvRecord(table.columns, buffer);
  const size_t width = table.columns.size();
  for (size_t row = 0; row < static_cast<size_t>(table.num_rows); ++row) {
    AppendCsvRecord(std::span(table.values).subspan(row * width, width), table.levels, buffer);
    if (buffer.size() >= kFlush) {
      if (absl::Status status = (*file)->Write(buffer); !status.ok()) return status;
      buffer.clear();
    }
  }
  if (absl::Status status = (*file)->Write(buffer); !status.ok()) return status;
  return (*file)->Commit();
}

}  // namespace emserve::client
