// The inner loops of recursions along a Markov chain with K states, vectorised over states.
//
// Rows are time steps of one run: each continues the one before it. Arrays of rows are row-major
// [num_rows, K] but for `ahead`, [num_rows, PaddedStates(K)]; all end with kStatePad doubles that
// kernels may read and write. Likelihoods of a row are relative. Compiled for several instruction
// sets and chosen at run time, as those of kernels.h. No kernel allocates.
#ifndef EMSERVE_CORE_NUMERICS_KERNELS_MARKOV_H_
#define EMSERVE_CORE_NUMERICS_KERNELS_MARKOV_H_

#include <cstdint>

namespace emserve {

// Whole vectors of doubles on every instruction set.
inline constexpr int kStatePad = 8;
inline constexpr int PaddedStates(int num_states) {
  return (num_states + kStatePad - 1) / kStatePad * kStatePad;
}

// A chain's transitions, [K, PaddedStates(K)], from row to column and the other way round, and its
// initial probabilities, [PaddedStates(K)]: zeros in the padding, from 64-byte boundaries on.
struct PaddedChain {
  int num_states = 0;
  const double* from_row = nullptr;
  const double* from_column = nullptr;
  const double* initial = nullptr;
};

// filtered[t, k] = p(k at t | rows up to t) and normaliser[t] = p(row t | rows before it), of an
// impossible row 0 and even probabilities. `before` [K] are the filtered probabilities of the row
// before row 0; null: row 0 has the probabilities `start` [PaddedStates(K), zeros in the padding]
// before it is seen, or, if that is null too, even ones. With `log_likelihood` false, and results
// that mean nothing, as soon as a product that it says is positive leaves a double's range; null:
// that cannot matter. O(rows K^2).
bool FilterRows(const PaddedChain& chain, int num_rows, const double* before, const double* start,
                const double* likelihood, const double* log_likelihood, double* filtered,
                double* normaliser);

// From filtered to smoothed probabilities. behind [PaddedStates(K)], zeros in the padding: the
// likelihood of what follows the last row given its state, up to a factor; `ends` says that nothing
// does, so that it is not read. False, with nothing written but `behind`, when what the rows and
// what is behind them say together leaves a double's range. Written: with `continues` what all rows
// say of the row before row 0, up to a factor, and ahead[t, k], the likelihood of row t and what
// follows it given k at t, in units of p(row t and what follows | rows before t); without it row
// 0's is not. O(rows K^2).
bool SmoothRows(const PaddedChain& chain, int num_rows, bool continues, bool ends,
                const double* likelihood, const double* normaliser, const double* filtered,
                double* behind, double* ahead, double* smoothed);

// pairs[i, j] += weight sum_t filtered[t - 1, i] ahead[t, j], [K, K]; of row 0 with `before` [K],
// without it (null) not. O(rows K^2).
void AddRowPairs(int num_states, int num_rows, double weight, const double* before,
                 const double* filtered, const double* ahead, double* pairs);

// transfer[i, j] = p(rows, j at the last of them | i at the row before row 0) / exp(returned),
// [K, PaddedStates(K)], 64-byte aligned; `scratch` likewise. NaN where FilterRows says false.
// O(rows K^3).
double TransferRows(const PaddedChain& chain, int num_rows, const double* likelihood,
                    const double* log_likelihood, double* scratch, double* transfer);

// What rows and what follows them (`behind`, as SmoothRows') say of the row before row 0, up to a
// factor, in place of `behind`; `scratch` holds PaddedStates(K). Returns as FilterRows.
// O(rows K^2).
bool BackwardRows(const PaddedChain& chain, int num_rows, const double* likelihood,
                  const double* log_likelihood, double* behind, double* scratch);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_KERNELS_MARKOV_H_
