// Information criteria of a fitted model.
#ifndef EMSERVE_CORE_SELECT_CRITERIA_H_
#define EMSERVE_CORE_SELECT_CRITERIA_H_

#include <cstdint>
#include <span>
#include <stop_token>

#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "core/em/model.h"
#include "core/runtime/pool.h"

namespace emserve {

// All on the scale -2 log L, smaller is better (mclust's BIC and ICL are these with the sign
// changed).
struct Criteria {
  int64_t degrees_of_freedom = 0;
  double num_observations = 0;  // sum of the row weights
  double aic = 0;               // -2 L + 2 df (Akaike 1974)
  double bic = 0;               // -2 L + df log n (Schwarz 1978)
  double icl =
      0;  // bic - 2 sum_i w_i log max_k p(z_i = k | x_i) (Biernacki, Celeux & Govaert 2000)
};

// One pass over `table` under `theta` for the classification term. `log_likelihood` in nats, of the
// same theta. Cancelled when `stop` is requested.
absl::StatusOr<Criteria> ComputeCriteria(const Model& model, const Table& table,
                                         std::span<const double> theta, double log_likelihood,
                                         double num_observations, Pool::Share& share,
                                         std::stop_token stop);

}  // namespace emserve

#endif  // EMSERVE_CORE_SELECT_CRITERIA_H_
