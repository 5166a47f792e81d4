#include "core/distribution/orientation.h"

#include <Eigen/Eigenvalues>
#include <Eigen/Jacobi>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "core/distribution/spectra.h"

namespace emserve {
namespace {

using Eigen::ArrayXd;
using Eigen::ArrayXXd;
using Eigen::Index;
using Eigen::MatrixXd;

// Sweeps at most: the next maximisation goes on from here.
constexpr Index kMaxSweeps = 50;
constexpr Index kMaxSweepColumns = 40000;  // sweeps times columns; seconds
constexpr int kAnglesPerPair = 8;     // tried in the first sweep, for the function has local maxima
constexpr int kTurnsPerPair = 6;      // closed-form angles before the next pair
constexpr double kConverged = 1e-20;  // gain of a sweep, nats per unit of exponent
constexpr double kRounding = 1e-13;   // gains below are rounding unless they keep falling
constexpr double kNegligible = 1e-14;  // of a component's scatter

// One component in the plane of two axes.
struct Plane {
  double mean = 0, half = 0, cross = 0;  // w_p + w_q = 2 mean, w_p - w_q = 2 half, w_pq = cross
  double p = 0, q = 0;                   // variances along the axes
};

class Pair {
 public:
  Pair(Volume volume, const ArrayXd& exponents, const ArrayXd& least, double floor)
      : volume_(volume),
        exponents_(exponents),
        least_(least),
        floor_(floor),
        planes_(exponents.size()) {}

  void Read(const std::vector<MatrixXd>& factors, const ArrayXXd& along, const ArrayXXd& variances,
            Index p, Index q) {
    for (size_t k = 0; k < planes_.size(); ++k) {
      const auto row = static_cast<Index>(k);
      planes_[k] = {.mean = 0.5 * (along(row, p) + along(row, q)),
                    .half = 0.5 * (along(row, p) - along(row, q)),
                    .cross = factors[k].col(p).dot(factors[k].col(q)),
                    .p = variances(row, p),
                    .q = variances(row, q)};
    }
  }
  void WriteVariances(ArrayXXd& variances, Index p, Index q) const {
    for (size_t k = 0; k < planes_.size(); ++k) {
      variances(static_cast<Index>(k), p) = planes_[k].p;
      variances(static_cast<Index>(k), q) = planes_[k].q;
    }
  }

  // The variances that are best once the axes are turned by half of `angle`, and
  // sum_k e_k log det + tr there.
  double Turn(double angle) {
    const double cosine = std::cos(angle), sine = std::sin(angle);
    double cost = 0;
    for (size_t k = 0; k < planes_.size(); ++k) {
      Plane& plane = planes_[k];
      const auto row = static_cast<Index>(k);
      const double swing = plane.half * cosine + plane.cross * sine;
      const double p = std::max(plane.mean + swing, least_(row));
      const double q = std::max(plane.mean - swing, least_(row));
      if (volume_ == Volume::kFree) {
        plane.p = std::max(p / exponents_(row), floor_);
        plane.q = std::max(q / exponents_(row), floor_);
        cost += exponents_(row) * (std::log(plane.p) + std::log(plane.q));
      } else {  // their product is what the common volume leaves to the two
        const double root_p = std::sqrt(plane.p) * std::sqrt(plane.q);
        const double ratio = std::sqrt(p / q);
        const double most = floor_ > 0 ? std::max(1.0, root_p / floor_) : ratio + 1 / ratio;
        const double spread = std::clamp(ratio, 1 / most, most);
        plane.p = root_p * spread;
        plane.q = root_p / spread;
      }
      cost += p / plane.p + q / plane.q;
    }
    return cost;
  }

  // The best angle for the variances as they are, and in `gain` what it gains in nats over `angle`.
  double BestAngle(double angle, double& gain) const {
    double a = 0, b = 0;
    for (const Plane& plane : planes_) {
      const double contrast = 1 / plane.p - 1 / plane.q;
      a += contrast * plane.half;
      b += contrast * plane.cross;
    }
    const double size = std::hypot(a, b);
    gain = 0;
    if (!(size > 0)) return angle;
    const double along = a * std::cos(angle) + b * std::sin(angle);
    const double across = b * std::cos(angle) - a * std::sin(angle);
    // Half of size + along, without cancellation.
    gain = 0.5 * (along < 0 ? across * (across / (size - along)) : size + along);
    return std::atan2(-b, -a);
  }

 private:
  const Volume volume_;
  const ArrayXd& exponents_;
  const ArrayXd& least_;
  const double floor_;
  std::vector<Plane> planes_;
};

// F [rank x D] with F^T F = axes^T scatter axes, without what is rounding.
MatrixXd Factor(const MatrixXd& scatter, const MatrixXd& axes) {
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(scatter);
  const ArrayXd values = solver.eigenvalues().array();
  const double rounding = 4 * std::numeric_limits<double>::epsilon() *
                          static_cast<double>(values.size()) * values.maxCoeff();
  const Index rank = std::max<Index>(1, (values > rounding).count());  // they ascend
  return values.tail(rank).max(0.0).sqrt().matrix().asDiagonal() *
         (solver.eigenvectors().rightCols(rank).transpose() * axes);
}

}  // namespace

ArrayXXd ScatterAlong(const MatrixXd& axes, std::span<const MatrixXd> scatter) {
  ArrayXXd along(static_cast<Index>(scatter.size()), axes.cols());
  for (size_t k = 0; k < scatter.size(); ++k) {
    along.row(static_cast<Index>(k)) =
        axes.cwiseProduct(scatter[k] * axes).colwise().sum().array().max(0.0);
  }
  return along;
}

absl::StatusOr<MatrixXd> CommonAxes(Volume volume, const ArrayXd& exponents,
                                    const std::vector<MatrixXd>& scatter, MatrixXd axes,
                                    double floor, const std::stop_token& stop) {
  const Index dims = axes.cols();
  const double total = exponents.sum();
  ArrayXd least(exponents.size());
  // Columns of a factor are turned, not rows and columns of the scatter: half the work, all of it
  // on adjacent numbers, and small variances keep their digits.
  std::vector<MatrixXd> factors;
  for (size_t k = 0; k < scatter.size(); ++k) {
    if (stop.stop_requested()) return absl::CancelledError("stop was requested");
    factors.push_back(Factor(scatter[k], axes));
    least(static_cast<Index>(k)) =
        std::max(kNegligible * scatter[k].diagonal().cwiseAbs().maxCoeff(), 1e-300);
  }
  Pair pair(volume, exponents, least, floor);
  const double skipped = kConverged * total / static_cast<double>(dims * dims);
  double last_gain = std::numeric_limits<double>::infinity();
  const Index max_sweeps = std::min(kMaxSweeps, kMaxSweepColumns / dims);
  for (Index sweep = 0; sweep < max_sweeps; ++sweep) {
    ArrayXXd along(exponents.size(), dims);
    for (Index k = 0; k < exponents.size(); ++k) {
      along.row(k) = factors[k].colwise().squaredNorm().array().max(least(k));
    }
    ArrayXXd variances = volume == Volume::kShared
                             ? SharedVolumeSpectra(exponents, along, floor).variances
                             : FreeSpectra(exponents, along, floor).variances;
    double swept = 0;
    for (Index p = 0; p < dims; ++p) {
      if (stop.stop_requested()) return absl::CancelledError("stop was requested");
      for (Index q = p + 1; q < dims; ++q) {
        pair.Read(factors, along, variances, p, q);
        double angle = 0;
        double gain = 0;
        if (sweep == 0) {
          const double cost = pair.Turn(0);
          double lowest = cost;
          for (int i = 1; i < kAnglesPerPair; ++i) {
            const double other = std::numbers::pi * i / kAnglesPerPair;
            const double there = pair.Turn(other);
            if (!(there < lowest - 1e-9 * total)) continue;
            lowest = there;
            angle = other;
          }
          pair.Turn(angle);
          gain = 0.5 * (cost - lowest);
        }
        for (int turn = 0; turn < kTurnsPerPair; ++turn) {
          double turned = 0;
          const double best = pair.BestAngle(angle, turned);
          if (!(turned > skipped)) break;
          gain += turned;
          angle = best;
          pair.Turn(angle);
        }
        if (!(gain > skipped)) continue;
        swept += gain;
        const Eigen::JacobiRotation<double> rotation(std::cos(angle / 2), -std::sin(angle / 2));
        for (Index k = 0; k < exponents.size(); ++k) {
          MatrixXd& factor = factors[k];
          factor.applyOnTheRight(p, q, rotation);
          along(k, p) = std::max(factor.col(p).squaredNorm(), least(k));
          along(k, q) = std::max(factor.col(q).squaredNorm(), least(k));
        }
        axes.applyOnTheRight(p, q, rotation);
        pair.WriteVariances(variances, p, q);
      }
    }
    if (swept <= kConverged * total) break;
    if (swept <= kRounding * total && swept > 0.98 * last_gain) break;
    last_gain = swept;
  }
  const Eigen::HouseholderQR<MatrixXd> qr(axes);  // many rotations round
  return MatrixXd(qr.householderQ());
}

}  // namespace emserve
