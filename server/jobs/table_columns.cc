#include "server/jobs/table_columns.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/errors.h"
#include "server/names.h"

namespace emserve::server {
namespace {

constexpr size_t kMaxListed = 20;

std::vector<std::string> NamesOf(const DatasetSchema& schema) {
  std::vector<std::string> names;
  names.reserve(schema.columns.size());
  for (const ColumnSchema& column : schema.columns) names.push_back(column.name);
  return names;
}

// Only floating-point cells can be other than finite.
double CellAt(const Cells& cells, int64_t row, int column) {
  const std::byte* const cell =
      cells.bytes + (row * cells.num_columns + column) * ElementSize(cells.type);
  if (cells.type == ElementType::kFloat32) {
    float narrow = 0;
    std::memcpy(&narrow, cell, sizeof(narrow));
    return static_cast<double>(narrow);
  }
  double value = 0;
  std::memcpy(&value, cell, sizeof(value));
  return value;
}

absl::Status NotFinite(const DatasetContent& content, int column, int64_t row,
                       const char* constraint) {
  const double value = CellAt(content.cells, row, column);
  const char* const shown = std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
  return InvalidArgument(
      absl::StrCat("columns[", content.schema->columns[static_cast<size_t>(column)].name, "]"),
      absl::StrCat("got ", shown, " in row ", row, ", must be ", constraint));
}

}  // namespace

ColumnIndex::ColumnIndex(std::vector<std::string> names) : names_(std::move(names)) {
  index_.reserve(names_.size());
  for (size_t i = 0; i < names_.size(); ++i) index_.emplace(names_[i], static_cast<int>(i));
}

ColumnIndex::ColumnIndex(const DatasetSchema& schema) : ColumnIndex(NamesOf(schema)) {}

absl::StatusOr<int> ColumnIndex::Find(std::string_view path, std::string_view name) const {
  if (const auto found = index_.find(name); found != index_.end()) return found->second;
  std::string known;
  for (size_t i = 0; i < std::min(names_.size(), kMaxListed); ++i) {
    absl::StrAppend(&known, i == 0 ? "" : ", ", Shown(names_[i]));
  }
  if (names_.size() > kMaxListed) absl::StrAppend(&known, ", ...");
  return InvalidArgument(
      path, absl::StrCat("got ", Shown(name), ", must be a column of the data: ", known));
}

absl::Status CheckFinite(const DatasetContent& content, int column) {
  const int64_t row = content.summaries[static_cast<size_t>(column)].first_non_finite_row;
  if (row < 0) return absl::OkStatus();
  return NotFinite(content, column, row, "finite; remove the row or leave the column out");
}

absl::Status CheckNotInfinite(const DatasetContent& content, int column) {
  const ColumnSummary& summary = content.summaries[static_cast<size_t>(column)];
  if (summary.num_infinite == 0) return absl::OkStatus();
  int64_t row = summary.first_non_finite_row;
  while (!std::isinf(CellAt(content.cells, row, column))) ++row;
  return NotFinite(content, column, row,
                   "finite, or NaN where it is missing; mend the cell or remove the row");
}

}  // namespace emserve::server
