// A Markov or semi-Markov chain with K states, and single steps along it.
//
// A semi-Markov chain draws how long it stays when it enters a state, up to D steps: what is hidden
// is the state and how many steps of it are left (the current one included), M = K D of them in
// all, element k D + left - 1. A Markov chain has D = 1 and what is hidden is the state.
//
// Apart from markov.h, whose recursions along rows are made of these steps. Functions called Log
// take and give logarithms, -infinity for what is impossible; those with Paths go over to the best
// path in place of all. No function allocates unless it says so.
#ifndef EMSERVE_CORE_NUMERICS_MARKOV_CHAIN_H_
#define EMSERVE_CORE_NUMERICS_MARKOV_CHAIN_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>

namespace emserve {

// Where row t of an array [..., size] begins.
inline int64_t At(int t, int size) { return static_cast<int64_t>(t) * size; }

// Probabilities, or their logarithms for the Log functions.
struct MarkovChain {
  int num_states = 0;
  const double* initial = nullptr;     // [K]
  const double* transition = nullptr;  // [K, K], from row to column
  int max_duration = 1;                // D
  const double* duration = nullptr;    // [K, D] of lasting 1, 2, ... D steps; null: a Markov chain

  int num_hidden() const { return num_states * max_duration; }
  // Doubles of the functions' scratch.
  int64_t num_scratch() const { return 3 * int64_t{num_hidden()} + 2 * int64_t{num_states}; }
};

// Of paths: the sum of their likelihoods, or that of the best.
enum class Paths { kAll, kBest };

// log sum_k exp(value(k)), or the largest, of 0 <= k < count; -infinity where all are.
template <typename Value>
double LogSumOf(Paths paths, int count, Value value) {
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  double largest = kNone;
  for (int k = 0; k < count; ++k) largest = std::max(largest, value(k));
  if (paths == Paths::kBest || largest == kNone) return largest;
  double sum = 0;
  for (int k = 0; k < count; ++k) sum += std::exp(value(k) - largest);
  return largest + std::log(sum);
}
inline double LogSum(Paths paths, const double* values, int count) {
  return LogSumOf(paths, count, [values](int k) { return values[k]; });
}

// start[h] = probability of h at the first row of a sequence.
void Start(const MarkovChain& chain, double* start);
void LogStart(const MarkovChain& log_chain, double* start);

// after[h] = sum_g before[g] p(h | g). O(K^2 + M).
void Propagate(const MarkovChain& chain, const double* before, double* after);
void LogPropagate(Paths paths, const MarkovChain& log_chain, const double* before, double* after);

// before[g] = sum_h p(h | g) after[h]; `scratch` holds K doubles. O(K^2 + M).
void PropagateBack(const MarkovChain& chain, const double* after, double* before, double* scratch);
void LogPropagateBack(Paths paths, const MarkovChain& log_chain, const double* after,
                      double* before, double* scratch);

// entered[j] = sum_d duration[j, d] after[j, d]: what entering j makes of what follows; `after` of
// a Markov chain. O(M).
void Entered(const MarkovChain& chain, const double* after, double* entered);
void LogEntered(Paths paths, const MarkovChain& log_chain, const double* after, double* entered);

// Logarithm of the probability of `to` at a row given `from` at the row before it.
double LogTransition(const MarkovChain& log_chain, int from, int to);

// ahead[h, j] = probability of state j `steps` >= 0 rows after h was hidden, [M, K]. For a Markov
// chain by repeated squaring, O(K^3 log steps); for a semi-Markov chain step by step, O(steps K
// (K^2 + M)). Every row sums to 1 whatever the number of steps. False, with `ahead` unfinished,
// soon after `cancelled`, which may be null, is true. Allocates.
bool LookAhead(const MarkovChain& chain, int64_t steps, std::span<double> ahead,
               const std::function<bool()>& cancelled = nullptr);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_MARKOV_CHAIN_H_
