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
  std::vector<double> mean;       // [columns]
  std::vector<double> variance;   // [columns], divided by total_weight
  std::vector<double> minimum;    // [columns], over rows with weight > 0
  std::vector<double> maximum;    // [columns]

  // Of the rows with weight > 0, so that what is measured by it does not depend on the unit of
  // weights; exactly 1 without weights.
  double mean_weight() const { return total_weight / static_cast<double>(num_weighted_rows); }
};

// One pass over `table`, lanes merged in order (Chan, Golub & LeVeque 1979), so bits do not depend
// on threads and digits survive offsets of 1e8. InvalidArgument: a cell that is NaN or infinite, or
// a weight that is negative or not finite, named by row and column; all weights zero; no rows.
// Cancelled when `stop` is requested. O(rows x columns).
absl::StatusOr<Summary> Summarize(const Table& table, Pool::Share& share, std::stop_token stop);

}  // namespace emserve

#endif  // EMSERVE_CORE_DATA_SUMMARY_H_
