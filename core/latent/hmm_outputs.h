// What is said of the rows of a block under a hidden Markov model: posteriors, forecasts,
// pseudo-residuals.
#ifndef EMSERVE_CORE_LATENT_HMM_OUTPUTS_H_
#define EMSERVE_CORE_LATENT_HMM_OUTPUTS_H_

#include "core/em/model.h"
#include "core/latent/hmm_block.h"

namespace emserve {

// Model::Infer. Forecasts and residuals allocate their working memory, a few doubles a cell.
// Residuals cost up to twice what smoothing does, and the emission's cumulatives.
void InferRows(HmmBlock& block, const RowOutputs& outputs);

}  // namespace emserve

#endif  // EMSERVE_CORE_LATENT_HMM_OUTPUTS_H_
