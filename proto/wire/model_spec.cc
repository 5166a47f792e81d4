#include "proto/wire/model_spec.h"

namespace emserve {

bool HasEmission(const v1::ModelSpec& spec) {
  return spec.has_mixture() || spec.has_hidden_markov();
}

const v1::EmissionSpec& EmissionOf(const v1::ModelSpec& spec) {
  return spec.has_hidden_markov() ? spec.hidden_markov().emission() : spec.mixture().emission();
}

v1::EmissionSpec& MutableEmissionOf(v1::ModelSpec& spec) {
  return spec.has_hidden_markov() ? *spec.mutable_hidden_markov()->mutable_emission()
                                  : *spec.mutable_mixture()->mutable_emission();
}

void SetNumComponents(int32_t num_components, v1::ModelSpec& spec) {
  switch (spec.structure_case()) {
    case v1::ModelSpec::kMixture:
      return spec.mutable_mixture()->set_num_components(num_components);
    case v1::ModelSpec::kKmeans:
      return spec.mutable_kmeans()->set_num_components(num_components);
    case v1::ModelSpec::kHiddenMarkov:
      return spec.mutable_hidden_markov()->set_num_states(num_components);
    case v1::ModelSpec::STRUCTURE_NOT_SET:
      break;
  }
}

}  // namespace emserve
