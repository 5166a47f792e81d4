// Where elliptical components lie: the update of their means, shared by the emissions that have
// means and covariances.
#ifndef EMSERVE_CORE_DISTRIBUTION_LOCATION_H_
#define EMSERVE_CORE_DISTRIBUTION_LOCATION_H_

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/covariance.h"
#include "core/em/constraints.h"

namespace emserve {

// Normal-inverse-Wishart prior of every component (Fraley & Raftery 2007): mean_k ~ N(mean, S_k /
// shrinkage), S_k ~ inverse Wishart(degrees_of_freedom, scale); a tied covariance has one inverse
// Wishart. Density and mode are taken over matrices of the chosen structure.
struct NormalInverseWishart {
  std::vector<double> mean;  // [D], data units; empty: the columns' means
  double shrinkage = 0.01;   // observations' worth, >= 0; 0: no prior on the means
  // > D - 1; absent: D + 2, the fewest with a mean.
  std::optional<double> degrees_of_freedom;
  // [D, D], squared data units, symmetric and positive definite; empty: the columns' variances on
  // the diagonal, divided by K^(2 / D), R mclust's default for columns without correlation.
  std::vector<double> scale;
};

// Such a prior with its defaults filled in.
struct EllipticalPrior {
  std::vector<double> mean;  // [D]
  double shrinkage = 0;
  ScalePrior scale;
};

// Checks `prior` and fills in its defaults. InvalidArgument "prior.<field>: got ..., must be ...".
absl::StatusOr<EllipticalPrior> ResolvePrior(const NormalInverseWishart& prior, int num_components,
                                             const Summary& summary);

// Checks that the columns support covariances, and returns the variances [D] that floors and starts
// go by: the columns' own, but of a column without spread what `prior` (may be null) with a scale
// of its own expects. FailedPrecondition "columns[<name>]: got ..." for one without an observed
// cell, without spread and such a prior (spherical ones live with those as long as one varies), or
// with a variance that is no ordinary number. Of a prior that ResolvePrior refuses nothing is read
// but a scale of the right size.
absl::StatusOr<std::vector<double>> CheckSpread(bool spherical, const NormalInverseWishart* prior,
                                                const Summary& summary,
                                                const std::vector<std::string>& names);

// Sums over rows that a maximisation of means and covariances needs.
struct EllipticalMoments {
  std::span<const double> exponents;  // [K] sum of responsibilities; 0: the component is empty
  std::span<const double> weights;    // [K] sum of those times the rows' precision factors
  std::span<const double> first;      // [K, D] sum of weights times (x - mean)
  std::span<const double> scatter;    // as Covariances lays it out, about the old means
};

// Writes means and covariances ([K, D], then those of `covariances`) that maximise the expected
// complete-data log density plus `prior` (may be null) under `constraints` on the means, given the
// old parameters. Without constraints on the means this is the joint maximum; with them the means
// are maximised under the old covariances and the covariances given the means (Meng & Rubin 1993).
absl::Status MaximizeElliptical(const Covariances& covariances, const EllipticalMoments& moments,
                                const EllipticalPrior* prior, const Constraints& constraints,
                                std::span<const double> params, std::span<double> next,
                                const MaximizeContext& context);

// Statistics first [K, D] and the scatter about `means` become those about `centre`, [K, D] both,
// for rows of `weights` [K] in all.
void RecenterElliptical(const Covariances& covariances, std::span<const double> means,
                        std::span<const double> centre, std::span<const double> weights,
                        std::span<double> first, std::span<double> scatter);

// Log density of `prior` at means and covariances, up to a constant.
double LogPriorOf(const EllipticalPrior& prior, const Covariances& covariances,
                  std::span<const double> params, int num_components);

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_LOCATION_H_
