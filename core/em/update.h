// Updating a fitted model with new data, without the old ones.
#ifndef EMSERVE_CORE_EM_UPDATE_H_
#define EMSERVE_CORE_EM_UPDATE_H_

#include <memory>
#include <span>

#include "core/em/model.h"

namespace emserve {

// What a model has learnt from.
struct Past {
  double num_observations = 0;  // sum of the rows' weights
  double num_sequences = 1;     // sum of the sequences' weights, where rows depend on each other
};

// `model` with a past: as many rows whose statistics are those that `theta` leads to expect. A fit
// of it to new data climbs their log-likelihood plus the expected complete-data log density of the
// past, which LogPrior returns up to a constant; both grow together under EM, so it is monotone
// (Neal & Hinton 1998, incremental EM with the old rows' posteriors held). For exponential families
// at their maximum-likelihood estimate the past's statistics are exactly those that the old data
// had. Fewer observations than there were forget the past in proportion. Components that lose their
// weight on the way lose their past with it.
//
// Preconditions: `theta` is valid for `model`; the numbers of `past` are positive and finite.
std::unique_ptr<Model> WithPast(std::unique_ptr<Model> model, std::span<const double> theta,
                                const Past& past);

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_UPDATE_H_
