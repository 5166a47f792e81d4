// Mean directions, unit vectors: what may be fixed of them and where their rows move them.
//
// Apart from the emission so that the geometry stands by itself, without blocks and components.
#ifndef EMSERVE_CORE_EMISSION_DIRECTIONS_H_
#define EMSERVE_CORE_EMISSION_DIRECTIONS_H_

#include <cstddef>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/em/constraints.h"
#include "core/emission/concentration.h"

namespace emserve {

// Directions from outside may be off length 1 by this much: they may have been written as text, and
// rows as float32.
inline constexpr double kLengthTolerance = 1e-6;

double Dot(std::span<const double> a, std::span<const double> b);
double Length(std::span<const double> a);

// Writes from / |from| to `to`, which may be the same. False, and nothing is written, if there is
// no such direction.
bool Normalize(std::span<const double> from, std::span<double> to);

// Of mean_directions [K, D]: a direction may be fixed as a whole at a vector of length 1, and that
// is all. InvalidArgument "constraints: got ..., must be ...".
absl::Status CheckDirectionConstraints(const Constraints& constraints, int num_columns);

// Brings the mean vector of virtual rows to `num_columns` elements, zeros if it is empty, and a
// length of at most 1. InvalidArgument "prior_mean: got ..., must be ...".
absl::Status ResolvePriorMean(size_t num_columns, std::vector<double>& mean);

// Rows of a component, or virtual ones of a prior.
struct CentredRows {
  double weight = 0;
  std::span<const double> first;  // [D] sum of x - m about the present mean direction m
};
struct VirtualRows {
  double weight = 0;
  std::span<const double> mean;  // [D]
};

// Writes S / |S|, S the sum of all rows, to `next`, or the present direction if it `stays` or S has
// none; returns the cosines of the rows with it. `now` need not have length 1 exactly. Rows of
// weight 0 count as none, whatever their sum is.
Resultant MoveDirection(std::span<const double> now, const CentredRows& rows,
                        const VirtualRows& prior, bool stays, std::span<double> next);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_DIRECTIONS_H_
