#include "core/numerics/factors.h"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <cmath>
#include <vector>

#include "core/numerics/cholesky.h"

namespace emserve {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstMap = Eigen::Map<const Matrix>;
using Map = Eigen::Map<Matrix>;

}  // namespace

bool UnitFactors(std::span<const double> matrix, int dims, std::span<double> factors) {
  std::vector<double> chol(matrix.size());
  if (!Cholesky(matrix, dims, chol)) return false;
  for (int a = 0; a < dims; ++a) {
    for (int b = 0; b < a; ++b) {
      factors[a * dims + b] = chol[a * dims + b] / chol[b * (dims + 1)];
    }
    factors[a * (dims + 1)] = 2 * std::log(chol[a * (dims + 1)]);
  }
  return true;
}

void FromUnitFactors(std::span<const double> factors, int dims, std::span<double> matrix) {
  const ConstMap given(factors.data(), dims, dims);
  Matrix lower = given.triangularView<Eigen::UnitLower>();
  lower *= (0.5 * given.diagonal().array()).exp().matrix().asDiagonal();
  Map(matrix.data(), dims, dims).noalias() = lower * lower.transpose();
}

bool LogEigenvalues(std::span<const double> matrix, int dims, std::span<double> logs) {
  const ConstMap given(matrix.data(), dims, dims);
  if (!given.allFinite()) return false;
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(given, Eigen::EigenvaluesOnly);
  if (!(eigen.eigenvalues()(0) > 0)) return false;
  Map(logs.data(), dims, dims).diagonal() = eigen.eigenvalues().array().log().matrix();
  return true;
}

void WithEigenvalues(std::span<const double> reference, int dims, std::span<const double> logs,
                     std::span<double> matrix) {
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(ConstMap(reference.data(), dims, dims));
  const Matrix half =
      eigen.eigenvectors() *
      (0.5 * ConstMap(logs.data(), dims, dims).diagonal().array()).exp().matrix().asDiagonal();
  Map(matrix.data(), dims, dims).noalias() = half * half.transpose();
}

}  // namespace emserve
