// Mean and variance of missing cells, averaged over components.
#ifndef EMSERVE_CORE_DISTRIBUTION_CONDITIONAL_CELLS_H_
#define EMSERVE_CORE_DISTRIBUTION_CONDITIONAL_CELLS_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/data/block.h"

namespace emserve {

// The law of total variance, component by component: each one is merged into the mean and variance
// of those before it (Chan, Golub & LeVeque 1979), so that no digits are lost far from 0.
class ConditionalCells {
 public:
  // `mean` and `variance` [columns x stride] of `block` are the result; observed cells get
  // themselves and 0.
  ConditionalCells(const Block& block, double* mean, double* variance)
      : block_(block), mean_(mean), variance_(variance), total_(block.stride) {
    const int64_t size = static_cast<int64_t>(block.num_columns) * block.stride;
    for (int64_t j = 0; j < size; ++j) {
      mean_[j] = std::isnan(block.values[j]) ? 0 : block.values[j];
      variance_[j] = 0;
    }
  }

  // A component with its posterior [stride] and, for missing cells, its mean and variance [columns
  // x stride].
  void Add(const double* posterior, const double* of_mean, const double* of_variance) {
    for (int c = 0; c < block_.num_columns; ++c) {
      for (int i = 0; i < block_.num_rows; ++i) {
        const int64_t j = static_cast<int64_t>(c) * block_.stride + i;
        if (!std::isnan(block_.values[j]) || !(posterior[i] > 0)) continue;
        const double share = posterior[i] / (total_[i] + posterior[i]);
        const double apart = of_mean[j] - mean_[j];
        mean_[j] = total_[i] == 0 ? of_mean[j] : mean_[j] + share * apart;
        if (std::isinf(variance_[j])) continue;  // as it is, whatever the rest
        variance_[j] = (1 - share) * variance_[j] + share * of_variance[j] +
                       (total_[i] == 0 ? 0 : share * (1 - share) * apart * apart);
      }
    }
    for (int i = 0; i < block_.num_rows; ++i) total_[i] += posterior[i];
  }

 private:
  const Block& block_;
  double* const mean_;
  double* const variance_;
  std::vector<double> total_;  // posterior of the components before
};

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_CONDITIONAL_CELLS_H_
