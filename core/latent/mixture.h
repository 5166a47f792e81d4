// Finite mixture: every row has one hidden label, drawn from the component weights.
#ifndef EMSERVE_CORE_LATENT_MIXTURE_H_
#define EMSERVE_CORE_LATENT_MIXTURE_H_

#include <memory>

#include "core/em/model.h"
#include "core/emission/emission.h"

namespace emserve {

// Parameters: weights [K], then the emission's. Statistics: occupancy [K], then the emission's.
// McLachlan & Peel (2000), chapter 2.
std::unique_ptr<Model> MakeMixture(std::unique_ptr<Emission> emission);

}  // namespace emserve

#endif  // EMSERVE_CORE_LATENT_MIXTURE_H_
