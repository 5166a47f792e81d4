// Bernoulli emission: independent columns of zeros and ones.
#ifndef EMSERVE_CORE_EMISSION_BERNOULLI_H_
#define EMSERVE_CORE_EMISSION_BERNOULLI_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"

namespace emserve {

struct BernoulliOptions {
  // Beta prior of every probability: alpha - 1 virtual ones and beta - 1 virtual zeros, in the unit
  // of weights. Both finite and >= 1, so that the density is bounded. 1 and 1, the default, is
  // uniform: no prior. Above 1 both keep probabilities away from 0 and 1, where EM cannot leave.
  double alpha = 1;
  double beta = 1;
};

// Parameters: probabilities [K, D] of a one, in [0, 1]; 0 and 1 are maxima like any other.
// Statistics: see columns.h, "sums". Closed-form M-step. InvalidArgument "alpha: got ..., must be
// ..."; FailedPrecondition for a column with values outside [0, 1].
absl::StatusOr<std::unique_ptr<Emission>> MakeBernoulli(const BernoulliOptions& options,
                                                        int num_components, const Summary& summary,
                                                        const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_BERNOULLI_H_
