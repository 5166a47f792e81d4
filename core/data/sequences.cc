#include "core/data/sequences.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/data/table.h"

namespace emserve {
namespace {

// First rows of the runs of rows with the same number(row). As Sequences::FromColumn.
template <typename Number>
absl::StatusOr<std::vector<int64_t>> FindRuns(int64_t num_rows, Number number) {
  std::vector<int64_t> starts;
  bool ascending = true;
  decltype(number(0)) last = 0;
  for (int64_t row = 0; row < num_rows; ++row) {
    const auto value = number(row);
    if (value != value) {
      return absl::InvalidArgumentError(absl::StrCat("sequence_column: got a missing cell in row ",
                                                     row, ", must be the sequence's number"));
    }
    if (row > 0 && value == last) continue;
    ascending = ascending && (row == 0 || value > last);
    starts.push_back(row);
    last = value;
  }
  if (ascending) return starts;
  // Each run must have a number of its own.
  std::vector<int64_t> by_number = starts;
  std::sort(by_number.begin(), by_number.end(), [&](int64_t one, int64_t other) {
    return std::pair(number(one), one) < std::pair(number(other), other);
  });
  int64_t first = num_rows;
  for (size_t i = 1; i < by_number.size(); ++i) {
    if (number(by_number[i]) == number(by_number[i - 1])) first = std::min(first, by_number[i]);
  }
  if (first == num_rows) return starts;
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
  absl::StatusOr<std::vector<int64_t>> starts =
      cells.type == ElementType::kInt64
          ? FindRuns(cells.num_rows, [&](int64_t row) { return LoadInteger(cells, row, column); })
          : FindRuns(cells.num_rows, [&](int64_t row) { return LoadCell(cells, row, column); });
  if (!starts.ok()) return starts.status();
  Sequences sequences;
  sequences.num_rows_ = cells.num_rows;
  sequences.starts_ = *std::move(starts);
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

double Sequences::total_weight() const {
  if (weights_.empty()) return static_cast<double>(size());
  return std::accumulate(weights_.begin(), weights_.end(), 0.0);
}

int64_t Sequences::Of(int64_t row) const {
  return std::upper_bound(starts_.begin(), starts_.end(), row) - starts_.begin() - 1;
}

}  // namespace emserve
