#include "core/distribution/proportional.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/distribution/spectra.h"

namespace emserve {
namespace {

using Eigen::ArrayXd;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double kNegligible = 1e-14;  // of a component's scatter, as in spectra.cc
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

}  // namespace

std::optional<double> LogDeterminantOf(const MatrixXd& matrix) {
  const Eigen::LLT<MatrixXd> llt(matrix);
  if (llt.info() != Eigen::Success) return std::nullopt;
  const ArrayXd pivots = llt.matrixLLT().diagonal().array();
  const auto dims = static_cast<double>(matrix.rows());
  if (!(pivots.square() > 16 * dims * kEpsilon * matrix.diagonal().array()).all()) {
    return std::nullopt;
  }
  return 2 * pivots.log().sum();
}

// In coordinates where all scatter together is the identity: the structure is the same in all
// coordinates.
absl::StatusOr<Proportional> FitProportional(const ArrayXd& exponents_of_all,
                                             MatrixOfComponent scatter_of,
                                             MatrixOfComponent current_of, int num_columns,
                                             double lift, const std::stop_token& stop) {
  const Index num_components = exponents_of_all.size();
  std::vector<Index> live;
  std::vector<MatrixXd> scatter;
  ArrayXd scale = ArrayXd::Zero(num_columns);
  double total = 0;
  for (Index k = 0; k < num_components; ++k) {
    if (!(exponents_of_all(k) > 0)) continue;
    MatrixXd w = scatter_of(k);
    w.diagonal().array() += lift * exponents_of_all(k);
    if (!(w.trace() > 0)) continue;
    live.push_back(k);
    scale += w.diagonal().array().max(0.0);
    total += exponents_of_all(k);
    scatter.push_back(std::move(w));
  }
  scale /= total;
  double smallest = std::numeric_limits<double>::infinity();
  for (const double s : scale) smallest = s > 0 ? std::min(smallest, s) : smallest;
  for (double& s : scale) s = std::sqrt(s > 0 ? s : std::max(kNegligible * smallest, 1e-290));
  MatrixXd pooled = MatrixXd::Zero(num_columns, num_columns);
  for (MatrixXd& w : scatter) {
    w = (scale.inverse().matrix().asDiagonal() * w * scale.inverse().matrix().asDiagonal()).eval();
    pooled += w / total;
  }
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(pooled);
  ArrayXd variances = solver.eigenvalues().array();
  const double least = 16 * num_columns * kEpsilon;
  if (!(variances.minCoeff() > least)) {  // no component tells the shape along some axis
    for (MatrixXd& w : scatter) {
      const double added = least * std::max(w.trace() / num_columns, kNegligible);
      w.diagonal().array() += added;
      variances += added / total;
    }
    variances = variances.max(kEpsilon);
  }
  const MatrixXd whiten = solver.eigenvectors() * variances.sqrt().inverse().matrix().asDiagonal();
  ArrayXd exponents(static_cast<Index>(live.size())), size(exponents.size());
  for (size_t i = 0; i < live.size(); ++i) {
    if (stop.stop_requested()) return absl::CancelledError("stop was requested");
    const auto row = static_cast<Index>(i);
    exponents(row) = exponents_of_all(live[i]);
    scatter[i] = (whiten.transpose() * scatter[i] * whiten).eval();
    size(row) = scatter[i].trace() / (num_columns * exponents(row));
    scatter[i] /= size(row);
  }
  const auto sum_at = [&](const VectorXd& x) {
    MatrixXd sum = MatrixXd::Zero(num_columns, num_columns);
    for (size_t i = 0; i < scatter.size(); ++i) sum += std::exp(x(Index(i))) * scatter[i];
    return sum;
  };
  const VectorXd x = MaximizeVolumes(
      exponents, num_columns, [&](const VectorXd& at, MatrixXd& shares, VectorXd& traces) {
        shares.resize(exponents.size(), static_cast<Index>(num_columns) * num_columns);
        traces.resize(exponents.size());
        // Sums over a stop are thrown away below.
        const Eigen::LLT<MatrixXd> llt(sum_at(at));
        if (stop.stop_requested() || llt.info() != Eigen::Success) {
          return std::numeric_limits<double>::infinity();
        }
        for (size_t i = 0; i < scatter.size(); ++i) {
          const auto row = static_cast<Index>(i);
          MatrixXd share = llt.matrixL().solve(scatter[i]).transpose();
          llt.matrixL().solveInPlace(share);
          share *= std::exp(at(row));
          traces(row) = share.trace();
          shares.row(row) = share.reshaped().transpose();
        }
        return 2 * llt.matrixLLT().diagonal().array().log().sum();
      });
  if (stop.stop_requested()) return absl::CancelledError("stop was requested");
  const MatrixXd color =
      scale.matrix().asDiagonal() * solver.eigenvectors() * variances.sqrt().matrix().asDiagonal();
  Proportional fit;
  fit.matrix = color * (sum_at(x) / total) * color.transpose();
  const ArrayXd volumes = size * (-x.array()).exp();
  fit.volumes = ArrayXd::Constant(num_components, kNegligible * volumes.minCoeff());
  for (size_t i = 0; i < live.size(); ++i) fit.volumes(live[i]) = volumes(Index(i));
  for (Index k = 0; k < num_components; ++k) {
    if (exponents_of_all(k) > 0) continue;
    const auto own = LogDeterminantOf(current_of(k));
    const auto shape = LogDeterminantOf(fit.matrix);
    fit.volumes(k) = own && shape ? std::exp((*own - *shape) / num_columns)
                                  : current_of(k).trace() / fit.matrix.trace();
  }
  return fit;
}

}  // namespace emserve
