#include "server/datasets/summarizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

constexpr int64_t kBlockCells = 32768;  // a block stays in the second-level cache
constexpr int64_t kMaxBlockRows = 4096;
constexpr double kLargestCount = 9007199254740992.0;  // 2^53: beyond it doubles skip integers
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Arrays of the block at hand, one number per column each, so that loops over a row vectorise.
enum Array { kShift, kSum, kNumFinite, kMinimum, kMaximum, kMean, kScatter, kNumArrays };

template <typename T>
double Load(const std::byte* cell) {
  T value;
  std::memcpy(&value, cell, sizeof(T));
  return static_cast<double>(value);
}

// False for NaN and the infinities.
bool IsFinite(double x) { return x - x == 0; }

bool Fits(const ColumnSchema& column, double value) {
  if (std::isnan(value)) return true;  // missing
  const double end = column.kind == ColumnKind::kCategorical
                         ? static_cast<double>(column.levels.size())
                         : kLargestCount;
  return value >= 0 && value < end && value == std::floor(value);
}

}  // namespace

Summarizer::Summarizer(std::shared_ptr<const DatasetSchema> schema, const std::byte* bytes)
    : schema_(std::move(schema)),
      bytes_(bytes),
      row_bytes_(ElementSize(schema_->type) * static_cast<int64_t>(schema_->columns.size())),
      block_rows_(std::clamp<int64_t>(kBlockCells / static_cast<int64_t>(schema_->columns.size()),
                                      1, kMaxBlockRows)),
      columns_(schema_->columns.size()),
      scratch_(kNumArrays * columns_.size()) {}

void Summarizer::Advance(int64_t readable) {
  const int64_t rows = readable / row_bytes_;
  while (next_row_ < rows) {
    const int64_t num_rows = std::min(block_rows_, schema_->num_rows - next_row_);
    if (next_row_ + num_rows > rows) return;
    switch (schema_->type) {
      case ElementType::kFloat64:
        ReadBlock<double>(next_row_, num_rows);
        break;
      case ElementType::kFloat32:
        ReadBlock<float>(next_row_, num_rows);
        break;
      case ElementType::kInt64:
        ReadBlock<int64_t>(next_row_, num_rows);
        break;
    }
    next_row_ += num_rows;
  }
}

template <typename T>
void Summarizer::ReadBlock(int64_t first_row, int64_t num_rows) {
  const size_t num_columns = columns_.size();
  const std::byte* const begin = bytes_ + first_row * row_bytes_;
  const auto cell = [&](int64_t row, size_t c) {
    return Load<T>(begin + row * row_bytes_ + static_cast<int64_t>(c * sizeof(T)));
  };
  double* const shift = scratch_.data() + kShift * num_columns;
  double* const sum = scratch_.data() + kSum * num_columns;
  double* const num_finite = scratch_.data() + kNumFinite * num_columns;
  double* const minimum = scratch_.data() + kMinimum * num_columns;
  double* const maximum = scratch_.data() + kMaximum * num_columns;
  double* const mean = scratch_.data() + kMean * num_columns;
  double* const scatter = scratch_.data() + kScatter * num_columns;

  // Sums are shifted by a cell of the column: digits survive offsets, and a constant column has
  // exactly its value as mean and zero as variance.
  for (size_t c = 0; c < num_columns; ++c) {
    int64_t row = 0;
    while (row < num_rows && !IsFinite(cell(row, c))) ++row;
    shift[c] = row < num_rows ? cell(row, c) : 0;
    sum[c] = num_finite[c] = scatter[c] = 0;
    minimum[c] = kInfinity;
    maximum[c] = -kInfinity;
  }
  for (int64_t row = 0; row < num_rows; ++row) {
    for (size_t c = 0; c < num_columns; ++c) {
      const double x = cell(row, c);
      const bool finite = IsFinite(x);
      sum[c] += finite ? x - shift[c] : 0;
      num_finite[c] += finite ? 1 : 0;
      minimum[c] = std::min(minimum[c], finite ? x : kInfinity);
      maximum[c] = std::max(maximum[c], finite ? x : -kInfinity);
    }
  }
  for (size_t c = 0; c < num_columns; ++c) {
    mean[c] = num_finite[c] > 0
                  ? std::clamp(shift[c] + sum[c] / num_finite[c], minimum[c], maximum[c])
                  : 0;
  }
  for (int64_t row = 0; row < num_rows; ++row) {
    for (size_t c = 0; c < num_columns; ++c) {
      const double x = cell(row, c);
      const double deviation = IsFinite(x) ? x - mean[c] : 0;
      scatter[c] += deviation * deviation;
    }
  }

  for (size_t c = 0; c < num_columns; ++c) {
    Column& column = columns_[c];
    const auto added = static_cast<int64_t>(num_finite[c]);
    if (added < num_rows) {
      for (int64_t row = 0; row < num_rows; ++row) {
        const double x = cell(row, c);
        if (IsFinite(x)) continue;
        ++(std::isnan(x) ? column.summary.num_missing : column.summary.num_infinite);
        if (column.summary.first_non_finite_row < 0) {
          column.summary.first_non_finite_row = first_row + row;
        }
      }
    }
    if (schema_->columns[c].kind != ColumnKind::kReal && column.bad_row < 0) {
      for (int64_t row = 0; row < num_rows && column.bad_row < 0; ++row) {
        if (Fits(schema_->columns[c], cell(row, c))) continue;
        column.bad_row = first_row + row;
        column.bad_value = cell(row, c);
      }
    }
    if (added == 0) continue;
    ColumnSummary& all = column.summary;
    if (column.num_finite == 0) {
      all.minimum = minimum[c];
      all.maximum = maximum[c];
      all.mean = mean[c];
      column.scatter = scatter[c];
    } else {
      const double total = static_cast<double>(column.num_finite + added);
      const double share = static_cast<double>(added) / total;
      const double delta = mean[c] - all.mean;
      all.minimum = std::min(all.minimum, minimum[c]);
      all.maximum = std::max(all.maximum, maximum[c]);
      // Halves, where the difference of two huge means has overflowed.
      all.mean =
          IsFinite(delta) ? all.mean + delta * share : all.mean * (1 - share) + mean[c] * share;
      all.mean = std::clamp(all.mean, all.minimum, all.maximum);
      column.scatter += scatter[c] + delta * delta * static_cast<double>(column.num_finite) * share;
    }
    column.num_finite += added;
  }
}

absl::Status Summarizer::CheckKinds() const {
  for (size_t c = 0; c < columns_.size(); ++c) {
    if (columns_[c].bad_row < 0) continue;
    const ColumnSchema& column = schema_->columns[c];
    return InvalidArgument(
        absl::StrCat("columns[", column.name, "]"),
        absl::StrCat("got ", columns_[c].bad_value, " in row ", columns_[c].bad_row, ", must be ",
                     column.kind == ColumnKind::kCategorical
                         ? absl::StrCat("the index of a level, 0 to ", column.levels.size() - 1)
                         : std::string("a count, an integer that is 0 or more"),
                     "; declare the column as real or correct the cell"));
  }
  return absl::OkStatus();
}

std::vector<ColumnSummary> Summarizer::Finish() const {
  std::vector<ColumnSummary> summaries;
  for (const Column& column : columns_) {
    summaries.push_back(column.summary);
    if (column.num_finite > 0) {
      summaries.back().variance = column.scatter / static_cast<double>(column.num_finite);
    }
  }
  return summaries;
}

}  // namespace emserve::server
