// Gamma emission: independent columns of positive amounts.
#ifndef EMSERVE_CORE_EMISSION_GAMMA_H_
#define EMSERVE_CORE_EMISSION_GAMMA_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"

namespace emserve {

struct GammaOptions {
  // Smallest squared coefficient of variation, 1 / shape, allowed in a component, as a fraction of
  // the column's own log(1 + variance / mean^2); dimensionless, in [0, 1). A component of equal
  // cells would otherwise have an infinite density. 1e-9, as for the Gaussian. The ceiling that it
  // puts on the shape is an exact constrained maximum; reported with kVarianceFloored when it acts.
  double ridge = 1e-9;
  // Prior of every cell (k, d): as many virtual observations, in the unit of weights, of a gamma
  // distribution with this mean and shape. Finite; observations >= 0, of which 0, the default, is
  // no prior; mean and shape positive.
  struct Prior {
    double observations = 0;
    double mean = 1;  // in units of the column
    double shape = 1;
  };
  Prior prior;
};

// Parameters: shapes [K, D] and rates [K, D], in the inverse unit of the column, so that the mean
// is shape / rate and the variance shape / rate^2. Statistics, with m = shape / rate of the
// parameters they were computed under: "first", of x / m - 1, and "excess", of x / m - 1 - log(x /
// m), which is never negative, so no digits are lost however large the shape. Closed-form M-step
// but for a Newton iteration per cell.
//
// InvalidArgument "ridge: got ..." or "prior.<field>: got ...". FailedPrecondition for a column
// with values of 0 or below, or without spread.
absl::StatusOr<std::unique_ptr<Emission>> MakeGamma(const GammaOptions& options, int num_components,
                                                    const Summary& summary,
                                                    const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_GAMMA_H_
