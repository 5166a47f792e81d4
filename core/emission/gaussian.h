// Multivariate Gaussian emission with full, tied, diagonal and spherical covariances.
#ifndef EMSERVE_CORE_EMISSION_GAUSSIAN_H_
#define EMSERVE_CORE_EMISSION_GAUSSIAN_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/emission/emission.h"

namespace emserve {

// Names in parentheses are those of Celeux & Govaert (1995) and R mclust.
enum class Covariance {
  kFull,           // one free matrix per component (VVV)            covariances [K, D, D]
  kTied,           // one matrix shared by all (EEE)                 covariances [D, D]
  kDiagonal,       // free variances per component (VVI)             variances [K, D]
  kTiedDiagonal,   // variances shared by all (EEI)                  variances [D]
  kSpherical,      // one variance per component (VII; V in 1-D)     variances [K]
  kTiedSpherical,  // one variance in all (EII; E in 1-D)            variances [1]
};

struct GaussianOptions {
  Covariance covariance = Covariance::kFull;
  // Smallest variance allowed in any direction, as a fraction of the columns' own variances;
  // dimensionless, in [0, 1). Applied as a floor on the eigenvalues of each covariance after
  // scaling columns to unit variance, which is the exact constrained maximum (Ingrassia & Rocci
  // 2007), so EM stays monotone. 1e-9: clusters 30,000 standard deviations apart are still told
  // from a collapse, and rounding stays far below (1e-6 would hold back clusters 1000 apart).
  // Reported whenever it acts.
  double ridge = 1e-9;
};

// Parameters: means [K, D] and the covariances above. Statistics: first [K, D] and second moments
// centred on the means of the parameters they were computed under.
//
// `summary` gives the scale of the ridge. FailedPrecondition when the data cannot support the
// covariance: a constant column (all but spherical, where at least one column must vary), naming
// the column by `names` and the remedy.
absl::StatusOr<std::unique_ptr<Emission>> MakeGaussian(const GaussianOptions& options,
                                                       int num_components, const Summary& summary,
                                                       const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_GAUSSIAN_H_
