#include "server/codec/inline_table.h"

#include <algorithm>
#include <limits>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/wire/tensor.h"
#include "server/codec/fields.h"

namespace emserve::server {
namespace {

constexpr size_t kMaxNameBytes = 256;

bool HasControlCharacter(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

absl::StatusOr<std::vector<std::string>> ColumnNames(const v1::InlineTable& table,
                                                     const InlineDefaults& defaults,
                                                     int64_t num_cells, const std::string& path) {
  if (table.num_columns() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".num_columns: got ", table.num_columns(), ", must be 1 or more"));
  }
  std::vector<std::string> names(table.columns().begin(), table.columns().end());
  const size_t given = static_cast<size_t>(table.num_columns());
  if (!names.empty()) {
    if (given != 0 && given != names.size()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ".num_columns: got ", given,
                                                     ", must be ", names.size(),
                                                     ", the number of names in columns"));
    }
    const absl::Status status = CheckColumnNames(names, absl::StrCat(path, ".columns"));
    if (!status.ok()) return status;
    return names;
  }
  if (!defaults.columns.empty()) {
    if (given != 0 && given != defaults.columns.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ".num_columns: got ", given, ", must be ", defaults.columns.size(),
                       ", the columns of the model; name the columns to send others too"));
    }
    return defaults.columns;
  }
  if (given == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".num_columns: got 0, must be 1 or more, or columns must be named"));
  }
  // Before any name is made: a huge number of columns is refused, not allocated.
  if (table.num_columns() > num_cells) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".num_columns: got ", given,
                                                   ", must be at most ", num_cells,
                                                   ", the number of cells"));
  }
  for (size_t c = 0; c < given; ++c) names.push_back(absl::StrCat("c", c));
  return names;
}

}  // namespace

absl::StatusOr<ElementType> DecodeElementType(v1::ElementType type, const std::string& path) {
  switch (type) {
    case v1::ELEMENT_TYPE_UNSPECIFIED:
    case v1::ELEMENT_TYPE_FLOAT64:
      return ElementType::kFloat64;
    case v1::ELEMENT_TYPE_FLOAT32:
      return ElementType::kFloat32;
    case v1::ELEMENT_TYPE_INT64:
      return ElementType::kInt64;
    default:
      return UnknownEnum(path, *v1::ElementType_descriptor(), type);
  }
}

v1::ElementType EncodeElementType(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return v1::ELEMENT_TYPE_FLOAT32;
    case ElementType::kInt64:
      return v1::ELEMENT_TYPE_INT64;
    case ElementType::kFloat64:
      break;
  }
  return v1::ELEMENT_TYPE_FLOAT64;
}

absl::Status CheckColumnNames(const std::vector<std::string>& names, const std::string& path) {
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty() || names[i].size() > kMaxNameBytes || HasControlCharacter(names[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, "[", i, "]: got a name of ", names[i].size(), " bytes, must be 1 to ",
                       kMaxNameBytes, " bytes of UTF-8 without control characters"));
    }
    if (!seen.insert(names[i]).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, "[", i, "]: got '", names[i], "' again, must be unique"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<InlineTableData> DecodeInlineTable(const v1::InlineTable& table,
                                                  std::shared_ptr<const void> owner,
                                                  const InlineDefaults& defaults,
                                                  const std::string& path) {
  const bool packed = !table.data().empty();
  if (packed == (table.values_size() > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": got ", packed ? "both data and values" : "no cells",
                     ", must be one of data and values, with at least one row"));
  }
  InlineTableData result;
  absl::StatusOr<ElementType> type =
      DecodeElementType(table.element_type(), absl::StrCat(path, ".element_type"));
  if (!type.ok()) return type.status();
  result.cells.type = packed ? *type : ElementType::kFloat64;
  const int64_t element = ElementSize(result.cells.type);
  const int64_t bytes =
      packed ? static_cast<int64_t>(table.data().size()) : int64_t{table.values_size()} * element;
  if (bytes > defaults.max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": got ", bytes, " bytes of cells, must be at most ", defaults.max_bytes,
                     "; upload the table with DatasetService"));
  }
  if (bytes % element != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".data: got ", bytes, " bytes, must be a multiple of ", element));
  }
  const int64_t num_cells = bytes / element;
  absl::StatusOr<std::vector<std::string>> names = ColumnNames(table, defaults, num_cells, path);
  if (!names.ok()) return names.status();
  result.columns = *std::move(names);
  const auto num_columns = static_cast<int64_t>(result.columns.size());
  if (num_columns > std::numeric_limits<int>::max() || num_cells % num_columns != 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, packed ? ".data" : ".values", ": got ",
                                                   num_cells, " cells, must be a multiple of ",
                                                   num_columns, ", the number of columns"));
  }
  result.cells.num_rows = num_cells / num_columns;
  result.cells.num_columns = static_cast<int>(num_columns);
  const char* begin =
      packed ? table.data().data() : reinterpret_cast<const char*>(table.values().data());
  if (owner == nullptr) {
    auto copy = std::make_shared<const std::string>(begin, static_cast<size_t>(bytes));
    begin = copy->data();
    owner = std::move(copy);
  }
  result.cells.bytes = reinterpret_cast<const std::byte*>(begin);
  result.cells.owner = std::move(owner);
  return result;
}

}  // namespace emserve::server
