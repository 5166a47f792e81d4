// Exponential emission: independent columns of waiting times.
#ifndef EMSERVE_CORE_EMISSION_EXPONENTIAL_H_
#define EMSERVE_CORE_EMISSION_EXPONENTIAL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"
#include "core/distribution/univariate.h"

namespace emserve {

struct ExponentialOptions {
  // Smallest variance allowed, as a fraction of that of an exponential column with the same mean;
  // dimensionless, in [0, 1). A component of which all cells are 0 would otherwise have an infinite
  // density. 1e-9, as for the Gaussian: means 30,000 times below the column's are still told from a
  // collapse. Reported with kVarianceFloored when it acts.
  double ridge = 1e-9;
  // Of every rate: shape - 1 virtual events in a waiting time of `rate`. The default is flat.
  GammaPrior prior;
};

// Parameters: rates [K, D], in the inverse unit of the column. Cells are 0 or more. Statistics: see
// columns.h, "sums". Closed-form M-step. InvalidArgument "ridge: got ..., must be ...";
// FailedPrecondition for a column with negative values or none but 0.
absl::StatusOr<std::unique_ptr<Emission>> MakeExponential(const ExponentialOptions& options,
                                                          int num_components,
                                                          const Summary& summary,
                                                          const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_EXPONENTIAL_H_
