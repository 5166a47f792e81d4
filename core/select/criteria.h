// Information criteria of a fitted model, and how well it tells its components apart.
#ifndef EMSERVE_CORE_SELECT_CRITERIA_H_
#define EMSERVE_CORE_SELECT_CRITERIA_H_

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "core/em/model.h"
#include "core/runtime/pool.h"

namespace emserve {

// Criteria on the scale -2 log L, smaller is better (mclust's BIC and ICL are these with the sign
// changed). p_ik = p(z_i = k | x_i), row weights w_i, n observations. A model without a likelihood
// has the first three only.
struct Criteria {
  int64_t degrees_of_freedom = 0;
  double num_observations = 0;  // sum of the row weights
  double num_sequences = 0;   // sum of the sequences' weights; 0 where rows do not depend on others
  std::optional<double> aic;  // -2 L + 2 df (Akaike 1974)
  std::optional<double> bic;  // -2 L + df log n (Schwarz 1978)
  // bic - 2 sum_i w_i log max_k p_ik (Biernacki, Celeux & Govaert 2000)
  std::optional<double> icl;
  // -sum_i w_i sum_k p_ik log p_ik, nats (Celeux & Soromenho 1996): 0 when every row is certain of
  // its component.
  std::optional<double> entropy;
  // 1 - entropy / (n log K), in [0, 1]: 1 when every row is certain of its component, and for K =
  // 1.
  std::optional<double> relative_entropy;
  // [K] mean of p_ik over the rows whose most probable component is k, by weight (Nagin 2005,
  // "average posterior probability of assignment"); 0 for a component that has none.
  std::vector<double> separation;
};

// One pass over `table` under `theta` for what depends on posteriors. `log_likelihood` in nats, of
// the same theta. Cancelled when `stop` is requested.
absl::StatusOr<Criteria> ComputeCriteria(const Model& model, const Table& table,
                                         std::span<const double> theta, double log_likelihood,
                                         double num_observations, Pool::Share& share,
                                         std::stop_token stop);

}  // namespace emserve

#endif  // EMSERVE_CORE_SELECT_CRITERIA_H_
