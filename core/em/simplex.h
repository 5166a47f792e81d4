// Probabilities that sum to one: their maximum-likelihood update, and free coordinates for them.
//
// Mixture weights, category probabilities and transition rows are all maximised by these functions.
#ifndef EMSERVE_CORE_EM_SIMPLEX_H_
#define EMSERVE_CORE_EM_SIMPLEX_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "core/em/constraints.h"

namespace emserve {

// How far from 1 the sum of probabilities may be: they may have been written as text.
inline constexpr double kSimplexTolerance = 1e-6;

// Checks that `probabilities` lie in [0, 1] and sum to 1 within kSimplexTolerance. InvalidArgument
// with "<name>[<i>]: got ..., must be ..." or "<name>: got a sum of ...".
absl::Status ValidateSimplex(std::string_view name, std::span<const double> probabilities);

// Checks that `constraints` (of the simplex's own elements) leave one: fixed values in [0, 1],
// whose sum is at most 1, and 1 if all are fixed. InvalidArgument "<name>: got ...".
absl::Status ValidateSimplexConstraints(std::string_view name, const Constraints& constraints);

// next = argmax sum_i counts_i log p_i over the simplex under `constraints`: free groups share what
// the fixed elements leave in proportion to their counts, evenly within a tie. A group whose counts
// sum to less than 0 (a prior below its uniform) counts as 0. Without any count `now` is kept.
// O(size).
void MaximizeSimplex(std::span<const double> counts, const Constraints& constraints,
                     std::span<const double> now, std::span<double> next);

// Free parameters of a simplex of this size under `constraints`.
int64_t SimplexParameters(int64_t size, const Constraints& constraints);

// coordinates_i = log p_i. Back: exp, then the free ones rescaled to what the fixed ones leave; all
// of them 0 where every coordinate is -infinity.
void SimplexToCoordinates(std::span<const double> probabilities, std::span<double> coordinates);
void SimplexFromCoordinates(std::span<const double> coordinates, const Constraints& constraints,
                            std::span<double> probabilities);

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_SIMPLEX_H_
