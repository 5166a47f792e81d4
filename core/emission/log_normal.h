// Log-normal emission: independent columns of positive amounts whose logarithms are normal.
#ifndef EMSERVE_CORE_EMISSION_LOG_NORMAL_H_
#define EMSERVE_CORE_EMISSION_LOG_NORMAL_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"

namespace emserve {

struct LogNormalOptions {
  // Smallest variance of the logarithms allowed, as a fraction of the column's own, log(1 +
  // variance / mean^2); dimensionless, in [0, 1). 1e-9, as for the Gaussian. An exact constrained
  // maximum; reported with kVarianceFloored when it acts.
  double ridge = 1e-9;
  // Conjugate prior of every cell (k, d): log_variance is inverse gamma with `shape` and `scale`,
  // and log_mean given it normal about `mean` with variance log_variance / observations. All
  // finite; observations, shape and scale positive. Gelman et al. (2013), section 3.3.
  struct Prior {
    double mean = 0;  // of logarithms
    double observations = 1;
    double shape = 1;
    double scale = 1;  // squared units of logarithms
  };
  std::optional<Prior> prior;
};

// Parameters: log_means [K, D] and log_variances [K, D] of the logarithms of cells. Statistics:
// "first" and "second" moments of the logarithms, centred on log_means of the parameters they were
// computed under. Closed-form M-step.
//
// InvalidArgument "ridge: got ..." or "prior.<field>: got ...". FailedPrecondition for a column
// with values of 0 or below, or without spread.
absl::StatusOr<std::unique_ptr<Emission>> MakeLogNormal(const LogNormalOptions& options,
                                                        int num_components, const Summary& summary,
                                                        const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_LOG_NORMAL_H_
