#include "core/numerics/cholesky.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>

namespace emserve {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstMap = Eigen::Map<const Matrix>;
using Map = Eigen::Map<Matrix>;

// Eigen's LLT lets NaN through; a factor is good only if its diagonal is finite and positive.
bool Good(const Eigen::LLT<Matrix>& llt) {
  if (llt.info() != Eigen::Success) return false;
  const auto diagonal = llt.matrixLLT().diagonal();
  for (Eigen::Index i = 0; i < diagonal.size(); ++i) {
    if (!(diagonal(i) > 0) || !std::isfinite(diagonal(i))) return false;
  }
  return true;
}

}  // namespace

std::optional<double> InverseCholesky(std::span<const double> matrix, int dims,
                                      std::span<double> inv_chol) {
  if (dims == 1) {  // without Eigen's temporaries
    if (!(matrix[0] > 0) || !std::isfinite(matrix[0])) return std::nullopt;
    inv_chol[0] = 1 / std::sqrt(matrix[0]);
    return std::log(matrix[0]);
  }
  if (dims == 2) {
    const double a = std::sqrt(matrix[0]);
    const double b = matrix[2] / a;
    const double rest = matrix[3] - b * b;
    if (!(matrix[0] > 0) || !(rest > 0) || !std::isfinite(a) || !std::isfinite(rest))
      return std::nullopt;
    const double c = std::sqrt(rest);
    inv_chol[0] = 1 / a;
    inv_chol[1] = 0;
    inv_chol[2] = -b / (a * c);
    inv_chol[3] = 1 / c;
    return 2 * (std::log(a) + std::log(c));
  }
  const Eigen::LLT<Matrix> llt(ConstMap(matrix.data(), dims, dims));
  if (!Good(llt)) return std::nullopt;
  Map inverse(inv_chol.data(), dims, dims);
  inverse.setIdentity();
  llt.matrixL().solveInPlace(inverse);
  return 2 * llt.matrixLLT().diagonal().array().log().sum();
}

bool Cholesky(std::span<const double> matrix, int dims, std::span<double> chol) {
  const Eigen::LLT<Matrix> llt(ConstMap(matrix.data(), dims, dims));
  if (!Good(llt)) return false;
  Map(chol.data(), dims, dims) = llt.matrixL();
  return true;
}

double FloorEigenvalues(std::span<double> matrix, int dims, std::span<const double> scale,
                        double fraction) {
  Map m(matrix.data(), dims, dims);
  Matrix reduced = m;
  for (int d = 0; d < dims; ++d) reduced(d, d) -= fraction * scale[static_cast<size_t>(d)];
  if (Good(Eigen::LLT<Matrix>(reduced))) return 0;
  m.triangularView<Eigen::StrictlyUpper>() = m.transpose();
  if (!m.allFinite()) return std::numeric_limits<double>::quiet_NaN();

  Eigen::VectorXd sd(dims);
  for (int d = 0; d < dims; ++d) sd(d) = std::sqrt(scale[static_cast<size_t>(d)]);
  const Eigen::VectorXd inverse_sd = sd.cwiseInverse();
  const Matrix scaled = inverse_sd.asDiagonal() * m * inverse_sd.asDiagonal();
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(scaled);
  const Eigen::VectorXd lift = (fraction - eigen.eigenvalues().array()).max(0.0);
  // Adding only the lift keeps the digits of directions that were high enough.
  const Matrix added = sd.asDiagonal() * eigen.eigenvectors() * lift.asDiagonal() *
                       eigen.eigenvectors().transpose() * sd.asDiagonal();
  m += added;
  m = (0.5 * (m + m.transpose())).eval();
  return std::max(0.0, added.diagonal().maxCoeff());
}

}  // namespace emserve
