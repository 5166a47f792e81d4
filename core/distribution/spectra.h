// Eigenvalues of covariances whose axes are known: the maxima of
//
//   sum_k sum_d -1/2 e_k log v_kd - 1/2 w_kd / v_kd
//
// over what the components share, w_kd the scatter of component k along its axis d. Apart from
// structures.cc because the diagonal structures and those with eigenvectors meet here.
//
// Tables are [K, D]. A row with e_k = 0 takes no part; there `scatter` holds variances of the
// component's own, whose volume or shape is kept where it is not shared. Zeros count as about 1e-14
// of the component's scatter, so results are positive; at least one row with e_k > 0 must not be
// all zero.
#ifndef EMSERVE_CORE_DISTRIBUTION_SPECTRA_H_
#define EMSERVE_CORE_DISTRIBUTION_SPECTRA_H_

#include <Eigen/Core>

#include "absl/functional/function_ref.h"

namespace emserve {

struct Spectra {
  Eigen::ArrayXXd variances;  // [K, D]
  double raised = 0;          // largest amount added to a variance because of the floor
  double loss = 0;            // by how much the floor lowered the maximum, nats, >= 0
};

// The function above.
double SpectralObjective(const Eigen::ArrayXd& exponents, const Eigen::ArrayXXd& scatter,
                         const Eigen::ArrayXXd& variances);

// Variances that are free: w_kd / e_k. O(K D).
Spectra FreeSpectra(const Eigen::ArrayXd& exponents, const Eigen::ArrayXXd& scatter, double floor);

// Variances that are the same for all: sum_k w_kd / sum_k e_k. O(K D).
Spectra SharedSpectra(const Eigen::ArrayXd& exponents, const Eigen::ArrayXXd& scatter,
                      double floor);

// v_kd = lambda a_kd, prod_d a_kd = 1. Under the floor the maximum is that of the same structure. A
// variance that is owed to the common volume alone, where there is no scatter, counts as raised.
// O(K D log D).
Spectra SharedVolumeSpectra(const Eigen::ArrayXd& exponents, const Eigen::ArrayXXd& scatter,
                            double floor);

// v_kd = lambda_k a_d, prod_d a_d = 1. Variances below the floor are raised one by one. O(K^2 D +
// K^3) an iteration.
Spectra SharedShapeSpectra(const Eigen::ArrayXd& exponents, const Eigen::ArrayXXd& scatter,
                           double floor);

// log det S(x) for S(x) = sum_k exp(x_k) W_k [dims x dims], and, with M_k = exp(x_k) S^-1/2 W_k
// S^-1/2, the rows vec(M_k) of `shares` and tr M_k of `traces`. Infinite if S is not positive
// definite.
using LogDeterminant = absl::FunctionRef<double(const Eigen::VectorXd& x, Eigen::MatrixXd& shares,
                                                Eigen::VectorXd& traces)>;

// The x that minimises  -dims sum_k e_k x_k + (sum_k e_k) log det S(x),  up to a constant in x:
// minus the log volumes that go with the common shape S(x). All e_k > 0. Convex, since log det S is
// the logarithm of a sum of exponentials with coefficients >= 0 (mixed discriminants); Newton's
// method from x = 0.
Eigen::VectorXd MaximizeVolumes(const Eigen::ArrayXd& exponents, int dims,
                                LogDeterminant log_determinant);

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_SPECTRA_H_
