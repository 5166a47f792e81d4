// Probabilities of smaller and larger values, cell by cell.
#ifndef EMSERVE_CORE_DISTRIBUTION_CUMULATIVE_CELLS_H_
#define EMSERVE_CORE_DISTRIBUTION_CUMULATIVE_CELLS_H_

#include <cmath>
#include <cstdint>

#include "core/data/block.h"
#include "core/numerics/cumulative.h"

namespace emserve {

// Writes column `column` of Emission::Cumulative's arrays [columns x stride] by `of_value`, which
// makes Cumulatives of an observed value. Missing cells and padding get 0.
template <typename OfValue>
void FillCumulatives(const Block& block, int column, const OfValue& of_value, double* below,
                     double* at, double* above) {
  const double* const x = block.column(column);
  const int64_t begin = static_cast<int64_t>(column) * block.stride;
  for (int i = 0; i < block.stride; ++i) {
    const bool observed = i < block.num_rows && !std::isnan(x[i]);
    const Cumulatives of_cell = observed ? of_value(x[i]) : Cumulatives{};
    below[begin + i] = of_cell.below;
    at[begin + i] = of_cell.at;
    above[begin + i] = of_cell.above;
  }
}

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_CUMULATIVE_CELLS_H_
