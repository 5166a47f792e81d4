// Multivariate Gaussian emission with the covariance structures of Celeux & Govaert (1995).
#ifndef EMSERVE_CORE_EMISSION_GAUSSIAN_H_
#define EMSERVE_CORE_EMISSION_GAUSSIAN_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/covariance.h"
#include "core/distribution/emission.h"
#include "core/distribution/location.h"

namespace emserve {

struct GaussianOptions {
  Covariance covariance = Covariance::kFull;
  // Smallest variance allowed in any direction, as a fraction of the columns' own variances;
  // dimensionless, in [0, 1). Applied as a floor on the eigenvalues of each covariance after
  // scaling columns to unit variance, which is the exact constrained maximum (Ingrassia & Rocci
  // 2007), so EM stays monotone. 1e-9: clusters 30,000 standard deviations apart are still told
  // from a collapse, and rounding stays far below (1e-6 would hold back clusters 1000 apart).
  // Reported whenever it acts. For structures with shared volume, shape or orientation beyond
  // full, tied, diagonal and spherical the scale is the columns' mean variance.
  double ridge = 1e-9;
  std::optional<NormalInverseWishart> prior = std::nullopt;  // absent: maximum likelihood
};

// Parameters: means [K, D] and the covariances of covariance.h. Statistics: first [K, D] and second
// moments centred on the means of the parameters they were computed under. Missing cells: given
// the observed cells of their row and the component they are normal again, so their conditional
// moments take their place (Ghahramani & Jordan 1994).
//
// `summary` gives the scale of the ridge. FailedPrecondition when the data cannot support the
// covariance: a constant column (all but spherical, where at least one column must vary) or one
// without an observed cell, naming the column by `names` and the remedy.
absl::StatusOr<std::unique_ptr<Emission>> MakeGaussian(const GaussianOptions& options,
                                                       int num_components, const Summary& summary,
                                                       const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_GAUSSIAN_H_
