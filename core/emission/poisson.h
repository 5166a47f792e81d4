// Poisson emission: independent columns of counts.
#ifndef EMSERVE_CORE_EMISSION_POISSON_H_
#define EMSERVE_CORE_EMISSION_POISSON_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"
#include "core/distribution/univariate.h"

namespace emserve {

struct PoissonOptions {
  // Of every rate: shape - 1 virtual events in `rate` virtual rows. The default is flat. A shape
  // above 1 keeps rates away from 0, where EM cannot leave.
  GammaPrior prior;
};

// Parameters: rates [K, D], 0 or more; 0 is a maximum like any other where all counts are 0.
// Statistics: see columns.h, "sums". Closed-form M-step. Columns with counts above 1e6 cost a
// logarithm per cell and component, in return for densities without cancellation. InvalidArgument
// "prior.shape: got ..., must be ..."; FailedPrecondition for a column whose extremes are no
// counts.
absl::StatusOr<std::unique_ptr<Emission>> MakePoisson(const PoissonOptions& options,
                                                      int num_components, const Summary& summary,
                                                      const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_POISSON_H_
