#include "core/distribution/spectra.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace emserve {
namespace {

using Eigen::ArrayXd;
using Eigen::ArrayXXd;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

// Less than this of a component's scatter counts as this much.
constexpr double kNegligible = 1e-14;
constexpr double kSingular = 1e-13;  // of a component's largest

// Scatter of a typical component along each column, so that columns may differ in their units.
ArrayXd ColumnScales(const ArrayXd& exponents, const ArrayXXd& scatter) {
  ArrayXd scale = ArrayXd::Zero(scatter.cols());
  for (Index k = 0; k < scatter.rows(); ++k) {
    if (exponents(k) > 0) scale += scatter.row(k).transpose();
  }
  scale /= exponents.sum();
  double smallest = std::numeric_limits<double>::infinity();
  for (const double s : scale) smallest = s > 0 ? std::min(smallest, s) : smallest;
  for (double& s : scale) s = s > 0 ? s : std::max(kNegligible * smallest, 1e-290);
  return scale;
}

ArrayXXd Positive(const ArrayXd& exponents, const ArrayXXd& scatter) {
  const ArrayXd scale = ColumnScales(exponents, scatter);
  ArrayXXd positive(scatter.rows(), scatter.cols());
  for (Index k = 0; k < scatter.rows(); ++k) {
    const ArrayXd relative = scatter.row(k).transpose() / scale;
    const double largest = relative.maxCoeff();
    const double least =
        kNegligible * (largest > 0 ? largest : (exponents(k) > 0 ? exponents(k) : 1));
    positive.row(k) = (relative.max(least) * scale).max(1e-300).transpose();
  }
  return positive;
}

Spectra Floored(const ArrayXd& exponents, const ArrayXXd& scatter, const ArrayXXd& before,
                const ArrayXXd& after, double floor) {
  return {.variances = after,
          .raised = std::max(0.0, floor - before.minCoeff()),
          .loss = std::max(0.0, SpectralObjective(exponents, scatter, before) -
                                    SpectralObjective(exponents, scatter, after))};
}

// log nu and the number of free variances of v_d = max(w_d / nu, floor) with the given volume.
struct Level {
  double log_nu = 0;
  Index free = 0;
};
Level FillToVolume(const ArrayXd& log_scatter, double log_floor, double log_volume) {
  // `log_scatter` descends; the floor holds for the last ones.
  const Index dims = log_scatter.size();
  double sum = log_scatter.sum() - log_volume;
  for (Index free = dims; free > 0; --free) {
    const double log_nu = sum / static_cast<double>(free);
    const double last = log_scatter(free - 1);
    if (free == 1 || last - log_nu >= log_floor) return {.log_nu = log_nu, .free = free};
    sum += log_floor - last;
  }
  return {};
}

// The volume is where  sum_k nu_k = sum_k e_k : a unit of log volume costs e_k in -log det and
// spares nu_k in the trace. Without floor nu_k = (prod_d w_kd)^(1/D) / lambda.
ArrayXXd SharedVolume(const ArrayXd& exponents, const ArrayXXd& scatter, double floor) {
  const auto dims = static_cast<double>(scatter.cols());
  const double log_floor = std::log(floor);
  const double log_exponent = std::log(exponents.sum());
  std::vector<ArrayXd> sorted;  // logarithms of the rows that take part
  for (Index k = 0; k < scatter.rows(); ++k) {
    if (!(exponents(k) > 0)) continue;
    sorted.emplace_back(scatter.row(k).transpose().log());
    std::sort(sorted.back().begin(), sorted.back().end(), std::greater<>());
  }
  double top = -std::numeric_limits<double>::infinity();
  for (const ArrayXd& row : sorted) top = std::max(top, row.mean());
  double sum = 0;
  for (const ArrayXd& row : sorted) sum += std::exp(row.mean() - top);
  double log_volume = dims * (top + std::log(sum) - log_exponent);
  if (floor > 0) {
    // The logarithm of sum_k nu_k is convex and falls with the volume, so Newton's method comes
    // from the left.
    log_volume = std::max(log_volume, dims * log_floor);
    for (int i = 0; i < 200; ++i) {
      double largest = -std::numeric_limits<double>::infinity();
      std::vector<Level> levels;
      for (const ArrayXd& row : sorted) {
        levels.push_back(FillToVolume(row, log_floor, log_volume));
        largest = std::max(largest, levels.back().log_nu);
      }
      double total = 0, slope = 0;
      for (const Level& level : levels) {
        const double nu = std::exp(level.log_nu - largest);
        total += nu;
        slope += nu / static_cast<double>(level.free);
      }
      const double step = (largest + std::log(total) - log_exponent) * total / slope;
      if (!(step > 4 * std::numeric_limits<double>::epsilon() * (1 + std::abs(log_volume)))) break;
      log_volume += step;
    }
  }
  ArrayXXd variances(scatter.rows(), scatter.cols());
  for (Index k = 0, row = 0; k < scatter.rows(); ++k) {
    const ArrayXd logs = scatter.row(k).transpose().log();
    const double log_nu = exponents(k) > 0
                              ? FillToVolume(sorted[row++], log_floor, log_volume).log_nu
                              : logs.mean() - log_volume / dims;
    variances.row(k) = (logs - log_nu).exp().max(floor).transpose();
  }
  return variances;
}

ArrayXXd SharedShape(const ArrayXd& exponents, const ArrayXXd& scatter) {
  const ArrayXXd positive = Positive(exponents, scatter);
  const Index dims = scatter.cols();
  const ArrayXd scale = ColumnScales(exponents, positive);
  // Rows of zeros say nothing about the shape.
  std::vector<Index> live;
  for (Index k = 0; k < scatter.rows(); ++k) {
    if (exponents(k) > 0 && scatter.row(k).maxCoeff() > 0) live.push_back(k);
  }
  const auto num_live = static_cast<Index>(live.size());
  ArrayXd weight(num_live), size(num_live);
  MatrixXd relative(num_live, dims);
  for (Index i = 0; i < num_live; ++i) {
    weight(i) = exponents(live[i]);
    const ArrayXd row = positive.row(live[i]).transpose() / scale;
    size(i) = row.mean() / weight(i);
    relative.row(i) = (row / size(i)).matrix().transpose();
  }
  VectorXd sums(dims);
  const VectorXd x = MaximizeVolumes(weight, static_cast<int>(dims),
                                     [&](const VectorXd& at, MatrixXd& shares, VectorXd& traces) {
                                       shares = at.array().exp().matrix().asDiagonal() * relative;
                                       sums = shares.colwise().sum().transpose();
                                       shares = (shares * sums.cwiseInverse().asDiagonal()).eval();
                                       traces = shares.rowwise().sum();
                                       return sums.array().log().sum();
                                     });
  sums = relative.transpose() * x.array().exp().matrix();
  const ArrayXd shape = sums.array() / weight.sum() * scale;
  const ArrayXd volume = size * (-x.array()).exp();
  ArrayXXd variances(scatter.rows(), dims);
  for (Index k = 0, i = 0; k < scatter.rows(); ++k) {
    double factor = kNegligible * volume.minCoeff();
    if (i < num_live && live[i] == k) {
      factor = volume(i++);
    } else if (!(exponents(k) > 0)) {
      factor = std::exp(positive.row(k).log().mean() - shape.log().mean());
    }
    variances.row(k) = (factor * shape).max(1e-300).transpose();
  }
  return variances;
}

}  // namespace

double SpectralObjective(const ArrayXd& exponents, const ArrayXXd& scatter,
                         const ArrayXXd& variances) {
  double sum = 0;
  for (Index k = 0; k < scatter.rows(); ++k) {
    if (!(exponents(k) > 0)) continue;
    sum -= 0.5 * (exponents(k) * variances.row(k).log() + scatter.row(k) / variances.row(k)).sum();
  }
  return sum;
}

Spectra FreeSpectra(const ArrayXd& exponents, const ArrayXXd& scatter, double floor) {
  ArrayXXd free = Positive(exponents, scatter);
  for (Index k = 0; k < scatter.rows(); ++k) {
    if (exponents(k) > 0) free.row(k) /= exponents(k);
  }
  if (free.minCoeff() >= floor) return {.variances = std::move(free)};
  return Floored(exponents, scatter, free, free.max(floor), floor);
}

Spectra SharedSpectra(const ArrayXd& exponents, const ArrayXXd& scatter, double floor) {
  const ArrayXXd shared =
      ColumnScales(exponents, scatter).transpose().replicate(scatter.rows(), 1).eval();
  if (shared.minCoeff() >= floor) return {.variances = shared};
  return Floored(exponents, scatter, shared, shared.max(floor), floor);
}

Spectra SharedVolumeSpectra(const ArrayXd& exponents, const ArrayXXd& scatter, double floor) {
  const ArrayXXd positive = Positive(exponents, scatter);
  ArrayXXd before = SharedVolume(exponents, positive, 0);
  Spectra spectra =
      before.minCoeff() >= floor
          ? Spectra{.variances = std::move(before)}
          : Floored(exponents, scatter, before, SharedVolume(exponents, positive, floor), floor);
  // The common volume gives a component without scatter in some direction a variance there that
  // nothing but rounding decides.
  for (Index k = 0; k < scatter.rows(); ++k) {
    if (!(exponents(k) > 0)) continue;
    const double least = kSingular * scatter.row(k).maxCoeff();
    for (Index d = 0; d < scatter.cols(); ++d) {
      if (scatter(k, d) > least) continue;
      spectra.raised = std::max(spectra.raised, spectra.variances(k, d));
    }
  }
  return spectra;
}

Spectra SharedShapeSpectra(const ArrayXd& exponents, const ArrayXXd& scatter, double floor) {
  ArrayXXd before = SharedShape(exponents, scatter);
  if (before.minCoeff() >= floor) return {.variances = std::move(before)};
  Spectra raised = Floored(exponents, scatter, before, before.max(floor), floor);
  // A component without scatter along an axis can drive that axis to nothing and others to
  // infinity. Scatter that is itself raised to the floor prevents it.
  const ArrayXXd lifted = scatter.max((floor * exponents).replicate(1, scatter.cols()));
  const Spectra other =
      Floored(exponents, scatter, before, SharedShape(exponents, lifted).max(floor), floor);
  return other.loss < raised.loss ? other : raised;
}

VectorXd MaximizeVolumes(const ArrayXd& exponents, int dims, LogDeterminant log_determinant) {
  const Index size = exponents.size();
  const double total = exponents.sum();
  const VectorXd wanted = dims * exponents.matrix() / total;  // tr M_k at the maximum
  VectorXd x = VectorXd::Zero(size);
  if (size == 1) return x;
  MatrixXd shares, new_shares;
  VectorXd traces, new_traces;
  double value = log_determinant(x, shares, traces);
  if (!std::isfinite(value)) return x;
  double last_error = std::numeric_limits<double>::infinity();
  for (int iteration = 0; iteration < 200; ++iteration) {
    const VectorXd gradient = traces - wanted;
    const double error = (gradient.array() / wanted.array()).abs().maxCoeff();
    if (!(error > 1e-13) || (error < 1e-9 && error > 0.5 * last_error)) break;
    last_error = error;
    // Hessian diag(t) - F F^T, scaled by t^-1/2 on both sides, so that small components count. Its
    // null vector t^1/2, a common factor of all volumes, is filled in.
    const VectorXd root = traces.cwiseSqrt();
    const MatrixXd scaled = root.cwiseInverse().asDiagonal() * shares;
    MatrixXd hessian = -scaled * scaled.transpose();
    hessian += root * root.transpose() / root.squaredNorm();
    hessian.diagonal().array() += 1 + 1e-10;
    VectorXd step = -hessian.ldlt().solve(gradient.cwiseQuotient(root)).cwiseQuotient(root);
    step *= std::min(1.0, 4 / step.cwiseAbs().maxCoeff());
    const double slope = gradient.dot(step);
    if (!(slope < 0)) break;
    const double rounding = 64 * std::numeric_limits<double>::epsilon() *
                            (std::abs(value) + wanted.dot(x.cwiseAbs()) + dims);
    bool lower = false;
    for (int halving = 0; halving < 40 && !lower; ++halving, step *= 0.5) {
      const VectorXd there = x + step;
      const double new_value = log_determinant(there, new_shares, new_traces);
      const double change = new_value - value - wanted.dot(step);
      if (!(change <= 1e-4 * gradient.dot(step) + rounding)) continue;
      lower = true;
      x = there;
      value = new_value;
      shares.swap(new_shares);
      traces.swap(new_traces);
      break;
    }
    if (!lower) break;
  }
  // Volumes exactly as they follow from the shape, also those of components with little weight.
  return x + (wanted.array() / traces.array()).log().matrix();
}

}  // namespace emserve
