// Negative binomial emission: independent columns of overdispersed counts.
#ifndef EMSERVE_CORE_EMISSION_NEGATIVE_BINOMIAL_H_
#define EMSERVE_CORE_EMISSION_NEGATIVE_BINOMIAL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"
#include "core/distribution/univariate.h"

namespace emserve {

// Reason of a repair: a dispersion at its ceiling. The counts are no more spread than Poisson's, so
// the likelihood grows with the dispersion towards a finite limit that it has reached but for
// rounding. `amount` is the cell's variance.
inline constexpr char kPoissonLimit[] = "POISSON_LIMIT";

struct NegativeBinomialOptions {
  GammaPrior mean_prior;        // of every mean; the default is flat
  GammaPrior dispersion_prior;  // of every dispersion; the default is flat
};

// Parameters: means [K, D], 0 or more, and dispersions [K, D] r > 0, the size, so that the variance
// is mean + mean^2 / r. A mean of 0 is a maximum like any other where all counts are 0.
//
// Dispersions stay at or below 1e6 times the larger of 1 and the column's mean: there the variance
// is a millionth above Poisson's, which 1e12 rows could tell.
//
// Statistics: "sums" of x, and with r0 of the parameters they were computed under "rises" of psi(x
// + r0) - psi(r0) and "falls" of psi'(r0) - psi'(x + r0): the first two derivatives of f(r) = sum_i
// r_i [log Gamma(x_i + r) - log Gamma(r)]. The M-step maximises the expectation with f replaced by
// a minorant that has the same value and derivatives at r0, so it raises the expectation itself and
// is as fast as Newton's method near the maximum (see negative_binomial.cc). Online EM, which
// averages statistics of different r0, recentres them by the minorant: that is an approximation.
//
// InvalidArgument "mean_prior.shape: got ..." and so on; FailedPrecondition for a column whose
// extremes are no counts.
absl::StatusOr<std::unique_ptr<Emission>> MakeNegativeBinomial(
    const NegativeBinomialOptions& options, int num_components, const Summary& summary,
    const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_NEGATIVE_BINOMIAL_H_
