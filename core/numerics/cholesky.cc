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

// Smaller matrices gain nothing from a low rank.
constexpr int kLowRankDims = 32;

// F [dims x rank] with F F^T equal to `matrix`, symmetric and positive semidefinite, up to the
// rounding of its entries, by Cholesky with the largest diagonal entry as pivot. Nothing where that
// does not pay: a small matrix, one with more than half its rank, or a `floor` so low that
// eigenvalues left out as rounding could reach it. O(dims rank^2).
std::optional<Eigen::MatrixXd> LowRankFactor(const Matrix& matrix, double floor) {
  const Eigen::Index dims = matrix.rows();
  Eigen::VectorXd left = matrix.diagonal();  // of the matrix minus F F^T
  // Each step rounds an entry of `left` by half an epsilon, so they add up like a random walk.
  const double rounding = 4 * std::numeric_limits<double>::epsilon() *
                          std::sqrt(static_cast<double>(dims)) * left.sum();
  if (dims < kLowRankDims || !(rounding > 0) || !(rounding < floor / 4)) return std::nullopt;
  Eigen::MatrixXd factor(dims, dims / 2);
  for (Eigen::Index rank = 0; rank < factor.cols(); ++rank) {
    Eigen::Index pivot = 0;
    const double largest = left.maxCoeff(&pivot);
    auto column = factor.col(rank);
    column = matrix.row(pivot).transpose();
    column.noalias() -= factor.leftCols(rank) * factor.row(pivot).head(rank).transpose();
    column /= std::sqrt(largest);
    left = (left - column.cwiseAbs2()).cwiseMax(0.0);
    if (left.sum() <= rounding) return factor.leftCols(rank + 1);
  }
  return std::nullopt;
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

EigenvalueLift FloorEigenvalues(std::span<double> matrix, int dims, std::span<const double> scale,
                                double fraction) {
  Map m(matrix.data(), dims, dims);
  Matrix reduced = m;
  for (int d = 0; d < dims; ++d) reduced(d, d) -= fraction * scale[static_cast<size_t>(d)];
  if (Good(Eigen::LLT<Matrix>(reduced))) return {};
  m.triangularView<Eigen::StrictlyUpper>() = m.transpose();
  if (!m.allFinite()) return {.largest = std::numeric_limits<double>::quiet_NaN()};

  Eigen::VectorXd sd(dims);
  for (int d = 0; d < dims; ++d) sd(d) = std::sqrt(scale[static_cast<size_t>(d)]);
  const Eigen::VectorXd inverse_sd = sd.cwiseInverse();
  const Matrix scaled = inverse_sd.asDiagonal() * m * inverse_sd.asDiagonal();
  double largest = 0;
  Eigen::Index num_raised = 0;
  if (const std::optional<Eigen::MatrixXd> factor = LowRankFactor(scaled, fraction)) {
    // With scaled = F F^T and F^T F = U diag(lambda) U^T, the eigenvectors of `scaled` are F U
    // diag(lambda)^-1/2. What they do not span, or only below the floor, is raised to it.
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(factor->transpose() * *factor);
    const Eigen::VectorXd kept = (1 - fraction / eigen.eigenvalues().array().max(fraction)).sqrt();
    num_raised = dims - (kept.array() > 0).count();
    const Matrix above = sd.asDiagonal() * (*factor * eigen.eigenvectors() * kept.asDiagonal());
    Matrix raised = above * above.transpose();
    raised.diagonal() += fraction * sd.cwiseAbs2();
    largest = (raised - m).diagonal().maxCoeff();
    m = raised;
  } else {
    const Eigen::SelfAdjointEigenSolver<Matrix> eigen(scaled);
    const Eigen::VectorXd lift = (fraction - eigen.eigenvalues().array()).max(0.0);
    num_raised = (lift.array() > 0).count();
    // Adding only the lift keeps the digits of directions that were high enough.
    const Matrix added = sd.asDiagonal() * eigen.eigenvectors() * lift.asDiagonal() *
                         eigen.eigenvectors().transpose() * sd.asDiagonal();
    largest = added.diagonal().maxCoeff();
    m += added;
  }
  m = (0.5 * (m + m.transpose())).eval();
  if (num_raised == 0) return {};
  const double trace = inverse_sd.cwiseAbs2().dot(m.diagonal());
  return {.largest = std::max(0.0, largest),
          .rounding = std::sqrt(static_cast<double>(num_raised)) *
                      std::numeric_limits<double>::epsilon() * trace / fraction};
}

}  // namespace emserve
