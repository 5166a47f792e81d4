#include "core/numerics/markov_runs.h"

#include <algorithm>
#include <cstdint>

namespace emserve {
namespace {

// The last row of the sequence of row `first`, in the block, and one more.
int EndOf(const ChainRows& rows, int first) {
  int end = first + 1;
  while (end < rows.num_rows && !rows.Begins(end)) ++end;
  return end;
}

// The first row, in the block, of the sequence of row `end` - 1.
int FirstOf(const ChainRows& rows, int end) {
  int first = end - 1;
  while (first > 0 && !rows.Begins(first)) --first;
  return first;
}

}  // namespace

bool FilterRuns(const PaddedChain& chain, const ChainRows& rows, const double* likelihood,
                const double* log_likelihood, double* filtered, double* normaliser) {
  for (int first = 0, end = 0; first < rows.num_rows; first = end) {
    end = EndOf(rows, first);
    const int64_t at = At(first, chain.num_states);
    const double* const before = rows.Continues(first) ? rows.before : nullptr;
    const double* const start = rows.Begins(first) ? chain.initial : nullptr;
    if (!FilterRows(chain, end - first, before, start, likelihood + at,
                    log_likelihood == nullptr ? nullptr : log_likelihood + at, filtered + at,
                    normaliser + first)) {
      return false;
    }
  }
  return true;
}

bool SmoothRuns(const PaddedChain& chain, const ChainRows& rows, const double* likelihood,
                const double* normaliser, const double* weights, const double* filtered,
                double* ahead, double* scratch, double* smoothed, double* pairs) {
  const int padded = PaddedStates(chain.num_states);
  for (int first = 0, end = rows.num_rows; end > 0; end = first) {
    first = FirstOf(rows, end);
    const int num_rows = end - first;
    const int64_t at = At(first, chain.num_states);
    const double* const before = rows.Continues(first) ? rows.before : nullptr;
    const bool ends = end < rows.num_rows || rows.behind == nullptr;
    if (!ends) {
      std::fill_n(scratch, padded, 0.0);
      std::copy_n(rows.behind, chain.num_states, scratch);
    }
    double* const of_run = ahead + At(first, padded);
    // Only of the last run can it be false, before any pairs are added.
    if (!SmoothRows(chain, num_rows, before != nullptr, ends, likelihood + at, normaliser + first,
                    filtered + at, scratch, of_run, smoothed + at)) {
      return false;
    }
    if (pairs == nullptr) continue;
    const double weight = weights == nullptr ? 1 : weights[first];
    AddRowPairs(chain.num_states, num_rows, weight, before, filtered + at, of_run, pairs);
  }
  return true;
}

}  // namespace emserve
