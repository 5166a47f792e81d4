// Recursions along rows under a Markov or semi-Markov chain (markov_chain.h): filtering, smoothing,
// most probable paths, draws.
//
// Rows are time steps; arrays of rows are row-major, likelihoods [num_rows, K], everything about
// what is hidden [num_rows, M]. Likelihoods of a row are relative: what scales all its states alike
// is left to the caller. The plain functions keep probabilities that sum to 1 in every row, so that
// they stand any length of chain, and say when states are so many orders of magnitude apart that
// doubles lose them: markov_wide.h has the same functions for that. The ones called Log work on
// logarithms throughout, for best paths, which ask for no exponentials. For all paths they take one
// for every transition, which is what the others are held against and no fit asks for. No function
// allocates. Rabiner (1989); Zucchini, MacDonald & Langrock
// (2016), chapters 3 to 6.
#ifndef EMSERVE_CORE_NUMERICS_MARKOV_H_
#define EMSERVE_CORE_NUMERICS_MARKOV_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "core/numerics/markov_chain.h"

namespace emserve {

// Rows of a block: sequences begin at rows with begins[t] (null: at none, but for row 0 if
// `first_begins`).
struct ChainRows {
  int num_rows = 0;
  const unsigned char* begins = nullptr;
  bool first_begins = false;
  // [M] of the row before row 0, unless that begins a sequence: its filtered probabilities, up to a
  // factor. Null where nothing is known; then row 0 has even probabilities before it is seen.
  const double* before = nullptr;
  // [M] likelihood of what follows the last row, up to a factor that leaves the largest about 1;
  // null where nothing follows.
  const double* behind = nullptr;

  bool Begins(int t) const { return begins != nullptr ? begins[t] != 0 : t == 0 && first_begins; }
  // Whether a row precedes row t in its sequence, of which something is known.
  bool Continues(int t) const { return !Begins(t) && (t > 0 || before != nullptr); }
  // Whether nothing follows row t in its sequence, of which something is known.
  bool IsLast(int t) const { return t == num_rows - 1 ? behind == nullptr : !Continues(t + 1); }
};

// filtered[t, h] = p(h at t | rows up to t); normaliser[t] = p(row t | rows before it), in
// units of the row's likelihoods; of a row that is impossible 0, and the chain goes on from even
// probabilities. False, with undefined results, when a probability is lost that
// `log_likelihood` says is positive, and the chain may not get it back: `replenishes` promises that
// every transition is far from 0, so that it does. O(rows (K^2 + M)).
bool ForwardFilter(const MarkovChain& chain, const ChainRows& rows, const double* likelihood,
                   const double* log_likelihood, bool replenishes, double* filtered,
                   double* normaliser);

// From filtered to smoothed probabilities p(h at t | all rows), in place. Adds sum_t v_t p(i at t -
// 1, j entered at t | all rows) / transition[i, j] to pairs [K, K], where v_t = weights[t] (null:
// 1) and rows that continue nothing are left out, and for a semi-Markov chain behind them [K, D]
// sum_t v_t p(j entered at t for d steps | all rows) / duration[j, d]; `pairs` may be null. False,
// with nothing written but scratch, when what the rows and what is behind them say together leaves
// a double's range. O(rows (K^2 + M)).
bool BackwardSmooth(const MarkovChain& chain, const ChainRows& rows, const double* likelihood,
                    const double* normaliser, const double* weights, double* filtered,
                    double* pairs, double* scratch);

// As ForwardFilter, in logarithms. With Paths::kBest score[t, h] is the log density of the best
// path to h at t, and in both cases less what makes normaliser[t] of all its states: the
// scores' log-sum-exp, or largest, before it is taken off. -infinity for an impossible row.
void LogForward(Paths paths, const MarkovChain& chain, const ChainRows& rows,
                const double* log_likelihood, double* score, double* normaliser);

// predicted[t, k] = p(state k at t | rows before t) [num_rows, K], from ForwardFilter's `filtered`;
// of a row that nothing is known before even for all that may be hidden. O(rows (K^2 + M)).
void Predict(const MarkovChain& chain, const ChainRows& rows, const double* filtered,
             double* predicted, double* scratch);

// others[t, k] = p(state k at t | all rows but t) [num_rows, K], from ForwardFilter's `filtered`.
// What is predicted is multiplied by what the rows behind say, and nothing is divided by the row's
// own likelihoods. Where the other rows are impossible together: as Predict. False, with undefined
// results, when a probability is lost that may matter, as ForwardFilter. O(rows (K^2 + M)).
bool LeaveOut(const MarkovChain& chain, const ChainRows& rows, const double* likelihood,
              const double* log_likelihood, bool replenishes, const double* filtered,
              double* others, double* scratch);

// message[h] = likelihood of all rows and what is behind them given h before row 0, up to a factor.
// Precondition: no sequence begins in them. False as ForwardFilter. O(rows (K^2 + M)).
bool Backward(const MarkovChain& chain, const ChainRows& rows, const double* likelihood,
              const double* log_likelihood, bool replenishes, double* message, double* scratch);

// As Backward, in logarithms, less a constant. Precondition: no sequence begins in them.
void LogBackward(Paths paths, const MarkovChain& chain, const ChainRows& rows,
                 const double* log_likelihood, double* message, double* scratch);

// hidden[t] on the best path, given LogForward's scores of Paths::kBest (Viterbi 1967). Of equally
// good ones that with the smallest last element, and so on backwards. O(rows M).
void BestPath(const MarkovChain& log_chain, const ChainRows& rows, const double* score,
              int* hidden);

// hidden[t] drawn from p(hidden | all rows), given logarithms of filtered probabilities, which
// LogForward's scores of Paths::kAll are too; uniform(t) is row t's number in [0, 1), asked for
// from the last to the first. Forward filtering, backward sampling (Chib 1996). O(rows M).
void SamplePath(const MarkovChain& log_chain, const ChainRows& rows, const double* score,
                absl::FunctionRef<double(int t)> uniform, int* hidden);

// The choice that both make: the element with the largest of before[h] + behind[h], or one drawn in
// proportion to their exponentials; `behind` null counts as 0.
int BestState(const double* before, const double* behind, int count);
int SampleState(const double* before, const double* behind, int count, double uniform);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_MARKOV_H_
