// A component for rows that belong to no other: uniform on the box of the data.
#ifndef EMSERVE_CORE_EMISSION_NOISE_H_
#define EMSERVE_CORE_EMISSION_NOISE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"

namespace emserve {

// `inner` with one more component, the last, whose density is prod_d 1 / (maximum_d - minimum_d)
// over the observed columns, and 0 for a row with a cell outside (Banfield & Raftery 1993,
// "Model-based Gaussian and non-Gaussian clustering"; R mclust's noise component). Its weight is
// estimated like any other's.
//
// Parameters: the inner's, then noise_minimum [D] and noise_maximum [D], the extremes of the data
// unless a start gives others. They are not estimated: no fit changes them, they count no degrees
// of freedom, constraints on them are refused, and ExpectedLogDensity leaves their constant out.
// Statistics: the inner's. The noise takes no part in starts and is never reported as empty.
//
// Where a posterior lies on noise, a missing cell has the middle of the box and width^2 / 12.
//
// The columns must be numbers that have a density, not counts or categories: InvalidArgument
// "noise: ..." for an inner emission without distances. FailedPrecondition "columns[<name>]: got
// ..." for a box without width. An E-step costs O(rows x D) besides the inner's.
absl::StatusOr<std::unique_ptr<Emission>> WithNoise(std::unique_ptr<Emission> inner,
                                                    const Summary& summary,
                                                    const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_NOISE_H_
