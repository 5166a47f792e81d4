// What the structures of a model have in common, whichever of them it is.
#ifndef EMSERVE_CLIENT_EMCTL_MODEL_SPEC_H_
#define EMSERVE_CLIENT_EMCTL_MODEL_SPEC_H_

#include <cstdint>

#include "emserve/v1/model_spec.pb.h"

namespace emserve::emctl {

// The emission; an empty one of k-means.
inline const v1::EmissionSpec& EmissionOf(const v1::ModelSpec& spec) {
  return spec.has_hidden_markov() ? spec.hidden_markov().emission() : spec.mixture().emission();
}
// Makes a mixture of a specification without a structure. Not for k-means.
inline v1::EmissionSpec& MutableEmissionOf(v1::ModelSpec& spec) {
  return spec.has_hidden_markov() ? *spec.mutable_hidden_markov()->mutable_emission()
                                  : *spec.mutable_mixture()->mutable_emission();
}

inline v1::Constraints& MutableConstraintsOf(v1::ModelSpec& spec) {
  if (spec.has_kmeans()) return *spec.mutable_kmeans()->mutable_constraints();
  return spec.has_hidden_markov() ? *spec.mutable_hidden_markov()->mutable_constraints()
                                  : *spec.mutable_mixture()->mutable_constraints();
}

inline void SetNumComponents(int32_t num_components, v1::ModelSpec& spec) {
  if (spec.has_kmeans()) {
    spec.mutable_kmeans()->set_num_components(num_components);
  } else if (spec.has_hidden_markov()) {
    spec.mutable_hidden_markov()->set_num_states(num_components);
  } else {
    spec.mutable_mixture()->set_num_components(num_components);
  }
}

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_MODEL_SPEC_H_
