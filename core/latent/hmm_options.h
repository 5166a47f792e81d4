// What the options of a hidden Markov model mean, and which make none.
#ifndef EMSERVE_CORE_LATENT_HMM_OPTIONS_H_
#define EMSERVE_CORE_LATENT_HMM_OPTIONS_H_

#include "absl/status/statusor.h"
#include "core/em/constraints.h"
#include "core/latent/hmm.h"

namespace emserve {

// The transitions that there are not. Errors are MakeHmm's. O(K) where all transitions are allowed
// and states last geometrically, or for the shape only; else O(K^2).
absl::StatusOr<ExcludedElements> CheckHmm(int num_states,
                                          const HmmHyperparameters& hyperparameters);

}  // namespace emserve

#endif  // EMSERVE_CORE_LATENT_HMM_OPTIONS_H_
