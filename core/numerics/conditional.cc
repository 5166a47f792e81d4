#include "core/numerics/conditional.h"

#include <cmath>
#include <cstdint>

namespace emserve {

bool ConditionalGaussian::Factor(std::span<const double> covariance, int dims,
                                 std::span<const int> observed) {
  const auto n = static_cast<int64_t>(observed.size());
  factor_.assign(n * n, 0.0);
  inverse_.assign(n * n, 0.0);
  log_determinant_ = 0;
  for (int64_t a = 0; a < n; ++a) {
    double* const row = factor_.data() + a * n;
    for (int64_t b = 0; b <= a; ++b) {
      const double* const other = factor_.data() + b * n;
      double sum = covariance[static_cast<int64_t>(observed[a]) * dims + observed[b]];
      for (int64_t j = 0; j < b; ++j) sum -= row[j] * other[j];
      if (b < a) {
        row[b] = sum / other[b];
        continue;
      }
      if (!(sum > 0) || !std::isfinite(sum)) return false;
      row[a] = std::sqrt(sum);
      log_determinant_ += std::log(sum);
    }
  }
  // Row a of L^-1 from those before it.
  for (int64_t a = 0; a < n; ++a) {
    double* const row = inverse_.data() + a * n;
    const double pivot = factor_[a * n + a];
    for (int64_t j = 0; j < a; ++j) {
      const double share = factor_[a * n + j] / pivot;
      const double* const other = inverse_.data() + j * n;
      for (int64_t b = 0; b <= j; ++b) row[b] -= share * other[b];
    }
    row[a] = 1 / pivot;
  }
  return true;
}

void ConditionalGaussian::Regress(std::span<const double> covariance, int dims,
                                  std::span<const int> observed, std::span<const int> missing) {
  const auto o = static_cast<int64_t>(observed.size());
  const auto m = static_cast<int64_t>(missing.size());
  half_.assign(m * o, 0.0);  // S_mo L^-T
  regression_.assign(m * o, 0.0);
  covariance_.assign(m * m, 0.0);
  for (int64_t a = 0; a < m; ++a) {
    const double* const row = covariance.data() + static_cast<int64_t>(missing[a]) * dims;
    double* const half = half_.data() + a * o;
    for (int64_t b = 0; b < o; ++b) {
      const double* const inverse = inverse_.data() + b * o;
      for (int64_t j = 0; j <= b; ++j) half[b] += row[observed[j]] * inverse[j];
    }
    double* const regression = regression_.data() + a * o;
    for (int64_t b = 0; b < o; ++b) {
      const double* const inverse = inverse_.data() + b * o;
      for (int64_t j = 0; j <= b; ++j) regression[j] += half[b] * inverse[j];
    }
    for (int64_t b = 0; b <= a; ++b) {
      double sum = row[missing[b]];
      const double* const other = half_.data() + b * o;
      for (int64_t j = 0; j < o; ++j) sum -= half[j] * other[j];
      covariance_[a * m + b] = covariance_[b * m + a] = sum;
    }
  }
}

}  // namespace emserve
