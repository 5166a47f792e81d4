// Covariance matrices: one per component or one in all, or with shared parts.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/components.h"
#include "core/distribution/covariance.h"
#include "core/distribution/structures.h"
#include "core/em/scratch.h"
#include "core/numerics/cholesky.h"
#include "core/numerics/conditional.h"
#include "core/numerics/factors.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

// Symmetry of a given matrix may be off by this much, relative to the variances: it may have been
// written as text.
constexpr double kSymmetryTolerance = 1e-8;

std::optional<Structure> IteratedStructure(Covariance structure) {
  switch (structure) {
    case Covariance::kVEE:
      return Structure::kVEE;
    case Covariance::kEVE:
      return Structure::kEVE;
    case Covariance::kVVE:
      return Structure::kVVE;
    case Covariance::kEEV:
      return Structure::kEEV;
    case Covariance::kVEV:
      return Structure::kVEV;
    case Covariance::kEVV:
      return Structure::kEVV;
    default:
      return std::nullopt;
  }
}

// Whether free coordinates of the structure are eigenvalues, with the orientation held, instead of
// the factors of S = N diag(exp h) N^T with N unit lower triangular. A shared volume is a constant
// sum of h, a shared shape and orientation are a common N and h up to a constant: linear, so
// extrapolations keep them. With a shared shape or orientation alone only eigenvalues are linear.
bool HoldsOrientation(Covariance structure) {
  return structure == Covariance::kEVE || structure == Covariance::kVVE ||
         structure == Covariance::kEEV || structure == Covariance::kVEV;
}

class MatricesPrepared final : public Covariances::Prepared {
 public:
  MatricesPrepared(int num_components, int num_matrices, int num_columns)
      : means(static_cast<size_t>(num_components) * num_columns),
        whitening(static_cast<size_t>(num_matrices) * num_columns * num_columns),
        covariances(whitening.size()),
        log_determinants(num_matrices) {}

  std::vector<double> means;             // [K, D]
  std::vector<double> whitening;         // [matrices, D, D] L^-1, lower triangle
  std::vector<double> covariances;       // [matrices, D, D]
  std::vector<double> log_determinants;  // [matrices]
};

class MatricesWorkspace final : public Covariances::MissingWorkspace {
 public:
  MatricesWorkspace(int max_rows, int num_columns)
      : rows(static_cast<int64_t>(num_columns) * PaddedRows(max_rows)),
        scratch((num_columns + 1LL) * PaddedRows(max_rows)),
        squares(PaddedRows(max_rows)),
        mean(num_columns) {}

  ConditionalGaussian conditional;
  Scratch rows;     // [observed x stride] observed cells of the rows of one pattern
  Scratch scratch;  // of the kernel
  Scratch squares;  // [stride]
  std::vector<double> mean;
};

const MatricesPrepared& Cast(const Covariances::Prepared& prepared) {
  return static_cast<const MatricesPrepared&>(prepared);
}
MatricesWorkspace& Cast(Covariances::MissingWorkspace& workspace) {
  return static_cast<MatricesWorkspace&>(workspace);
}

class Matrices final : public Covariances {
 public:
  Matrices(Covariance structure, int num_components, int num_columns, VarianceFloor floor)
      : structure_(IteratedStructure(structure)),
        holds_orientation_(HoldsOrientation(structure)),
        num_components_(num_components),
        num_columns_(num_columns),
        shared_(structure == Covariance::kTied),
        num_matrices_(shared_ ? 1 : num_components),
        floor_(std::move(floor)),
        // A size that nobody can mean is refused by num_parameters().
        constraints_(static_cast<int64_t>(std::min(Matrices::num_parameters(), kMaxParameters))) {
    if (!structure_) return;
    floor_.variances.assign(num_columns_, floor_.smallest_variance());
  }

  double num_parameters() const override {
    return static_cast<double>(num_matrices_) * num_columns_ * num_columns_;
  }
  int64_t degrees_of_freedom(const std::vector<bool>& active) const override {
    if (structure_) {
      return StructureParameters(*structure_, static_cast<int>(NumActive(active)), num_columns_);
    }
    std::vector<char> counts(num_matrices_);  // by leader
    for (int k = 0; k < num_components_; ++k) {
      const int m = MatrixOf(k);
      if (active[k] && !IsFixed(m)) counts[Leader(m)] = true;
    }
    const int64_t num_free = std::count(counts.begin(), counts.end(), true);
    return num_free * num_columns_ * (num_columns_ + 1) / 2;
  }
  int64_t scratch_per_row() const override { return static_cast<int64_t>(num_columns_) + 1; }

  void AddParameters(Layout& parameters) const override {
    parameters.Add("covariances", Shape(), !shared_);
  }
  void AddStatistics(Layout& statistics) const override { statistics.Add("second", Shape()); }

  absl::Status Constrain(Constraints constraints) override {
    if (constraints.empty()) return absl::OkStatus();
    if (structure_) {
      return absl::InvalidArgumentError(
          absl::StrCat("constraints: got some on covariances of the structure ",
                       StructureName(*structure_), ", must be on full or tied ones"));
    }
    for (int m = 0; m < num_matrices_; ++m) {
      const int64_t begin = m * square();
      const int64_t leader = constraints.Leader(begin);
      for (int64_t i = 0; i < square(); ++i) {
        if (constraints.IsFixed(begin + i) != constraints.IsFixed(begin) ||
            constraints.Leader(begin + i) != leader + i) {
          return absl::InvalidArgumentError(absl::StrCat(
              "constraints: got some elements of ", Name(m),
              ", must be all of it fixed, or each tied to the same element of another matrix; "
              "single variances can be constrained with a diagonal covariance"));
        }
      }
    }
    std::vector<double> fixed(num_matrices_ * square());
    Reference(std::vector<double>(num_columns_, 1.0), fixed);
    constraints.Apply(fixed);
    if (absl::Status status = Validate(fixed); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("constraints: fixed ", std::string(status.message())));
    }
    constraints_ = std::move(constraints);
    return absl::OkStatus();
  }

  absl::Status Validate(std::span<const double> params) const override {
    std::vector<double> cholesky(square());
    for (int m = 0; m < num_matrices_; ++m) {
      const std::span<const double> matrix = params.subspan(m * square(), square());
      for (int64_t i = 0; i < square(); ++i) {
        if (!std::isfinite(matrix[i])) {
          return absl::InvalidArgumentError(
              absl::StrCat(Name(m, i / num_columns_, i % num_columns_), ": got ", matrix[i],
                           ", must be finite"));
        }
      }
      for (int64_t a = 0; a < num_columns_; ++a) {
        for (int64_t b = 0; b < a; ++b) {
          const double below = matrix[a * num_columns_ + b];
          const double above = matrix[b * num_columns_ + a];
          const double size = std::sqrt(std::abs(matrix[a * (num_columns_ + 1)])) *
                              std::sqrt(std::abs(matrix[b * (num_columns_ + 1)]));
          if (!(std::abs(below - above) <= kSymmetryTolerance * size)) {
            return absl::InvalidArgumentError(absl::StrCat(
                Name(m, b, a), ": got ", above, ", must equal ", Name(m, a, b), " = ", below));
          }
        }
      }
      if (!Cholesky(matrix, num_columns_, cholesky)) {
        return absl::InvalidArgumentError(absl::StrCat(
            Name(m),
            ": got a matrix with an eigenvalue that is not positive, must be positive definite"));
      }
    }
    return absl::OkStatus();
  }

  void Reference(std::span<const double> variances, std::span<double> params) const override {
    std::fill(params.begin(), params.end(), 0.0);
    for (int m = 0; m < num_matrices_; ++m) {
      for (int d = 0; d < num_columns_; ++d) {
        params[m * square() + d * (num_columns_ + 1LL)] = variances[d];
      }
    }
    constraints_.Apply(params);
  }

  std::unique_ptr<Prepared> NewPrepared() const override {
    return std::make_unique<MatricesPrepared>(num_components_, num_matrices_, num_columns_);
  }
  std::unique_ptr<MissingWorkspace> NewMissingWorkspace(int max_rows) const override {
    return std::make_unique<MatricesWorkspace>(max_rows, num_columns_);
  }

  absl::Status Prepare(std::span<const double> means, std::span<const double> params,
                       Prepared& prepared) const override {
    auto& mine = static_cast<MatricesPrepared&>(prepared);
    std::copy(means.begin(), means.end(), mine.means.begin());
    std::copy(params.begin(), params.end(), mine.covariances.begin());
    for (int m = 0; m < num_matrices_; ++m) {
      const std::optional<double> log_determinant =
          InverseCholesky(params.subspan(m * square(), square()), num_columns_,
                          std::span(mine.whitening).subspan(m * square(), square()));
      if (!log_determinant) {
        return absl::FailedPreconditionError(
            absl::StrCat(Name(m),
                         ": got a matrix with an eigenvalue that is not positive, must be positive "
                         "definite; use a "
                         "ridge above 0, fewer components or a simpler covariance"));
      }
      mine.log_determinants[m] = *log_determinant;
    }
    return absl::OkStatus();
  }

  double LogDeterminant(const Prepared& prepared, int component) const override {
    return Cast(prepared).log_determinants[MatrixOf(component)];
  }

  void Squares(const Prepared& prepared, int component, const Block& block, double* scratch,
               double* squares) const override {
    WhitenedSquares(block.values, block.stride, num_columns_, Mean(Cast(prepared), component),
                    Cast(prepared).whitening.data() + MatrixOf(component) * square(), scratch,
                    squares);
  }

  void Accumulate(const Prepared& prepared, int component, const Block& block,
                  const double* responsibility, double* scratch, double* first,
                  std::span<double> scatter) const override {
    AddScatter(block.values, block.stride, num_columns_, Mean(Cast(prepared), component),
               responsibility, scratch, first, scatter.data() + MatrixOf(component) * square());
  }

  void ObservedSquares(const Prepared& prepared, int component, const Block& block,
                       const Patterns& patterns, MissingWorkspace& workspace, double* squares,
                       double* log_determinants) const override {
    MatricesWorkspace& work = Cast(workspace);
    std::fill_n(squares, block.stride, 0.0);
    std::fill_n(log_determinants, block.stride, 0.0);
    for (int p = 0; p < patterns.size(); ++p) {
      const std::span<const int> observed = patterns.observed(p);
      const std::span<const int> rows = patterns.rows(p);
      if (observed.empty()) continue;
      // A part of a positive definite matrix is one; Prepare has seen to the whole.
      if (!work.conditional.Factor(CovarianceOf(Cast(prepared), component), num_columns_,
                                   observed)) {
        for (const int i : rows) squares[i] = std::numeric_limits<double>::quiet_NaN();
        continue;
      }
      const int stride = PaddedRows(static_cast<int>(rows.size()));
      GatherObserved(block, observed, rows, stride, work.rows.data());
      for (size_t o = 0; o < observed.size(); ++o) {
        work.mean[o] = Mean(Cast(prepared), component)[observed[o]];
      }
      WhitenedSquares(work.rows.data(), stride, static_cast<int>(observed.size()), work.mean.data(),
                      work.conditional.inverse_factor().data(), work.scratch.data(),
                      work.squares.data());
      for (size_t j = 0; j < rows.size(); ++j) {
        squares[rows[j]] = work.squares[static_cast<int64_t>(j)];
        log_determinants[rows[j]] = work.conditional.log_determinant();
      }
    }
  }

  void Complete(const Prepared& prepared, int component, const Block& block,
                const Patterns& patterns, MissingWorkspace& workspace, double* completed,
                double* variance) const override {
    const int64_t size = static_cast<int64_t>(num_columns_) * block.stride;
    std::copy_n(block.values, size, completed);
    if (variance != nullptr) std::fill_n(variance, size, 0.0);
    const double* const mean = Mean(Cast(prepared), component);
    for (int p = 0; p < patterns.size(); ++p) {
      const std::span<const int> observed = patterns.observed(p);
      const std::span<const int> missing = patterns.missing(p);
      if (missing.empty()) continue;
      const ConditionalGaussian& conditional = Split(prepared, component, patterns, p, workspace);
      for (size_t m = 0; m < missing.size(); ++m) {
        const int64_t column = static_cast<int64_t>(missing[m]) * block.stride;
        const auto regression =
            conditional.regression().subspan(m * observed.size(), observed.size());
        for (const int i : patterns.rows(p)) {
          double value = mean[missing[m]];
          for (size_t o = 0; o < observed.size(); ++o) {
            value += regression[o] * (block.column(observed[o])[i] - mean[observed[o]]);
          }
          completed[column + i] = value;
          if (variance != nullptr) {
            variance[column + i] = conditional.covariance()[m * (missing.size() + 1)];
          }
        }
      }
    }
  }

  void AddConditional(const Prepared& prepared, int component, const Block&,
                      const Patterns& patterns, const double* responsibility,
                      MissingWorkspace& workspace, std::span<double> scatter) const override {
    double* const matrix = scatter.data() + MatrixOf(component) * square();
    for (int p = 0; p < patterns.size(); ++p) {
      const std::span<const int> missing = patterns.missing(p);
      double weight = 0;
      for (const int i : patterns.rows(p)) weight += responsibility[i];
      if (missing.empty() || weight == 0) continue;
      const ConditionalGaussian& conditional = Split(prepared, component, patterns, p, workspace);
      for (size_t a = 0; a < missing.size(); ++a) {
        for (size_t b = 0; b <= a; ++b) {
          matrix[static_cast<int64_t>(missing[a]) * num_columns_ + missing[b]] +=
              weight * conditional.covariance()[a * missing.size() + b];
        }
      }
    }
  }

  void AddOuter(int component, double coefficient, std::span<const double> v,
                std::span<double> scatter) const override {
    AddOuterTo(scatter.subspan(MatrixOf(component) * square(), square()), coefficient, v);
  }

  // Full and tied: Sigma = (scatter + scale) / (exponents + prior's) over the components that share
  // it, with the eigenvalues of D^-1/2 Sigma D^-1/2 raised to the floor, D the columns' variances.
  // That is the constrained maximum (Ingrassia & Rocci 2007, section 3).
  absl::Status Maximize(std::span<const double> exponents, std::span<const double> scatter,
                        const CovariancePrior* prior, std::span<const double> params,
                        std::span<double> next, const MaximizeContext& context) const override {
    if (structure_) return MaximizeIterated(exponents, scatter, prior, params, next, context);
    for (int m = 0; m < num_matrices_; ++m) {
      if (context.stop.stop_requested()) return absl::CancelledError("stop was requested");
      const std::span<double> matrix = next.subspan(m * square(), square());
      if (IsFixed(m)) {
        constraints_.Apply(next);
        continue;
      }
      if (Leader(m) != m) {
        std::copy_n(next.data() + Leader(m) * square(), square(), matrix.data());
        continue;
      }
      double weight = 0;
      std::fill(matrix.begin(), matrix.end(), 0.0);
      for (int member = m; member < num_matrices_; ++member) {
        const double exponent = Leader(member) == m ? ExponentOf(exponents, member) : 0;
        if (!(exponent > 0)) continue;
        weight += exponent;
        AddTo(matrix, scatter.subspan(member * square(), square()));
      }
      if (!(weight > 0)) {
        std::copy_n(params.data() + m * square(), square(), matrix.data());
        continue;
      }
      // Of all that the matrix serves, empty or not.
      for (int member = m; prior != nullptr && member < num_matrices_; ++member) {
        if (Leader(member) == m) weight += AddPrior(*prior, member, matrix);
      }
      for (int a = 0; a < num_columns_; ++a) {
        for (int b = 0; b <= a; ++b) {
          matrix[a * num_columns_ + b] /= weight;
          matrix[b * num_columns_ + a] = matrix[a * num_columns_ + b];
        }
      }
      const EigenvalueLift lift =
          FloorEigenvalues(matrix, num_columns_, floor_.variances, floor_.ridge);
      if (lift.largest > 0) {
        context.repairs.push_back({.reason = kVarianceFloored,
                                   .component = shared_ ? -1 : m,
                                   .amount = lift.largest,
                                   .rounding = 0.5 * weight * lift.rounding});
      }
    }
    return absl::OkStatus();
  }

  void AddCovariances(std::span<const double> params, std::span<const double> weights,
                      std::span<double> scatter) const override {
    for (int k = 0; k < num_components_; ++k) {
      const int64_t begin = MatrixOf(k) * square();
      for (int64_t i = 0; i < square(); ++i) scatter[begin + i] += weights[k] * params[begin + i];
    }
  }

  double ExpectedLogDensity(std::span<const double> exponents, std::span<const double> scatter,
                            std::span<const double> params) const override {
    double sum = 0;
    for (int m = 0; m < num_matrices_; ++m) {
      const double exponent = ExponentOf(exponents, m);
      if (!(exponent > 0)) continue;
      sum += LogDensityOf(params.subspan(m * square(), square()), exponent,
                          scatter.subspan(m * square(), square()));
    }
    return sum;
  }

  double LogPrior(const CovariancePrior& prior, std::span<const double> params) const override {
    double sum = 0;
    std::vector<double> scatter(square());
    for (int m = 0; m < num_matrices_; ++m) {
      std::fill(scatter.begin(), scatter.end(), 0.0);
      const double exponent = AddPrior(prior, m, scatter);
      sum += LogDensityOf(params.subspan(m * square(), square()), exponent, scatter);
    }
    return sum;
  }

  std::vector<double> Precision(std::span<const double> params, int component) const override {
    std::vector<double> whitening(square());
    if (!InverseCholesky(params.subspan(MatrixOf(component) * square(), square()), num_columns_,
                         whitening)) {
      return {};
    }
    std::vector<double> precision(square());
    for (int64_t a = 0; a < num_columns_; ++a) {
      for (int64_t b = 0; b < num_columns_; ++b) {
        for (int64_t c = std::max(a, b); c < num_columns_; ++c) {
          precision[a * num_columns_ + b] +=
              whitening[c * num_columns_ + a] * whitening[c * num_columns_ + b];
        }
      }
    }
    return precision;
  }

  void ToUnconstrained(std::span<const double> params,
                       std::span<double> coordinates) const override {
    for (int m = 0; m < num_matrices_; ++m) {
      const auto matrix = params.subspan(m * square(), square());
      const auto free = coordinates.subspan(m * square(), square());
      std::fill(free.begin(), free.end(), 0.0);
      const bool good = holds_orientation_ ? LogEigenvalues(matrix, num_columns_, free)
                                           : UnitFactors(matrix, num_columns_, free);
      if (!good) std::fill(free.begin(), free.end(), std::numeric_limits<double>::quiet_NaN());
    }
  }

  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> params) const override {
    for (int m = 0; m < num_matrices_; ++m) {
      const auto matrix = params.subspan(m * square(), square());
      const auto free = coordinates.subspan(m * square(), square());
      if (holds_orientation_) {
        WithEigenvalues(reference.subspan(m * square(), square()), num_columns_, free, matrix);
      } else {
        FromUnitFactors(free, num_columns_, matrix);
      }
      FloorEigenvalues(matrix, num_columns_, floor_.variances, floor_.ridge);
    }
    constraints_.Apply(params);
  }

  Marginal MarginalOf(const Prepared& prepared, int component, int column) const override {
    const MatricesPrepared& mine = Cast(prepared);
    const double variance = CovarianceOf(mine, component)[column * (num_columns_ + 1LL)];
    return {.location = Mean(mine, component)[column], .scale = std::sqrt(variance)};
  }

  void Sample(const Prepared& prepared, int component, double stretch,
              std::span<double> row) const override {
    // Solves L^-1 (x - mean) = z forwards: row a of L^-1 gives x_a from those before it.
    const double* const whitening =
        Cast(prepared).whitening.data() + MatrixOf(component) * square();
    const double* const mean = Mean(Cast(prepared), component);
    for (int a = 0; a < num_columns_; ++a) {
      double left = row[a];
      for (int b = 0; b < a; ++b) left -= whitening[a * num_columns_ + b] * row[b];
      row[a] = left / whitening[a * num_columns_ + a];
    }
    for (int a = 0; a < num_columns_; ++a) row[a] = mean[a] + stretch * row[a];
  }

 private:
  int64_t square() const { return static_cast<int64_t>(num_columns_) * num_columns_; }
  int MatrixOf(int component) const { return shared_ ? 0 : component; }
  bool IsFixed(int m) const { return constraints_.IsFixed(m * square()); }
  int Leader(int m) const { return static_cast<int>(constraints_.Leader(m * square()) / square()); }
  // Lower triangle only.
  void AddTo(std::span<double> sum, std::span<const double> matrix) const {
    for (int64_t a = 0; a < num_columns_; ++a) {
      for (int64_t b = 0; b <= a; ++b) sum[a * num_columns_ + b] += matrix[a * num_columns_ + b];
    }
  }
  void AddOuterTo(std::span<double> sum, double coefficient, std::span<const double> v) const {
    for (int64_t a = 0; a < num_columns_; ++a) {
      for (int64_t b = 0; b <= a; ++b) sum[a * num_columns_ + b] += coefficient * v[a] * v[b];
    }
  }
  // The exponents of the components that have matrix m.
  double ExponentOf(std::span<const double> exponents, int m) const {
    if (!shared_) return exponents[m];
    double sum = 0;
    for (const double exponent : exponents) sum += exponent;
    return sum;
  }
  // Adds what the prior says of matrix m, a scatter, to the lower triangle of `sum` and returns its
  // exponent.
  double AddPrior(const CovariancePrior& prior, int m, std::span<double> sum) const {
    double exponent = prior.scale.exponent;
    if (prior.scale.matrix.empty()) {
      for (int d = 0; d < num_columns_; ++d) {
        sum[d * (num_columns_ + 1LL)] += prior.scale.diagonal[d];
      }
    } else {
      AddTo(sum, prior.scale.matrix);
    }
    for (int k = shared_ ? 0 : m; k < (shared_ ? num_components_ : m + 1); ++k) {
      if (!(prior.shrinkage > 0)) break;
      exponent += 1;
      AddOuterTo(sum, prior.shrinkage,
                 prior.offsets.subspan(static_cast<int64_t>(k) * num_columns_, num_columns_));
    }
    return exponent;
  }
  // -exponent / 2 log det S - tr(S^-1 W) / 2; of W the lower triangle is read.
  double LogDensityOf(std::span<const double> matrix, double exponent,
                      std::span<const double> scatter) const {
    std::vector<double> whitening(square());
    const std::optional<double> log_determinant = InverseCholesky(matrix, num_columns_, whitening);
    if (!log_determinant) return -std::numeric_limits<double>::infinity();
    // tr(S^-1 W) = tr(L^-1 W L^-T).
    double trace = 0;
    for (int a = 0; a < num_columns_; ++a) {
      const double* const row = whitening.data() + static_cast<int64_t>(a) * num_columns_;
      for (int b = 0; b <= a; ++b) {
        double product = 0.5 * scatter[b * num_columns_ + b] * row[b];
        for (int c = 0; c < b; ++c) product += scatter[b * num_columns_ + c] * row[c];
        trace += 2 * row[b] * product;
      }
    }
    return -0.5 * (exponent * *log_determinant + trace);
  }
  std::span<const double> CovarianceOf(const MatricesPrepared& prepared, int component) const {
    return std::span(prepared.covariances).subspan(MatrixOf(component) * square(), square());
  }
  static void GatherObserved(const Block& block, std::span<const int> observed,
                             std::span<const int> rows, int stride, double* to) {
    for (const int c : observed) {
      const double* const from = block.column(c);
      for (size_t j = 0; j < rows.size(); ++j) to[j] = from[rows[j]];
      std::fill(to + rows.size(), to + stride, 0.0);
      to += stride;
    }
  }
  const ConditionalGaussian& Split(const Prepared& prepared, int component,
                                   const Patterns& patterns, int p,
                                   MissingWorkspace& workspace) const {
    ConditionalGaussian& conditional = Cast(workspace).conditional;
    const std::span<const double> covariance = CovarianceOf(Cast(prepared), component);
    conditional.Factor(covariance, num_columns_, patterns.observed(p));
    conditional.Regress(covariance, num_columns_, patterns.observed(p), patterns.missing(p));
    return conditional;
  }

  absl::Status MaximizeIterated(std::span<const double> exponents, std::span<const double> scatter,
                                const CovariancePrior* prior, std::span<const double> params,
                                std::span<double> next, const MaximizeContext& context) const {
    std::vector<double> exponent(exponents.begin(), exponents.end());
    std::vector<double> sum(scatter.begin(), scatter.end());
    const bool any = std::any_of(exponent.begin(), exponent.end(), [](double e) { return e > 0; });
    for (int m = 0; prior != nullptr && any && m < num_matrices_; ++m) {
      const auto matrix = std::span(sum).subspan(m * square(), square());
      if (!(exponent[m] > 0)) std::fill(matrix.begin(), matrix.end(), 0.0);
      exponent[m] += AddPrior(*prior, m, matrix);
    }
    return MaximizeStructure(*structure_,
                             {.num_components = num_components_,
                              .num_columns = num_columns_,
                              .exponents = exponent,
                              .scatter = sum,
                              .current = params,
                              .floor = floor_.ridge * floor_.variances[0],
                              .stop = context.stop},
                             next, context.repairs);
  }

  const double* Mean(const MatricesPrepared& prepared, int component) const {
    return prepared.means.data() + static_cast<int64_t>(component) * num_columns_;
  }
  std::vector<int64_t> Shape() const {
    std::vector<int64_t> shape = {num_columns_, num_columns_};
    if (!shared_) shape.insert(shape.begin(), num_components_);
    return shape;
  }
  std::string Name(int m) const {
    return shared_ ? std::string("covariances") : absl::StrCat("covariances[", m, "]");
  }
  std::string Name(int m, int64_t a, int64_t b) const {
    return shared_ ? absl::StrCat("covariances[", a, ", ", b, "]")
                   : absl::StrCat("covariances[", m, ", ", a, ", ", b, "]");
  }

  const std::optional<Structure> structure_;  // with parts that are shared
  const bool holds_orientation_;
  const int num_components_;
  const int num_columns_;
  const bool shared_;
  const int num_matrices_;
  VarianceFloor floor_;
  Constraints constraints_;
};

}  // namespace

std::unique_ptr<Covariances> MakeMatrices(Covariance structure, int num_components, int num_columns,
                                          VarianceFloor floor) {
  return std::make_unique<Matrices>(structure, num_components, num_columns, std::move(floor));
}

}  // namespace emserve
