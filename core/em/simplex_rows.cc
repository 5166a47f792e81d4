#include "core/em/simplex_rows.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/simplex.h"

namespace emserve {
SimplexRows::SimplexRows(std::string name, int num_rows, int64_t size, double concentration)
    : name_(std::move(name)),
      num_rows_(num_rows),
      size_(size),
      concentration_(concentration),
      none_(size) {}

std::string SimplexRows::Element(int64_t i) const {
  return absl::StrCat(name_, "[", i / size_, ", ", i % size_, "]");
}

std::string SimplexRows::Row(int row) const { return absl::StrCat(name_, "[", row, "]"); }

absl::Status SimplexRows::Constrain(const Constraints& constraints) {
  if (constraints.empty()) return absl::OkStatus();
  std::vector<int> source(num_rows_);
  std::vector<Constraints> of_rows;
  for (int row = 0; row < num_rows_; ++row) {
    const int64_t begin = row * size_;
    source[row] = row;
    for (int64_t i = begin; i < begin + size_; ++i) {
      if (constraints.Leader(i) < begin) {
        source[row] = static_cast<int>(constraints.Leader(i) / size_);
        break;
      }
    }
    // The same groups and values as the source's, element by element.
    const int64_t back = begin - source[row] * size_;
    for (int64_t i = begin; i < begin + size_ && back > 0; ++i) {
      const bool same =
          constraints.IsFixed(i)
              ? constraints.IsFixed(i - back) && constraints.value(i) == constraints.value(i - back)
              : constraints.Leader(i) == constraints.Leader(i - back);
      if (!same) {
        return absl::InvalidArgumentError(absl::StrCat(
            "constraints: got ties of ", Row(row), " with ", Row(source[row]),
            " that leave out or mix up ", Element(i),
            ", must tie elements within a row, or two rows as wholes, each element with the one "
            "at the same place"));
      }
    }
    of_rows.push_back(constraints.Slice(source[row] * size_, size_));
    if (absl::Status status = ValidateSimplexConstraints(Row(row), of_rows.back()); !status.ok()) {
      return status;
    }
  }
  source_ = std::move(source);
  of_rows_ = std::move(of_rows);
  return absl::OkStatus();
}

absl::Status SimplexRows::Validate(std::span<const double> probabilities) const {
  for (int row = 0; row < num_rows_; ++row) {
    double sum = 0;
    for (int64_t i = row * size_; i < (row + 1) * size_; ++i) {
      const double p = probabilities[i];
      if (!(p >= 0 && p <= 1 + kSimplexTolerance)) {
        return absl::InvalidArgumentError(
            absl::StrCat(Element(i), ": got ", p, ", must be in [0, 1]"));
      }
      if (concentration_ > 1 && p == 0 && !OfRow(row).IsFixed(i - row * size_)) {
        return absl::InvalidArgumentError(
            absl::StrCat(Element(i), ": got 0, must be positive with a concentration of ",
                         concentration_, "; set a concentration of 1, or a small probability"));
      }
      sum += p;
    }
    if (!(std::abs(sum - 1) <= kSimplexTolerance)) {
      return absl::InvalidArgumentError(
          absl::StrCat(Row(row), ": got a sum of ", sum, ", must be 1 within ", kSimplexTolerance));
    }
  }
  return absl::OkStatus();
}

void SimplexRows::SetUniform(std::span<double> probabilities) const {
  const std::vector<double> even(size_, 1.0 / static_cast<double>(size_));
  for (int row = 0; row < num_rows_; ++row) {
    MaximizeSimplex(even, OfRow(row), even, probabilities.subspan(row * size_, size_));
  }
}

void SimplexRows::Maximize(std::span<const double> counts, std::span<const char> keep,
                           std::span<const double> now, std::span<double> next) const {
  std::vector<double> pooled(size_);
  for (int row = 0; row < num_rows_; ++row) {
    const std::span<double> mine = next.subspan(row * size_, size_);
    if (Source(row) != row) {
      std::copy_n(next.begin() + Source(row) * size_, size_, mine.begin());
      continue;
    }
    std::fill(pooled.begin(), pooled.end(), 0.0);
    bool moves = false;
    for (int other = row; other < num_rows_; ++other) {
      if (Source(other) != row) continue;
      moves = moves || !keep[other];
      for (int64_t l = 0; l < size_; ++l) {
        pooled[l] += counts[other * size_ + l] + (concentration_ - 1);
      }
      if (source_.empty()) break;
    }
    const std::span<const double> mine_now = now.subspan(row * size_, size_);
    if (!moves) std::fill(pooled.begin(), pooled.end(), 0.0);
    MaximizeSimplex(pooled, OfRow(row), mine_now, mine);
  }
}

double SimplexRows::LogPrior(std::span<const double> probabilities) const {
  if (concentration_ == 1) return 0;
  double sum = 0;
  for (int row = 0; row < num_rows_; ++row) {
    const Constraints& constraints = OfRow(row);
    for (int64_t l = 0; l < size_; ++l) {
      if (!constraints.IsFixed(l)) sum += std::log(probabilities[row * size_ + l]);
    }
  }
  return (concentration_ - 1) * sum;
}

void SimplexRows::ToCoordinates(std::span<const double> probabilities,
                                std::span<double> coordinates) const {
  SimplexToCoordinates(probabilities, coordinates);
}

void SimplexRows::FromCoordinates(std::span<const double> coordinates,
                                  std::span<double> probabilities) const {
  for (int row = 0; row < num_rows_; ++row) {
    SimplexFromCoordinates(coordinates.subspan(row * size_, size_), OfRow(row),
                           probabilities.subspan(row * size_, size_));
  }
}

}  // namespace emserve
