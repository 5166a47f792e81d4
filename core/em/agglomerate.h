// Model-based agglomerative clustering of a sample, for starts.
#ifndef EMSERVE_CORE_EM_AGGLOMERATE_H_
#define EMSERVE_CORE_EM_AGGLOMERATE_H_

#include <stop_token>
#include <vector>

#include "core/data/block.h"

namespace emserve {

// Merges rows until `num_clusters` are left, always the two whose union costs the classification
// likelihood of round Gaussians with a common variance the least (Ward 1963; Banfield & Raftery
// 1993, their model EII), and returns each row's cluster, 0 to num_clusters - 1 in the order of
// their first rows. Rows with weight 0 get -1. `rows` should be sphered or standardised. Nearest
// neighbour chains (Murtagh 1983): O(rows^2 x columns) time, O(rows x columns) memory. Stops early,
// with an empty result, when `stop` is requested.
//
// Precondition: at least num_clusters rows have weight.
std::vector<int> Agglomerate(const Block& rows, int num_clusters, const std::stop_token& stop);

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_AGGLOMERATE_H_
