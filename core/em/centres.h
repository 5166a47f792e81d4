// Centres of a start, where they are not the seeds themselves.
#ifndef EMSERVE_CORE_EM_CENTRES_H_
#define EMSERVE_CORE_EM_CENTRES_H_

#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/em/sample.h"

namespace emserve {

// Most rows that WardCentres agglomerates, and so most centres that it finds.
inline constexpr int64_t kMaxAgglomerated = 4096;

// Moves standardised `centres` [K x columns] by Lloyd's iterations on the sample until no label
// changes, at most 50 times, or until `time_is_up`, asked before each iteration, says yes or `stop`
// is requested. A centre without rows stays. O(iterations x sample x K x columns).
void MoveCentres(const Sample& sample, const std::stop_token& stop,
                 absl::FunctionRef<bool()> time_is_up, std::vector<double>& centres);

// Standardised means [K x columns] of the clusters of Ward's agglomeration (agglomerate.h) of (at
// most kMaxAgglomerated rows of) the sample, sphered, so that correlated columns do not count
// twice. Cluster k is the one whose mean is nearest to row labelled[k] of the sample, where that is
// not -1; the others follow in the order of their first rows. Means nothing once `stop` is
// requested. K is the size of `labelled`. O(rows^2 x columns).
//
// Precondition: K <= kMaxAgglomerated.
std::vector<double> WardCentres(const Sample& sample, std::span<const int> labelled,
                                const std::stop_token& stop);

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_CENTRES_H_
