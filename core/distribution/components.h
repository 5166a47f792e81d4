// What all emissions share about their components: how large they may be, which are empty, and
// which parameters count.
#ifndef EMSERVE_CORE_DISTRIBUTION_COMPONENTS_H_
#define EMSERVE_CORE_DISTRIBUTION_COMPONENTS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/em/constraints.h"
#include "core/em/model.h"

namespace emserve {

// Parameters of one model: 16 GiB of doubles. Beyond it sizes are surely a mistake.
inline constexpr double kMaxParameters = 2147483648.0;

// A component, or a cell of one, is empty when less than this share of an average row belongs to
// it: sums of posteriors that small no longer say where it is.
inline constexpr double kEmptyRows = 1e-10;

// Which components are empty: those whose occupancy is not above `least`. Each is reported with
// kComponentEmpty and its occupancy.
std::vector<char> FindEmpty(std::span<const double> occupancy, double least,
                            std::vector<Repair>& repairs);

// How many components are active.
int64_t NumActive(const std::vector<bool>& active);

// Free groups of an array of `per_component` elements for each component in turn that have an
// element of an active one.
int64_t NumFree(const Constraints& constraints, int64_t per_component,
                const std::vector<bool>& active);

// InvalidArgument "ridge: got ..., must be in [0, 1)".
absl::Status CheckRidge(double ridge);

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_COMPONENTS_H_
