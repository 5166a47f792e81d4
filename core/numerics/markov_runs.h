// The recursions of markov.h for Markov chains, by vectorised kernels: the same functions for
// chains whose matrices are padded.
#ifndef EMSERVE_CORE_NUMERICS_MARKOV_RUNS_H_
#define EMSERVE_CORE_NUMERICS_MARKOV_RUNS_H_

#include "core/numerics/kernels_markov.h"
#include "core/numerics/markov.h"

namespace emserve {

// Arrays are as kernels_markov.h has them. Null `log_likelihood` is ForwardFilter's `replenishes`.

// As ForwardFilter.
bool FilterRuns(const PaddedChain& chain, const ChainRows& rows, const double* likelihood,
                const double* log_likelihood, double* filtered, double* normaliser);

// As BackwardSmooth, but that `filtered` stays and `smoothed` is written. `ahead` is scratch for
// [num_rows, PaddedStates(K)], `scratch` for PaddedStates(K).
bool SmoothRuns(const PaddedChain& chain, const ChainRows& rows, const double* likelihood,
                const double* normaliser, const double* weights, const double* filtered,
                double* ahead, double* scratch, double* smoothed, double* pairs);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_MARKOV_RUNS_H_
