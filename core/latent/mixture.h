// Finite mixture: every row has one hidden label, drawn from the component weights.
#ifndef EMSERVE_CORE_LATENT_MIXTURE_H_
#define EMSERVE_CORE_LATENT_MIXTURE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/distribution/emission.h"
#include "core/em/constraints.h"
#include "core/em/model.h"

namespace emserve {

struct MixtureHyperparameters {
  // Symmetric Dirichlet prior on the weights, > 0; 1 is uniform: no prior. Above 1 it keeps weights
  // from 0; below 1 it empties components.
  double weight_concentration = 1;
  ConstraintOptions constraints = {};  // on the weights and the emission's parameters
};

// Parameters: weights [K], then the emission's. Statistics: occupancy [K], then the emission's. A
// component of weight 0 takes no part and stays there. McLachlan & Peel (2000), chapter 2.
//
// InvalidArgument: "weight_concentration: got ..." or "constraints...: got ...".
absl::StatusOr<std::unique_ptr<Model>> MakeMixture(
    std::unique_ptr<Emission> emission, const MixtureHyperparameters& hyperparameters = {});

}  // namespace emserve

#endif  // EMSERVE_CORE_LATENT_MIXTURE_H_
