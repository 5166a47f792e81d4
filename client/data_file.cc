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

// Why a table without lines is not finite, if it is not.
absl::Status CheckFinite(const Table& table, const std::string& path) {
  const auto hole = std::find_if(table.values.begin(), table.values.end(),
                                 [](double cell) { return !std::isfinite(cell); });
  if (hole == table.values.end()) return absl::OkStatus();
  const size_t at = static_cast<size_t>(hole - table.values.begin());
  const std::string where =
      absl::StrCat(path, ": column \"", table.columns[at % table.columns.size()], "\": ");
  const std::string row = absl::StrCat(" in row ", at / table.columns.size(), ", counted from 0");
  if (std::isnan(*hole)) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, "is missing", row, "; leave the row out"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(where, "got ", FormatNumber(*hole), row, ", must be finite"));
}

}  // namespace

absl::StatusOr<DataFile> ReadDataFile(const std::string& path, const DataFileOptions& options) {
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  if (!bytes.ok()) return bytes.status();
  const std::string source = path == "-" ? "standard input" : path;
  const bool is_npy = LooksLikeNpy(*bytes);
  DataFile file;
  file.has_names = !is_npy && options.header.value_or(true);
  const bool in_order = options.by_position || (!file.has_names && options.unnamed_in_order);
  const std::vector<std::string> columns = in_order ? std::vector<std::string>() : options.columns;
  if (is_npy) {
    absl::StatusOr<Table> table = ParseNpy(*bytes, source);
    if (table.ok()) table = Select(*std::move(table), columns, source);
    if (!table.ok()) return table.status();
    file.table = *std::move(table);
    file.finite = CheckFinite(file.table, source);
  } else {
    const char by_name = absl::EndsWithIgnoreCase(path, ".tsv") ? '\t' : ',';
    const CsvOptions csv{.columns = columns,
                         .header = options.header,
                         .separator = options.separator.value_or(by_name)};
    absl::StatusOr<CsvTable> parsed = ParseCsv(*bytes, source, csv);
    if (!parsed.ok()) return parsed.status();
    file.table = std::move(parsed->table);
    file.notes = std::move(parsed->notes);
    file.finite = std::move(parsed->finite);
  }
  if (in_order) {
    if (file.table.columns.size() != options.columns.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          source, ": got ", file.table.columns.size(),
          file.has_names ? " columns of numbers, must be " : " columns without names, must be ",
          options.columns.size(), ": ", absl::StrJoin(options.columns, ", ")));
    }
    file.table.columns = options.columns;
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
    AppendCsvRecord(std::span(table.values).subspan(row * width, width), buffer);
    if (buffer.size() >= kFlush) {
      if (absl::Status status = (*file)->Write(buffer); !status.ok()) return status;
      buffer.clear();
    }
  }
  if (absl::Status status = (*file)->Write(buffer); !status.ok()) return status;
  return (*file)->Commit();
}

}  // namespace emserve::client
