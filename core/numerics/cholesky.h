// Cholesky factors of small symmetric matrices, and a floor on their eigenvalues.
#ifndef EMSERVE_CORE_NUMERICS_CHOLESKY_H_
#define EMSERVE_CORE_NUMERICS_CHOLESKY_H_

#include <optional>
#include <span>

namespace emserve {

// Factors the symmetric positive definite `matrix` [dims x dims], row-major (the lower triangle is
// read) as L L^T and writes L^-1, lower triangular, row-major, with zeros above the diagonal, to
// `inv_chol`. Returns log det(matrix), or nothing if the matrix is not positive definite or not
// finite. O(dims^3).
std::optional<double> InverseCholesky(std::span<const double> matrix, int dims,
                                      std::span<double> inv_chol);

// Writes L of matrix = L L^T, lower triangular, row-major, with zeros above the diagonal, to
// `chol`; false if the matrix is not positive definite or not finite. O(dims^3).
bool Cholesky(std::span<const double> matrix, int dims, std::span<double> chol);

// What FloorEigenvalues did.
struct EigenvalueLift {
  // Largest amount added to a diagonal entry, in the units of the matrix; 0 if nothing was done,
  // NaN if the matrix is not finite.
  double largest = 0;
  // How far rounding of the entries of the result S may move log det S + tr(S^-1 matrix): with r
  // eigenvalues raised to `fraction`, at most sqrt(r) epsilon tr(S) / fraction, to first order and
  // in scaled columns. Directions that were not raised add only the square of theirs, for S is
  // stationary there.
  double rounding = 0;
};

// Raises the eigenvalues of the symmetric `matrix` (its lower triangle is read) that lie below
// `fraction` to `fraction`, in coordinates where column d is divided by sqrt(scale[d]), scale[d] >
// 0; with scale the columns' own variances the floor does not depend on units. A matrix whose
// eigenvalues are all above is not touched, bit for bit, and costs one Cholesky. Both triangles are
// written. The result maximises -log det S - tr(S^-1 matrix) subject to the floor (Ingrassia &
// Rocci 2007). O(dims^3), or O(dims rank^2) beyond a Cholesky where a large matrix has at most half
// its rank.
EigenvalueLift FloorEigenvalues(std::span<double> matrix, int dims, std::span<const double> scale,
                                double fraction);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_CHOLESKY_H_
