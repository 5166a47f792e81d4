#include "server/datasets/dataset.h"

#include <limits>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

constexpr size_t kMaxNameBytes = 256;
constexpr int64_t kMaxColumns = std::numeric_limits<int>::max();

bool HasControlCharacter(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

absl::Status CheckText(const std::string& path, const std::string& text,
                       std::unordered_set<std::string_view>& seen) {
  if (text.empty() || text.size() > kMaxNameBytes) {
    return InvalidArgument(
        path, absl::StrCat("got ", text.size(), " bytes, must be 1 to ", kMaxNameBytes));
  }
  if (HasControlCharacter(text)) {
    return InvalidArgument(path, "got a control character, must be printable text");
  }
  if (!seen.insert(text).second) {
    return InvalidArgument(path, absl::StrCat("got \"", text, "\" a second time, must be unique"));
  }
  return absl::OkStatus();
}

absl::Status CheckLevels(const std::string& path, const ColumnSchema& column) {
  if (column.kind != ColumnKind::kCategorical) {
    if (column.levels.empty()) return absl::OkStatus();
    return InvalidArgument(path, "got levels, must have none unless the column is categorical");
  }
  if (column.levels.empty()) {
    return InvalidArgument(path, "got none, must name the categories of a categorical column");
  }
  std::unordered_set<std::string_view> seen;
  for (size_t i = 0; i < column.levels.size(); ++i) {
    absl::Status status = CheckText(absl::StrCat(path, "[", i, "]"), column.levels[i], seen);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> CheckSchema(const DatasetSchema& schema) {
  if (schema.columns.empty() || schema.columns.size() > kMaxColumns) {
    return InvalidArgument("columns", absl::StrCat("got ", schema.columns.size(),
                                                   " columns, must be 1 to ", kMaxColumns));
  }
  std::unordered_set<std::string_view> names;
  for (size_t i = 0; i < schema.columns.size(); ++i) {
    const std::string path = absl::StrCat("columns[", i, "]");
    absl::Status status = CheckText(path + ".name", schema.columns[i].name, names);
    if (status.ok()) status = CheckLevels(path + ".levels", schema.columns[i]);
    if (!status.ok()) return status;
  }
  if (schema.num_rows < 1) {
    return InvalidArgument("num_rows",
                           absl::StrCat("got ", schema.num_rows, ", must be at least 1"));
  }
  int64_t size = ElementSize(schema.type) * static_cast<int64_t>(schema.columns.size());
  if (__builtin_mul_overflow(size, schema.num_rows, &size)) {
    return InvalidArgument("num_rows",
                           absl::StrCat("got ", schema.num_rows, " rows of ", schema.columns.size(),
                                        " columns, must be a table that can be addressed"));
  }
  return size;
}

std::string_view DatasetContent::bytes() const {
  const int64_t size = ElementSize(cells.type) * cells.num_columns * cells.num_rows;
  return {reinterpret_cast<const char*>(cells.bytes), static_cast<size_t>(size)};
}

int DatasetContent::FindColumn(std::string_view column) const {
  for (size_t i = 0; i < schema->columns.size(); ++i) {
    if (schema->columns[i].name == column) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace emserve::server
