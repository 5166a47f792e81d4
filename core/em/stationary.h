// Where a Markov chain is in the long run, and transitions of one that starts there.
#ifndef EMSERVE_CORE_EM_STATIONARY_H_
#define EMSERVE_CORE_EM_STATIONARY_H_

#include <cstddef>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/status.h"
#include "core/em/simplex_rows.h"

namespace emserve {

// Marks `first` and all that can be reached from it where linked(i, j) leads from i to j. States
// that are marked already are not gone on from. O(K^2).
template <typename Linked>
void MarkReached(size_t first, Linked linked, std::vector<char>& reached) {
  std::vector<size_t> open = {first};
  reached[first] = 1;
  while (!open.empty()) {
    const size_t i = open.back();
    open.pop_back();
    for (size_t j = 0; j < reached.size(); ++j) {
      if (reached[j] || !linked(i, j)) continue;
      reached[j] = 1;
      open.push_back(j);
    }
  }
}

// The distribution [K] with p = p transitions, where every state reaches every other. O(K^3);
// subtracts nothing, and goes over to numbers of wide range where doubles do not hold what is on
// the way, so that no digit is lost of any probability that a double holds (Grassmann, Taksar &
// Heyman 1985). Of states that do not all reach each other: one of the distributions that stay.
void StationaryDistribution(std::span<const double> transitions, std::span<double> stationary);

// The share of steps in each state in the long run, [K], where visits to state k last durations[k]
// steps on average and transitions [K, K] lead from one visit to the next; 0 for states that are
// left for good. Empty where it depends on the first state: where more than one class of states is
// never left. O(K^2), and of the class as StationaryDistribution.
std::vector<double> LongRunShares(std::span<const double> transitions,
                                  std::span<const double> durations);

// Visits to each state [K] among the first `length` >= 1 on average: initial (I + A + ... + A^(n -
// 1)), by doubling. O(K^3 log length).
std::vector<double> ExpectedVisits(std::span<const double> initial,
                                   std::span<const double> transitions, double length);

// Raises sum counts_ij log a_ij + sum initial_counts_k log p_k(a) + rows' LogPrior, where p(a) is
// the stationary distribution of a, from a = `now` until it no longer rises, and at most 100 times.
// Without initial counts it has a closed form; with them each step multiplies by the gradient (Baum
// & Eagon 1967), as far as that raises it. `stationary` [K] becomes p(next). O(steps x K^3);
// Cancelled soon after `stop` is requested.
absl::Status MaximizeStationary(const SimplexRows& rows, std::span<const double> counts,
                                std::span<const double> initial_counts, std::span<const double> now,
                                std::span<double> next, std::span<double> stationary,
                                const std::stop_token& stop);

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_STATIONARY_H_
