// Covariances in proportion to one another: the common matrix and the volumes of VEE. Apart from
// structures.cc because the way there leads through coordinates of its own.
#ifndef EMSERVE_CORE_DISTRIBUTION_PROPORTIONAL_H_
#define EMSERVE_CORE_DISTRIBUTION_PROPORTIONAL_H_

#include <Eigen/Core>
#include <optional>
#include <stop_token>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace emserve {

// Sigma_k = volumes_k matrix.
struct Proportional {
  Eigen::ArrayXd volumes;  // [K]
  Eigen::MatrixXd matrix;  // [D x D]
};

// A symmetric matrix [D x D] of a component.
using MatrixOfComponent = absl::FunctionRef<Eigen::MatrixXd(Eigen::Index k)>;

// The maximum over such covariances of
//
//   sum_k -1/2 e_k log det Sigma_k - 1/2 tr(Sigma_k^-1 W_k)
//
// with e_k `lift` I added to every scatter W_k, positive semidefinite. A component with e_k = 0
// takes no part and has the volume of its current covariance; at least one with e_k > 0 must have
// scatter. Cancelled when stop is requested. O(K D^3) an iteration of Newton's method on the log
// volumes.
absl::StatusOr<Proportional> FitProportional(const Eigen::ArrayXd& exponents_of_all,
                                             MatrixOfComponent scatter_of,
                                             MatrixOfComponent current_of, int num_columns,
                                             double lift, const std::stop_token& stop);

// log det of a matrix that is positive definite by more than rounding, whatever the scales of the
// columns.
std::optional<double> LogDeterminantOf(const Eigen::MatrixXd& matrix);

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_PROPORTIONAL_H_
