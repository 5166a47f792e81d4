// The most probable paths of a chain, in order.
#ifndef EMSERVE_CORE_NUMERICS_RANKED_PATHS_H_
#define EMSERVE_CORE_NUMERICS_RANKED_PATHS_H_

#include <functional>
#include <optional>
#include <vector>

#include "core/numerics/markov.h"

namespace emserve {

struct RankedPath {
  double log_density = 0;   // of rows and path together, in units of the rows' likelihoods, nats
  std::vector<int> hidden;  // [num_rows]
};

// The `count` best paths through one sequence, best first; fewer where fewer are possible. The
// first is BestPath's, but for ties. Chain and rows hold logarithms; row 0 begins the sequence and
// no other one does. None soon after `cancelled`, which may be null, is true. List Viterbi
// (Seshadri & Sundberg 1994): O(rows M^2 count log count), and 16 bytes for each of rows x M x
// count.
std::optional<std::vector<RankedPath>> BestPaths(const MarkovChain& log_chain,
                                                 const ChainRows& rows,
                                                 const double* log_likelihood, int count,
                                                 const std::function<bool()>& cancelled);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_RANKED_PATHS_H_
