#include "core/data/sequences.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/data/table.h"

namespace emserve {
namespace {

// Whether each run of rows has a number of its own: numbers that ascend do.
absl::Status CheckNumbersDiffer(const Cells& cells, int column, std::vector<int64_t> starts) {
  const auto number = [&](int64_t row) { return LoadCell(cells, row, column); };
  std::sort(starts.begin(), starts.end(), [&](int64_t one, int64_t other) {
    return std::pair(number(one), one) < std::pair(number(other), other);
  });
  int64_t first = cells.num_rows;
  for (size_t i = 1; i < starts.size(); ++i) {
    if (number(starts[i]) == number(starts[i - 1])) first = std::min(first, starts[i]);
  }
  if (first == cells.num_rows) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("sequence_column: got ", number(first), " again in row ", first,
                   " after other sequences, must be in consecutive rows; sort the rows"));
}

}  // namespace

Sequences::Sequences(int64_t num_rows) : starts_{0}, num_rows_(num_rows) {}

absl::StatusOr<Sequences> Sequences::FromLengths(std::span<const int64_t> lengths,
                                                 int64_t num_rows) {
  Sequences sequences;
  sequences.num_rows_ = num_rows;
  sequences.starts_.reserve(lengths.size());
  int64_t next = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (next == num_rows) {
      return absl::InvalidArgumentError(
          absl::StrCat("lengths[", i, "]: got ", lengths[i],
                       ", must be left out: the sequences before it have all rows"));
    }
    if (!(lengths[i] >= 1 && lengths[i] <= num_rows - next)) {
      return absl::InvalidArgumentError(
          absl::StrCat("lengths[", i, "]: got ", lengths[i], ", must be 1 to ", num_rows - next,
                       ", the rows that the sequences before it leave"));
    }
    sequences.starts_.push_back(next);
    next += lengths[i];
  }
  if (next != num_rows) {
    return absl::InvalidArgumentError(absl::StrCat("lengths: got a sum of ", next, ", must be ",
                                                   num_rows, ", the number of rows"));
  }
  return sequences;
}

absl::StatusOr<Sequences> Sequences::FromColumn(const Cells& cells, int column) {
  Sequences sequences;
  sequences.num_rows_ = cells.num_rows;
  bool ascending = true;
  double last = 0;
  for (int64_t row = 0; row < cells.num_rows; ++row) {
    const double value = LoadCell(cells, row, column);
    if (std::isnan(value)) {
      return absl::InvalidArgumentError(absl::StrCat("sequence_column: got a missing cell in row ",
                                                     row, ", must be the sequence's number"));
    }
    if (row > 0 && value == last) continue;
    ascending = ascending && (row == 0 || value > last);
    sequences.starts_.push_back(row);
    last = value;
  }
  if (!ascending) {
    absl::Status status = CheckNumbersDiffer(cells, column, sequences.starts_);
    if (!status.ok()) return status;
  }
  return sequences;
}

absl::StatusOr<Sequences> Sequences::Weighted(std::vector<double> weights) const {
  if (static_cast<int64_t>(weights.size()) != size()) {
    return absl::InvalidArgumentError(absl::StrCat("sequence_weights: got ", weights.size(),
                                                   " values, must be ", size(),
                                                   ", one per sequence"));
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] >= 0) || !std::isfinite(weights[i])) {
      return absl::InvalidArgumentError(absl::StrCat("sequence_weights[", i, "]: got ", weights[i],
                                                     ", must be finite and 0 or more"));
    }
  }
  Sequences weighted = *this;
  weighted.weights_ = std::move(weights);
  return weighted;
}

int64_t Sequences::Of(int64_t row) const {
  return std::upper_bound(starts_.begin(), starts_.end(), row) - starts_.begin() - 1;
}

}  // namespace emserve
