// A Markov or semi-Markov chain (markov_chain.h) in numbers of wide range, and steps along it: the
// sums over all paths where states are so far apart that doubles lose them, and transitions that
// are 0 keep the chain from coming back.
#ifndef EMSERVE_CORE_NUMERICS_MARKOV_WIDE_CHAIN_H_
#define EMSERVE_CORE_NUMERICS_MARKOV_WIDE_CHAIN_H_

#include <cstdint>
#include <vector>

#include "core/numerics/markov_chain.h"
#include "core/numerics/wide.h"

namespace emserve {

// A square matrix of probabilities, by columns too where sums need every element that is not 0.
class WideMatrix {
 public:
  explicit WideMatrix(int size);

  // plain and log: [size, size], from row to column. With `transposed`, of column to row.
  void Assign(const double* plain, const double* log, bool transposed);

  // out[j] = sum_i x[i] A[i, j], settled, of settled x. Most of it is a product in doubles of what
  // is not negligible beside the largest; only columns which that does not reach are summed one by
  // one. O(size^2).
  void Multiply(ConstWides x, Wides out) const;

  // Calls add(i) for all i with A[i, j] > 0.
  template <typename Add>
  void ForColumn(int j, Add add) const {
    for (int n = first_[j]; n < first_[j + 1]; ++n) add(from_[n]);
  }

 private:
  Wide SumOfColumn(int j, ConstWides x) const;

  int size_;
  std::vector<double> dense_;  // [size, size]
  // The elements of column j that are positive are first_[j] to first_[j + 1] - 1.
  std::vector<int> first_, from_;
  std::vector<double> significand_, exponent_;
};

class WideChain {
 public:
  WideChain(int num_states, int max_duration, bool has_durations);

  // The same chain, plain and in logarithms; of other sizes than this one's it must not be. O(K^2 +
  // M), does not allocate.
  void Assign(const MarkovChain& plain, const MarkovChain& log);

  int num_states() const { return num_states_; }
  int max_duration() const { return max_duration_; }
  int num_hidden() const { return num_states_ * max_duration_; }
  bool has_durations() const { return !duration_significand_.empty(); }
  // Doubles of the scratch of the functions here and in markov_wide.h.
  int64_t num_scratch() const { return 12 * int64_t{num_hidden()} + 8 * int64_t{num_states_}; }
  const WideMatrix& from_row() const { return from_row_; }
  const WideMatrix& from_column() const { return from_column_; }
  // [K, D]; of a semi-Markov chain.
  ConstWides duration() const { return {duration_significand_.data(), duration_exponent_.data()}; }

  // As Start, Propagate, Entered and PropagateBack, settled. `scratch` holds 4 K + 2 D doubles.
  void Start(Wides start) const;
  void Propagate(ConstWides before, Wides after, double* scratch) const;
  void Entered(ConstWides after, Wides entered, double* scratch) const;
  void PropagateBack(ConstWides after, Wides before, double* scratch) const;
  // entering[j] = sum_i p(i has one step left) A[i, j], [K]. `scratch` holds 2 K doubles.
  void Entering(ConstWides before, Wides entering, double* scratch) const;

 private:
  int num_states_;
  int max_duration_;
  WideMatrix from_row_, from_column_;
  std::vector<double> initial_significand_, initial_exponent_;    // [K]
  std::vector<double> duration_significand_, duration_exponent_;  // [K, D], or empty
};

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_MARKOV_WIDE_CHAIN_H_
