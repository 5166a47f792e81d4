// The recursions of markov.h in numbers of wide range: for all paths, what ForwardFilter and its
// like do where doubles would lose a probability that matters, at about their price.
//
// Messages before and behind the rows (ChainRows) are logarithms, up to a constant. `scratch` holds
// WideChain::num_scratch() doubles. No function allocates.
#ifndef EMSERVE_CORE_NUMERICS_MARKOV_WIDE_H_
#define EMSERVE_CORE_NUMERICS_MARKOV_WIDE_H_

#include "core/numerics/markov.h"
#include "core/numerics/markov_wide_chain.h"

namespace emserve {

// filtered[t, h] = p(h at t | rows up to t) [num_rows, M], settled; log_normaliser[t] = log p(row t
// | rows before it), in units of the row's likelihoods [num_rows, K]. Of a row that is impossible
// -infinity, and the chain goes on from even probabilities. O(rows (K^2 + M)).
void WideForward(const WideChain& chain, const ChainRows& rows, ConstWides likelihood,
                 Wides filtered, double* log_normaliser, double* scratch);

// From filtered to smoothed probabilities p(h at t | all rows), doubles in place of the filtered
// ones' significands; even ones where all rows are impossible together. `weights` and `pairs` as
// BackwardSmooth. O(rows (K^2 + M)).
void WideSmooth(const WideChain& chain, const ChainRows& rows, ConstWides likelihood,
                const double* weights, Wides filtered, double* pairs, double* scratch);

// As Predict and LeaveOut, doubles, from WideForward's `filtered`.
void WidePredict(const WideChain& chain, const ChainRows& rows, ConstWides filtered,
                 double* predicted, double* scratch);
void WideLeaveOut(const WideChain& chain, const ChainRows& rows, ConstWides likelihood,
                  ConstWides filtered, double* others, double* scratch);

// message[h] = log-likelihood of all rows and what is behind them given h before row 0, less a
// constant. Precondition: no sequence begins in them. O(rows (K^2 + M)).
void WideBackward(const WideChain& chain, const ChainRows& rows, ConstWides likelihood,
                  double* message, double* scratch);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_MARKOV_WIDE_H_
