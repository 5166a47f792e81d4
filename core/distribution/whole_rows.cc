#include "core/distribution/whole_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

constexpr char kMustBe[] =
    "must be complete, or missing together with all of the row; fill in the cell, or remove the "
    "row's other cells";

int FirstMissing(const Block& block, int row) {
  for (int c = 0; c < block.num_columns; ++c) {
    if (std::isnan(block.column(c)[row])) return c;
  }
  return -1;
}

}  // namespace

// Columns that miss the same rows have equal shares, to the last bit: they are sums of the same
// weights.
absl::Status CheckWholeRows(const Summary& summary, const std::vector<std::string>& names) {
  if (summary.complete()) return absl::OkStatus();
  const auto [least, most] = std::minmax_element(summary.observed.begin(), summary.observed.end());
  if (*least == *most) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "columns[", names[least - summary.observed.begin()], "]: got missing cells, ", kMustBe));
}

absl::Status CheckWholeRow(const Block& block, int row, const std::vector<std::string>& names) {
  const int missing = FirstMissing(block, row);
  if (missing < 0) return absl::OkStatus();
  for (int c = 0; c < block.num_columns; ++c) {
    if (std::isnan(block.column(c)[row])) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "[", block.first_row + row, "]: got nan in column '", names[missing], "', ", kMustBe));
  }
  return absl::OkStatus();
}

bool IsAbsent(const Block& block, int row) {
  return !block.complete && FirstMissing(block, row) >= 0;
}

Block WholeRows::Fill(const Block& block) {
  if (block.complete) return block;
  if (values_ == nullptr) {
    values_ =
        std::make_unique<Scratch>(static_cast<int64_t>(block.num_columns) * PaddedRows(max_rows_));
  }
  std::copy_n(block.values, static_cast<int64_t>(block.num_columns) * block.stride,
              values_->data());
  for (int i = 0; i < block.num_rows; ++i) {
    if (!IsAbsent(block, i)) continue;
    for (int c = 0; c < block.num_columns; ++c) {
      (*values_)[static_cast<int64_t>(c) * block.stride + i] = 0;
    }
  }
  Block filled = block;
  filled.values = values_->data();
  filled.complete = true;
  return filled;
}

}  // namespace emserve
