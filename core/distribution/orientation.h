// Axes common to several covariances, whose variances along them differ: common principal
// components. Apart from structures.cc because the only way there is a search.
#ifndef EMSERVE_CORE_DISTRIBUTION_ORIENTATION_H_
#define EMSERVE_CORE_DISTRIBUTION_ORIENTATION_H_

#include <Eigen/Core>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/statusor.h"

namespace emserve {

// Variances along the common axes: lambda a_kd (EVE) or lambda_k a_kd (VVE).
enum class Volume { kShared, kFree };

// Turns the orthonormal columns of `axes` [D x D], to raise
//
//   sum_k -1/2 e_k log det Sigma_k - 1/2 tr(Sigma_k^-1 W_k),   Sigma_k = axes V_k axes^T,
//
// V_k diagonal with entries >= floor and the given volume, at its maximum for the axes. The axes
// returned are not worse than those given, and stationary unless 500 sweeps (fewer beyond 80
// columns) do not get there, as for components that have no axes in common. `scatter`: W_k [D x D]
// each, symmetric positive semidefinite; `exponents`: e_k > 0.
//
// Pairs of axes are turned in turn; with V fixed the best angle is a closed form, as the function
// is  A cos 2t + B sin 2t  there, and V follows before the next angle. Flury & Gautschi (1986), "An
// algorithm for simultaneous orthogonal transformation of several positive definite symmetric
// matrices to nearly diagonal form", whose G step this is for VVE. Browne & McNicholas (2014)
// majorise the same function and turn all axes at once, in smaller steps.
//
// Cancelled when stop is requested. O(K D^3) a sweep over the pairs.
absl::StatusOr<Eigen::MatrixXd> CommonAxes(Volume volume, const Eigen::ArrayXd& exponents,
                                           const std::vector<Eigen::MatrixXd>& scatter,
                                           Eigen::MatrixXd axes, double floor,
                                           const std::stop_token& stop);

// w_kd = axis_d^T W_k axis_d [K, D], >= 0. O(K D^3).
Eigen::ArrayXXd ScatterAlong(const Eigen::MatrixXd& axes, std::span<const Eigen::MatrixXd> scatter);

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_ORIENTATION_H_
