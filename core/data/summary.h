// First look at a table: weighted moments of each column and the checks that every fit relies on.
#ifndef EMSERVE_CORE_DATA_SUMMARY_H_
#define EMSERVE_CORE_DATA_SUMMARY_H_

#include <cstdint>
#include <stop_token>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "core/runtime/pool.h"

namespace emserve {

struct Summary {
  int64_t num_rows = 0;
  int64_t num_weighted_rows = 0;  // rows with weight > 0
  double total_weight = 0;        // sum of weights: the number of observations
  // Of the observed cells in rows with weight > 0; a column without any has mean and variance 0,
  // minimum infinity and maximum -infinity.
  std::vector<double> mean;      // [columns]
  std::vector<double> variance;  // [columns], divided by the observed weight
  std::vector<double> minimum;   // [columns]
  std::vector<double> maximum;   // [columns]
  // [columns] observed cells' share of total_weight, in [0, 1]; empty if no cell is missing.
  std::vector<double> observed;

  bool complete() const { return observed.empty(); }

  // Of the rows with weight > 0, so that what is measured by it does not depend on the unit of
  // weights; exactly 1 without weights.
  double mean_weight() const { return total_weight / static_cast<double>(num_weighted_rows); }
};

// One pass over `table`, lanes merged in order (Chan, Golub & LeVeque 1979), so bits do not depend
// on threads and digits survive offsets of 1e8. Rows count as Table::Read weighs them: those
// without a cell or label have weight 0. InvalidArgument: a cell that is infinite, a weight that is
// negative or not finite, a label that names no component, a row without a plausible component,
// each named by its row; all weights zero; no rows. Cancelled when `stop` is requested. O(rows x
// columns).
absl::StatusOr<Summary> Summarize(const Table& table, Pool::Share& share, std::stop_token stop);

}  // namespace emserve

#endif  // EMSERVE_CORE_DATA_SUMMARY_H_
