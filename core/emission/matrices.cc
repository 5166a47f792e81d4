// Covariance matrices: one per component or one in all.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/emission/covariance.h"
#include "core/numerics/cholesky.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

const double kHalfLog2Pi = 0.5 * std::log(2 * std::numbers::pi);

// Symmetry of a given matrix may be off by this much, relative to the variances: it may have been
// written as text.
constexpr double kSymmetryTolerance = 1e-8;

class MatricesPrepared final : public Covariances::Prepared {
 public:
  MatricesPrepared(int num_components, int num_matrices, int num_columns)
      : means(static_cast<size_t>(num_components) * num_columns),
        whitening(static_cast<size_t>(num_matrices) * num_columns * num_columns),
        log_norm(num_matrices) {}

  std::vector<double> means;      // [K, D]
  std::vector<double> whitening;  // [matrices, D, D] L^-1, lower triangle
  std::vector<double> log_norm;   // [matrices] log density at the mean
};

class Matrices final : public Covariances {
 public:
  Matrices(Sharing sharing, int num_components, int num_columns, VarianceFloor floor)
      : num_components_(num_components),
        num_columns_(num_columns),
        shared_(sharing.by_components),
        num_matrices_(shared_ ? 1 : num_components),
        floor_(std::move(floor)) {}

  double num_parameters() const override {
    return static_cast<double>(num_matrices_) * num_columns_ * num_columns_;
  }
  int64_t degrees_of_freedom() const override {
    return static_cast<int64_t>(num_matrices_) * num_columns_ * (num_columns_ + 1) / 2;
  }
  int64_t scratch_per_row() const override { return static_cast<int64_t>(num_columns_) + 1; }

  void AddParameters(Layout& parameters) const override { parameters.Add("covariances", Shape()); }
  void AddStatistics(Layout& statistics) const override { statistics.Add("second", Shape()); }

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
  }

  std::unique_ptr<Prepared> NewPrepared() const override {
    return std::make_unique<MatricesPrepared>(num_components_, num_matrices_, num_columns_);
  }

  absl::Status Prepare(std::span<const double> means, std::span<const double> params,
                       Prepared& prepared) const override {
    auto& mine = static_cast<MatricesPrepared&>(prepared);
    std::copy(means.begin(), means.end(), mine.means.begin());
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
      mine.log_norm[m] = -num_columns_ * kHalfLog2Pi - 0.5 * *log_determinant;
    }
    return absl::OkStatus();
  }

  void LogDensity(const Prepared& prepared, int component, const Block& block, double* scratch,
                  double* log_density) const override {
    const auto& mine = static_cast<const MatricesPrepared&>(prepared);
    const int m = Matrix(component);
    WhitenedSquares(block.values, block.stride, num_columns_, Mean(mine, component),
                    mine.whitening.data() + m * square(), scratch, log_density);
    const double log_norm = mine.log_norm[m];
    for (int i = 0; i < block.stride; ++i) log_density[i] = log_norm - 0.5 * log_density[i];
  }

  void Accumulate(const Prepared& prepared, int component, const Block& block,
                  const double* responsibility, double* scratch, double* first,
                  std::span<double> scatter) const override {
    const auto& mine = static_cast<const MatricesPrepared&>(prepared);
    AddScatter(block.values, block.stride, num_columns_, Mean(mine, component), responsibility,
               scratch, first, scatter.data() + Matrix(component) * square());
  }

  // Sigma = (scatter - sum_k n_k shift_k shift_k^T) / sum_k n_k over the components that share it,
  // with the eigenvalues of D^-1/2 Sigma D^-1/2 raised to the floor, D the columns' variances. That
  // is the constrained maximum (Ingrassia & Rocci 2007, section 3).
  absl::Status Maximize(const GaussianMoments& moments, std::span<const double> params,
                        std::span<double> next, const MaximizeContext& context) const override {
    for (int m = 0; m < num_matrices_; ++m) {
      if (context.stop.stop_requested()) return absl::CancelledError("stop was requested");
      double* const matrix = next.data() + m * square();
      const int first = shared_ ? 0 : m;
      const int last = shared_ ? num_components_ : m + 1;
      double weight = 0;
      for (int k = first; k < last; ++k) weight += moments.occupancy[k];
      if (!(weight > 0)) {
        std::copy_n(params.data() + m * square(), square(), matrix);
        continue;
      }
      const double* const scatter = moments.scatter.data() + m * square();
      for (int a = 0; a < num_columns_; ++a) {
        for (int b = 0; b <= a; ++b) {
          double sum = scatter[a * num_columns_ + b];
          for (int k = first; k < last; ++k) {
            const double* const shift =
                moments.shift.data() + static_cast<int64_t>(k) * num_columns_;
            sum -= moments.occupancy[k] * shift[a] * shift[b];
          }
          matrix[a * num_columns_ + b] = matrix[b * num_columns_ + a] = sum / weight;
        }
      }
      const EigenvalueLift lift = FloorEigenvalues(std::span(matrix, square()), num_columns_,
                                                   floor_.variances, floor_.ridge);
      if (lift.largest > 0) {
        context.repairs.push_back({.reason = kVarianceFloored,
                                   .component = shared_ ? -1 : m,
                                   .amount = lift.largest,
                                   .rounding = 0.5 * weight * lift.rounding});
      }
    }
    return absl::OkStatus();
  }

  void Sample(const Prepared& prepared, int component, std::span<double> row) const override {
    // Solves L^-1 (x - mean) = z forwards: row a of L^-1 gives x_a from those before it.
    const auto& mine = static_cast<const MatricesPrepared&>(prepared);
    const double* const whitening = mine.whitening.data() + Matrix(component) * square();
    const double* const mean = Mean(mine, component);
    for (int a = 0; a < num_columns_; ++a) {
      double left = row[a];
      for (int b = 0; b < a; ++b) left -= whitening[a * num_columns_ + b] * row[b];
      row[a] = left / whitening[a * num_columns_ + a];
    }
    for (int a = 0; a < num_columns_; ++a) row[a] += mean[a];
  }

 private:
  int64_t square() const { return static_cast<int64_t>(num_columns_) * num_columns_; }
  int Matrix(int component) const { return shared_ ? 0 : component; }
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

  const int num_components_;
  const int num_columns_;
  const bool shared_;
  const int num_matrices_;
  const VarianceFloor floor_;
};

}  // namespace

std::unique_ptr<Covariances> MakeMatrices(Sharing sharing, int num_components, int num_columns,
                                          VarianceFloor floor) {
  return std::make_unique<Matrices>(sharing, num_components, num_columns, std::move(floor));
}

}  // namespace emserve
