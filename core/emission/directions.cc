#include "core/emission/directions.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"

namespace emserve {

double Dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t d = 0; d < a.size(); ++d) sum += a[d] * b[d];
  return sum;
}

double Length(std::span<const double> a) { return std::sqrt(Dot(a, a)); }

bool Normalize(std::span<const double> from, std::span<double> to) {
  const double length = Length(from);
  if (!(length > 0) || !std::isfinite(length)) return false;
  for (size_t d = 0; d < from.size(); ++d) to[d] = from[d] / length;
  return true;
}

absl::Status CheckDirectionConstraints(const Constraints& constraints, int num_columns) {
  const auto bad = [](auto... what) {
    return absl::InvalidArgumentError(absl::StrCat("constraints: got ", what...));
  };
  for (int64_t begin = 0; begin < constraints.size(); begin += num_columns) {
    const int64_t k = begin / num_columns;
    int num_fixed = 0;
    double squares = 0;
    for (int64_t j = begin; j < begin + num_columns; ++j) {
      if (constraints.IsTied(j)) {
        return bad("ties of mean_directions[", k, ", ", j - begin, "], must be of concentrations");
      }
      if (!constraints.IsFixed(j)) continue;
      ++num_fixed;
      squares += constraints.value(j) * constraints.value(j);
    }
    if (num_fixed == 0) continue;
    if (num_fixed < num_columns) {
      return bad(num_fixed, " elements of mean_directions[", k, "] fixed, must be all ",
                 num_columns, " or none");
    }
    if (const double length = std::sqrt(squares); !(std::abs(length - 1) <= kLengthTolerance)) {
      return bad("mean_directions[", k, "] fixed at a length of ", length, ", must be 1");
    }
  }
  return absl::OkStatus();
}

absl::Status ResolvePriorMean(size_t num_columns, std::vector<double>& mean) {
  if (mean.empty()) mean.resize(num_columns);
  if (mean.size() != num_columns) {
    return absl::InvalidArgumentError(absl::StrCat("prior_mean: got ", mean.size(),
                                                   " numbers, must be ", num_columns,
                                                   ", one per column, or none"));
  }
  const double length = Length(mean);
  if (!(length <= 1 + kLengthTolerance)) {
    return absl::InvalidArgumentError(
        absl::StrCat("prior_mean: got a length of ", length, ", must be at most 1"));
  }
  for (double& value : mean) value /= std::max(length, 1.0);
  return absl::OkStatus();
}

// With f = S - n m about the present direction m, n - |S| = -(2 n m . f + |f|^2) / (n + |S|).
Resultant MoveDirection(std::span<const double> now, const CentredRows& rows,
                        const VirtualRows& prior, bool stays, std::span<double> next) {
  const size_t num_columns = now.size();
  std::vector<double> m(now.begin(), now.end());
  Normalize(now, m);
  std::vector<double> f(num_columns);
  std::vector<double> sum(num_columns);
  const double n = rows.weight + prior.weight;
  for (size_t d = 0; d < num_columns; ++d) {
    f[d] = (rows.weight > 0 ? rows.first[d] : 0) +
           (prior.weight > 0 ? prior.weight * (prior.mean[d] - m[d]) : 0);
    sum[d] = n * m[d] + f[d];
  }
  const double along = Dot(m, f);
  if (stays || !Normalize(sum, next)) {
    std::copy(now.begin(), now.end(), next.begin());
    return {.weight = n, .cosines = n + along, .deficit = -along};
  }
  const double length = Length(sum);
  return {.weight = n, .cosines = length, .deficit = -(2 * n * along + Dot(f, f)) / (n + length)};
}

}  // namespace emserve
