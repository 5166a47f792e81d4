#include "core/em/simplex.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

double FixedSum(const Constraints& constraints) {
  double sum = 0;
  for (int64_t i = 0; i < constraints.size(); ++i) {
    if (constraints.IsFixed(i)) sum += constraints.value(i);
  }
  return sum;
}

}  // namespace

absl::Status ValidateSimplex(std::string_view name, std::span<const double> probabilities) {
  const std::string array(name);
  double sum = 0;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    if (!(probabilities[i] >= 0 && probabilities[i] <= 1 + kSimplexTolerance)) {
      return absl::InvalidArgumentError(
          absl::StrCat(array, "[", i, "]: got ", probabilities[i], ", must be in [0, 1]"));
    }
    sum += probabilities[i];
  }
  if (std::abs(sum - 1) <= kSimplexTolerance) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(array, ": got a sum of ", sum, ", must be 1 within ", kSimplexTolerance));
}

absl::Status ValidateSimplexConstraints(std::string_view name, const Constraints& constraints) {
  if (constraints.empty()) return absl::OkStatus();
  const std::string array(name);
  int64_t num_fixed = 0;
  for (int64_t i = 0; i < constraints.size(); ++i) {
    if (!constraints.IsFixed(i)) continue;
    ++num_fixed;
    if (!(constraints.value(i) >= 0 && constraints.value(i) <= 1)) {
      return absl::InvalidArgumentError(absl::StrCat("constraints: got ", array, "[", i,
                                                     "] fixed at ", constraints.value(i),
                                                     ", must be in [0, 1]"));
    }
  }
  const double sum = FixedSum(constraints);
  if (num_fixed == constraints.size() ? std::abs(sum - 1) <= kSimplexTolerance
                                      : sum < 1 + kSimplexTolerance) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("constraints: got fixed elements of ", array, " that sum to ", sum,
                   num_fixed == constraints.size() ? ", must be 1" : ", must be at most 1"));
}

void MaximizeSimplex(std::span<const double> counts, const Constraints& constraints,
                     std::span<const double> now, std::span<double> next) {
  const auto size = static_cast<int64_t>(counts.size());
  // Of every group, at its leader: the sum of the counts, which a tie shares evenly.
  std::vector<double> sums(size);
  std::vector<int64_t> members(size);
  for (int64_t i = 0; i < size; ++i) {
    if (constraints.IsFixed(i)) continue;
    sums[constraints.Leader(i)] += counts[i];
    ++members[constraints.Leader(i)];
  }
  double total = 0;
  for (double& sum : sums) total += sum = std::max(sum, 0.0);
  if (!(total > 0)) {
    std::copy(now.begin(), now.end(), next.begin());
    constraints.Apply(next);
    return;
  }
  const double free = constraints.empty() ? 1 : std::max(0.0, 1 - FixedSum(constraints));
  for (int64_t i = 0; i < size; ++i) {
    const int64_t leader = constraints.Leader(i);
    next[i] = constraints.IsFixed(i)
                  ? constraints.value(i)
                  : free * sums[leader] / total / static_cast<double>(members[leader]);
  }
}

int64_t SimplexParameters(int64_t size, const Constraints& constraints) {
  return std::max<int64_t>(0, (constraints.empty() ? size : constraints.NumFree()) - 1);
}

void SimplexToCoordinates(std::span<const double> probabilities, std::span<double> coordinates) {
  for (size_t i = 0; i < probabilities.size(); ++i) coordinates[i] = std::log(probabilities[i]);
}

void SimplexFromCoordinates(std::span<const double> coordinates, const Constraints& constraints,
                            std::span<double> probabilities) {
  const auto size = static_cast<int64_t>(coordinates.size());
  double largest = -std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < size; ++i) {
    if (!constraints.IsFixed(i)) largest = std::max(largest, coordinates[i]);
  }
  double sum = 0;
  for (int64_t i = 0; i < size; ++i) {
    if (constraints.IsFixed(i)) {
      probabilities[i] = constraints.value(i);
    } else {
      // All at -infinity where the fixed ones leave nothing.
      const bool none = std::isinf(coordinates[i]) && coordinates[i] < 0;
      sum += probabilities[i] = none ? 0 : std::exp(coordinates[i] - largest);
    }
  }
  if (!(sum > 0)) return;
  const double free = constraints.empty() ? 1 : std::max(0.0, 1 - FixedSum(constraints));
  for (int64_t i = 0; i < size; ++i) {
    if (!constraints.IsFixed(i)) probabilities[i] *= free / sum;
  }
}

}  // namespace emserve
