// Free coordinates of symmetric positive definite matrices.
#ifndef EMSERVE_CORE_NUMERICS_FACTORS_H_
#define EMSERVE_CORE_NUMERICS_FACTORS_H_

#include <span>

namespace emserve {

// All matrices are [dims x dims], row-major.

// `matrix` = N diag(exp h) N^T with N unit lower triangular: writes h to the diagonal of `factors`
// and N below it; above is not touched. False if it is not positive definite. O(dims^3).
bool UnitFactors(std::span<const double> matrix, int dims, std::span<double> factors);
// The matrix of such factors, both triangles. O(dims^3).
void FromUnitFactors(std::span<const double> factors, int dims, std::span<double> matrix);

// Writes the logarithms of the eigenvalues, ascending, to the diagonal of `logs`, the rest is not
// touched; false if one is not positive. O(dims^3).
bool LogEigenvalues(std::span<const double> matrix, int dims, std::span<double> logs);
// The matrix with the eigenvectors of `reference` and eigenvalues exp of the diagonal of `logs`, in
// the order of the reference's ascending ones. O(dims^3).
void WithEigenvalues(std::span<const double> reference, int dims, std::span<const double> logs,
                     std::span<double> matrix);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_FACTORS_H_
