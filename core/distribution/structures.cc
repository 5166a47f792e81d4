#include "core/distribution/structures.h"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/distribution/orientation.h"
#include "core/distribution/proportional.h"
#include "core/distribution/spectra.h"
#include "core/numerics/cholesky.h"

namespace emserve {
namespace {

using Eigen::ArrayXd;
using Eigen::ArrayXXd;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Solver = Eigen::SelfAdjointEigenSolver<MatrixXd>;

constexpr double kNegligible = 1e-14;  // of a component's scatter, as in spectra.cc
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

absl::Status Cancelled() { return absl::CancelledError("stop was requested"); }

// Eigenvalues, ascending, without what is rounding.
ArrayXd EigenvaluesAboveRounding(const Solver& solver) {
  const ArrayXd values = solver.eigenvalues().array();
  const double largest = std::max(values.maxCoeff(), 0.0);
  return values.max(4 * kEpsilon * static_cast<double>(values.size()) * largest);
}

class Maximization {
 public:
  Maximization(const StructureProblem& problem, std::span<double> next)
      : problem_(problem),
        num_components_(problem.num_components),
        num_columns_(problem.num_columns),
        exponents_(Eigen::Map<const ArrayXd>(problem.exponents.data(), num_components_)),
        next_(next) {}

  absl::StatusOr<StructureResult> Diagonal(Structure structure) const {
    ArrayXXd scatter(num_components_, num_columns_);
    for (Index k = 0; k < num_components_; ++k) {
      const std::span<const double> from = exponents_(k) > 0 ? problem_.scatter : problem_.current;
      scatter.row(k) =
          Eigen::Map<const Eigen::RowVectorXd>(from.data() + k * num_columns_, num_columns_)
              .array()
              .max(0.0);
    }
    if (stopped()) return Cancelled();
    const Spectra spectra = structure == Structure::kVEI
                                ? SharedShapeSpectra(exponents_, scatter, problem_.floor)
                                : SharedVolumeSpectra(exponents_, scatter, problem_.floor);
    Eigen::Map<RowMajor>(next_.data(), num_components_, num_columns_) = spectra.variances;
    return StructureResult{.raised = spectra.raised, .loss = spectra.loss};
  }

  // EEV, VEV, EVV: the axes of a component are those of its scatter, the shorter the smaller,
  // whatever the eigenvalues are. Celeux & Govaert (1995), section 3.2.
  absl::StatusOr<StructureResult> OwnAxes(Structure structure) const {
    if (structure == Structure::kEVV) {
      const absl::StatusOr<bool> done = ScaleToSharedVolume();
      if (!done.ok()) return done.status();
      if (*done) return StructureResult{};
    }
    ArrayXXd scatter(num_components_, num_columns_);
    std::vector<MatrixXd> axes;
    for (Index k = 0; k < num_components_; ++k) {
      if (stopped()) return Cancelled();
      const Solver solver(exponents_(k) > 0 ? Scatter(k) : Current(k));
      scatter.row(k) = EigenvaluesAboveRounding(solver).transpose();
      axes.push_back(solver.eigenvectors());
    }
    const Spectra spectra =
        structure == Structure::kEEV   ? SharedSpectra(exponents_, scatter, problem_.floor)
        : structure == Structure::kVEV ? SharedShapeSpectra(exponents_, scatter, problem_.floor)
                                       : SharedVolumeSpectra(exponents_, scatter, problem_.floor);
    for (Index k = 0; k < num_components_; ++k) Write(k, axes[k], spectra.variances.row(k));
    return StructureResult{.raised = spectra.raised, .loss = spectra.loss};
  }

  absl::StatusOr<StructureResult> OneOrientation(Volume volume) const {
    std::vector<MatrixXd> scatter, current;
    std::vector<double> active_exponents;
    for (Index k = 0; k < num_components_; ++k) {
      if (!(exponents_(k) > 0)) continue;
      active_exponents.push_back(exponents_(k));
      scatter.push_back(Scatter(k));
    }
    const ArrayXd exponents = Eigen::Map<const ArrayXd>(
        active_exponents.data(), static_cast<Index>(active_exponents.size()));
    // The function's maximum given axes; nothing when stop is requested.
    const auto value_of = [&](const MatrixXd& axes) -> std::optional<double> {
      ArrayXXd along(exponents.size(), num_columns_);
      for (Index k = 0; k < exponents.size(); ++k) {
        if (stopped()) return std::nullopt;
        along.row(k) = ScatterAlong(axes, {&scatter[static_cast<size_t>(k)], 1}).row(0);
      }
      const Spectra spectra = volume == Volume::kShared
                                  ? SharedVolumeSpectra(exponents, along, problem_.floor)
                                  : FreeSpectra(exponents, along, problem_.floor);
      return SpectralObjective(exponents, along, spectra.variances);
    };
    // Begins with the best of: the axes now, those of all scatter, those of each component.
    absl::StatusOr<MatrixXd> axes = CurrentAxes();
    if (!axes.ok()) return axes.status();
    std::optional<double> highest = value_of(*axes);
    if (!highest) return Cancelled();
    MatrixXd pooled = MatrixXd::Zero(num_columns_, num_columns_);
    for (const MatrixXd& w : scatter) pooled += w;
    for (size_t i = 0; i <= scatter.size(); ++i) {
      if (stopped()) return Cancelled();
      const MatrixXd candidate = Solver(i == 0 ? pooled : scatter[i - 1]).eigenvectors();
      const std::optional<double> value = value_of(candidate);
      if (!value) return Cancelled();
      if (!(*value > *highest + 1e-9 * exponents.sum())) continue;
      highest = value;
      *axes = candidate;
    }
    axes = CommonAxes(volume, exponents, scatter, *axes, problem_.floor, problem_.stop);
    if (!axes.ok()) return axes.status();

    // Empty components come back in for what is their own.
    ArrayXXd along(num_components_, num_columns_);
    const ArrayXXd active = ScatterAlong(*axes, scatter);
    for (Index k = 0, row = 0; k < num_components_; ++k) {
      if (exponents_(k) > 0) {
        along.row(k) = active.row(row++);
      } else {
        along.row(k) = OwnVariances(k, *axes).transpose();
      }
    }
    const Spectra spectra = volume == Volume::kShared
                                ? SharedVolumeSpectra(exponents_, along, problem_.floor)
                                : FreeSpectra(exponents_, along, problem_.floor);
    for (Index k = 0; k < num_components_; ++k) Write(k, *axes, spectra.variances.row(k));
    return StructureResult{.raised = spectra.raised, .loss = spectra.loss};
  }

  // VEE: Sigma_k = lambda_k C.
  absl::StatusOr<StructureResult> OneShape() const {
    const auto fit_with = [this](double lift) {
      return FitProportional(
          exponents_, [this](Index k) { return Scatter(k); },
          [this](Index k) { return Current(k); }, num_columns_, lift, problem_.stop);
    };
    const absl::StatusOr<Proportional> first = fit_with(0);
    if (!first.ok()) return first.status();
    if (problem_.floor <= 0 || AboveFloor(*first)) {
      for (Index k = 0; k < num_components_; ++k) {
        WriteMatrix(k, first->volumes(k) * first->matrix);
      }
      return StructureResult{};
    }
    // As for a common shape in spectra.cc: raised one by one, or from scatter that is raised.
    const absl::StatusOr<Proportional> second = fit_with(problem_.floor);
    if (!second.ok()) return second.status();
    double before = 0;
    StructureResult result{.loss = std::numeric_limits<double>::infinity()};
    for (const Proportional* const fit : {&*first, &*second}) {
      if (stopped()) return Cancelled();
      const Solver solver(fit->matrix);
      const ArrayXd shape = EigenvaluesAboveRounding(solver);
      const ArrayXXd variances = (fit->volumes.matrix() * shape.matrix().transpose()).array();
      std::vector<MatrixXd> scatter;
      for (Index k = 0; k < num_components_; ++k) scatter.push_back(Scatter(k));
      const ArrayXXd along = ScatterAlong(solver.eigenvectors(), scatter);
      if (fit == &*first) {
        before = SpectralObjective(exponents_, along, variances);
        result.raised = std::max(0.0, problem_.floor - variances.minCoeff());
      }
      const ArrayXXd raised = variances.max(problem_.floor);
      const double loss = std::max(0.0, before - SpectralObjective(exponents_, along, raised));
      if (!(loss < result.loss)) continue;
      result.loss = loss;
      for (Index k = 0; k < num_components_; ++k) Write(k, solver.eigenvectors(), raised.row(k));
    }
    return result;
  }

  // The function grows without limit as the covariances shrink.
  StructureResult WithoutScatter() const {
    double raised = 0;
    const bool diagonal = next_.size() == static_cast<size_t>(num_components_) * num_columns_;
    for (Index k = 0; k < num_components_; ++k) {
      const double factor = exponents_(k) > 0 ? kNegligible : 1;
      if (diagonal) {
        for (Index i = k * num_columns_; i < (k + 1) * num_columns_; ++i) {
          const double variance = factor * problem_.current[i];
          next_[i] = std::max(variance, problem_.floor);
          raised = std::max(raised, next_[i] - variance);
        }
      } else {
        const Solver solver(factor * Current(k));
        const ArrayXd values = solver.eigenvalues().array().max(0.0);
        raised = std::max(raised, problem_.floor - values.minCoeff());
        Write(k, solver.eigenvectors(), values.max(problem_.floor).transpose());
      }
    }
    // Against current, for the maximum has no value.
    return {.raised = raised};
  }

 private:
  bool stopped() const { return problem_.stop.stop_requested(); }

  MatrixXd Symmetric(std::span<const double> matrices, Index k) const {
    const int64_t square = static_cast<int64_t>(num_columns_) * num_columns_;
    return Eigen::Map<const RowMajor>(matrices.data() + k * square, num_columns_, num_columns_)
        .selfadjointView<Eigen::Lower>();
  }
  MatrixXd Scatter(Index k) const { return Symmetric(problem_.scatter, k); }
  MatrixXd Current(Index k) const { return Symmetric(problem_.current, k); }

  void WriteMatrix(Index k, const MatrixXd& matrix) const {
    const int64_t square = static_cast<int64_t>(num_columns_) * num_columns_;
    Eigen::Map<RowMajor>(next_.data() + k * square, num_columns_, num_columns_) =
        0.5 * (matrix + matrix.transpose());
  }
  void Write(Index k, const MatrixXd& axes, const Eigen::ArrayXXd& variances) const {
    const VectorXd diagonal = variances.reshaped().matrix();
    WriteMatrix(k, axes * diagonal.asDiagonal() * axes.transpose());
  }

  // EVV from determinants alone, which unlike eigenvalues keep their digits if columns differ much
  // in scale: Sigma_k = lambda W_k / |W_k|^(1/D), lambda = sum_k |W_k|^(1/D) / sum_k e_k. False
  // where a scatter is singular or the floor is above.
  absl::StatusOr<bool> ScaleToSharedVolume() const {
    std::vector<double> log_volume(num_components_);
    double largest = -std::numeric_limits<double>::infinity();
    for (Index k = 0; k < num_components_; ++k) {
      if (stopped()) return Cancelled();
      const auto log_det = LogDeterminantOf(exponents_(k) > 0 ? Scatter(k) : Current(k));
      if (!log_det) return false;
      log_volume[k] = *log_det / num_columns_;
      if (exponents_(k) > 0) largest = std::max(largest, log_volume[k]);
    }
    double sum = 0;
    for (Index k = 0; k < num_components_; ++k) {
      if (exponents_(k) > 0) sum += std::exp(log_volume[k] - largest);
    }
    const double log_lambda = largest + std::log(sum / exponents_.sum());
    for (Index k = 0; k < num_components_; ++k) {
      const MatrixXd matrix =
          std::exp(log_lambda - log_volume[k]) * (exponents_(k) > 0 ? Scatter(k) : Current(k));
      if (problem_.floor > 0 && !IsAboveFloor(matrix)) return false;
      WriteMatrix(k, matrix);
    }
    return true;
  }

  bool IsAboveFloor(const MatrixXd& matrix) const {
    const MatrixXd above = matrix - problem_.floor * MatrixXd::Identity(num_columns_, num_columns_);
    std::vector<double> cholesky(above.size());
    return Cholesky(std::span(above.data(), above.size()), num_columns_, cholesky);
  }
  bool AboveFloor(const Proportional& fit) const {
    return IsAboveFloor(fit.volumes.minCoeff() * fit.matrix);
  }

  // Variances of an empty component, in the order that fits `axes` best.
  ArrayXd OwnVariances(Index k, const MatrixXd& axes) const {
    const MatrixXd current = Current(k);
    const ArrayXd values = EigenvaluesAboveRounding(Solver(current));
    const ArrayXXd along = ScatterAlong(axes, {&current, 1});
    std::vector<Index> order(num_columns_);
    for (Index d = 0; d < num_columns_; ++d) order[d] = d;
    std::sort(order.begin(), order.end(),
              [&](Index a, Index b) { return along(0, a) < along(0, b); });
    ArrayXd own(num_columns_);
    for (Index d = 0; d < num_columns_; ++d) own(order[d]) = values(d);
    return own;
  }

  // The axes that all current covariances have in common, or nearly have.
  absl::StatusOr<MatrixXd> CurrentAxes() const {
    std::vector<MatrixXd> current;
    MatrixXd mixed = MatrixXd::Zero(num_columns_, num_columns_);
    for (Index k = 0; k < num_components_; ++k) {
      MatrixXd matrix = Current(k);
      const double trace = matrix.trace();
      if (!(trace > 0)) continue;
      matrix /= trace;
      // Unequal weights, lest axes that components tell apart look alike in the sum.
      mixed += (1 + std::fmod(0.618033988749895 * static_cast<double>(k + 1), 1.0)) * matrix;
      current.push_back(std::move(matrix));
    }
    MatrixXd axes = Solver(mixed).eigenvectors();
    if (current.size() < 2) return axes;
    const ArrayXd ones = ArrayXd::Ones(static_cast<Index>(current.size()));
    return CommonAxes(Volume::kFree, ones, current, std::move(axes), 0, problem_.stop);
  }

  const StructureProblem& problem_;
  const int num_components_;
  const int num_columns_;
  const ArrayXd exponents_;
  const std::span<double> next_;
};

absl::Status CheckFinite(const char* name, std::span<const double> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, "[", i, "]: got ", values[i], ", must be finite"));
    }
  }
  return absl::OkStatus();
}

// Whether any component that takes part has scatter.
bool HasScatter(Structure structure, const StructureProblem& problem) {
  const int64_t dims = problem.num_columns;
  const int64_t size = IsDiagonal(structure) ? dims : dims * dims;
  const int64_t step = IsDiagonal(structure) ? 1 : dims + 1;
  for (int64_t k = 0; k < problem.num_components; ++k) {
    if (!(problem.exponents[k] > 0)) continue;
    for (int64_t i = k * size; i < (k + 1) * size; i += step) {
      if (problem.scatter[i] > 0) return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<StructureResult> MaximizeStructure(Structure structure,
                                                  const StructureProblem& problem,
                                                  std::span<double> next) {
  if (problem.stop.stop_requested()) return Cancelled();
  if (absl::Status s = CheckFinite("exponents", problem.exponents); !s.ok()) return s;
  if (absl::Status s = CheckFinite("scatter", problem.scatter); !s.ok()) return s;
  if (absl::Status s = CheckFinite("current", problem.current); !s.ok()) return s;
  if (std::none_of(problem.exponents.begin(), problem.exponents.end(),
                   [](double e) { return e > 0; })) {
    std::copy(problem.current.begin(), problem.current.end(), next.begin());
    return StructureResult{};
  }
  const Maximization maximization(problem, next);
  if (!HasScatter(structure, problem)) return maximization.WithoutScatter();
  switch (structure) {
    case Structure::kVEI:
    case Structure::kEVI:
      return maximization.Diagonal(structure);
    case Structure::kVEE:
      return maximization.OneShape();
    case Structure::kEVE:
      return maximization.OneOrientation(Volume::kShared);
    case Structure::kVVE:
      return maximization.OneOrientation(Volume::kFree);
    case Structure::kEEV:
    case Structure::kVEV:
    case Structure::kEVV:
      return maximization.OwnAxes(structure);
  }
  return absl::InternalError("a structure that is not in the list");
}

absl::Status MaximizeStructure(Structure structure, const StructureProblem& problem,
                               std::span<double> next, std::vector<Repair>& repairs) {
  const absl::StatusOr<StructureResult> result = MaximizeStructure(structure, problem, next);
  if (!result.ok()) return result.status();
  if (result->raised > 0) {
    repairs.push_back({.reason = kVarianceFloored,
                       .component = -1,
                       .amount = result->raised,
                       .rounding = result->loss});
  }
  return absl::OkStatus();
}

}  // namespace emserve
