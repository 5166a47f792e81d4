// Covariances without correlation: variances of the columns, shared by components, columns or both.
//
// Element (k, d) of a component is params[Group(k, d)].
#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/emission/covariance.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

const double kHalfLog2Pi = 0.5 * std::log(2 * std::numbers::pi);

class VariancesPrepared final : public Covariances::Prepared {
 public:
  VariancesPrepared(int num_components, int num_columns)
      : means(static_cast<size_t>(num_components) * num_columns),
        inverse_sd(means.size()),
        log_norm(num_components) {}

  std::vector<double> means;       // [K, D]
  std::vector<double> inverse_sd;  // [K, D]
  std::vector<double> log_norm;    // [K] log density at the mean
};

class Variances final : public Covariances {
 public:
  Variances(Sharing sharing, int num_components, int num_columns, VarianceFloor floor)
      : num_components_(num_components),
        num_columns_(num_columns),
        component_step_(sharing.by_components ? 0
                        : sharing.by_columns  ? 1
                                              : num_columns),
        column_step_(sharing.by_columns ? 0 : 1),
        floor_(std::move(floor)) {
    if (sharing.by_columns) {
      // sigma^2 >= ridge * variance_d in every column d.
      floor_.variances.assign(1,
                              *std::max_element(floor_.variances.begin(), floor_.variances.end()));
    }
  }

  double num_parameters() const override {
    return static_cast<double>(component_step_ == 0 ? 1 : num_components_) *
           (column_step_ == 0 ? 1 : num_columns_);
  }
  int64_t degrees_of_freedom() const override { return size(); }
  int64_t scratch_per_row() const override { return 0; }

  void AddParameters(Layout& parameters) const override {
    std::vector<int64_t> shape;
    if (component_step_ != 0) shape.push_back(num_components_);
    if (column_step_ != 0 || shape.empty()) shape.push_back(column_step_ != 0 ? num_columns_ : 1);
    parameters.Add("variances", std::move(shape));
  }
  void AddStatistics(Layout& statistics) const override {
    statistics.Add("second", {num_components_, num_columns_});
  }

  absl::Status Validate(std::span<const double> params) const override {
    for (int64_t g = 0; g < size(); ++g) {
      if (!(params[g] > 0) || !std::isfinite(1 / params[g]) || !std::isfinite(params[g])) {
        return absl::InvalidArgumentError(
            absl::StrCat(Name(g), ": got ", params[g], ", must be positive and finite"));
      }
    }
    return absl::OkStatus();
  }

  void Reference(std::span<const double> variances, std::span<double> params) const override {
    double mean = 0;
    for (const double variance : variances) mean += variance / num_columns_;
    for (int64_t g = 0; g < size(); ++g) {
      params[g] = column_step_ == 0 ? mean : variances[g % num_columns_];
    }
  }

  std::unique_ptr<Prepared> NewPrepared() const override {
    return std::make_unique<VariancesPrepared>(num_components_, num_columns_);
  }

  absl::Status Prepare(std::span<const double> means, std::span<const double> params,
                       Prepared& prepared) const override {
    auto& mine = static_cast<VariancesPrepared&>(prepared);
    std::copy(means.begin(), means.end(), mine.means.begin());
    for (int64_t g = 0; g < size(); ++g) {
      if (!(params[g] > 0)) {
        return absl::FailedPreconditionError(
            absl::StrCat(Name(g), ": got ", params[g],
                         ", must be positive; use a ridge above 0, fewer components or a simpler "
                         "covariance"));
      }
    }
    for (int k = 0; k < num_components_; ++k) {
      double log_norm = -num_columns_ * kHalfLog2Pi;
      for (int d = 0; d < num_columns_; ++d) {
        const double variance = params[Group(k, d)];
        mine.inverse_sd[Cell(k, d)] = 1 / std::sqrt(variance);
        log_norm -= 0.5 * std::log(variance);
      }
      mine.log_norm[k] = log_norm;
    }
    return absl::OkStatus();
  }

  void LogDensity(const Prepared& prepared, int component, const Block& block, double*,
                  double* log_density) const override {
    const auto& mine = static_cast<const VariancesPrepared&>(prepared);
    DiagonalSquares(block.values, block.stride, num_columns_,
                    mine.means.data() + Cell(component, 0),
                    mine.inverse_sd.data() + Cell(component, 0), log_density);
    const double log_norm = mine.log_norm[component];
    for (int i = 0; i < block.stride; ++i) log_density[i] = log_norm - 0.5 * log_density[i];
  }

  void Accumulate(const Prepared& prepared, int component, const Block& block,
                  const double* responsibility, double*, double* first,
                  std::span<double> scatter) const override {
    const auto& mine = static_cast<const VariancesPrepared&>(prepared);
    AddDiagonalMoments(block.values, block.stride, num_columns_,
                       mine.means.data() + Cell(component, 0), responsibility, first,
                       scatter.data() + Cell(component, 0));
  }

  // The variance of a group is the mean over its cells (k, d) of the scatter about the new mean,
  // weighted by occupancy; the constrained maximum is the larger of it and the floor.
  absl::Status Maximize(const GaussianMoments& moments, std::span<const double> params,
                        std::span<double> next, const MaximizeContext& context) const override {
    std::vector<double> sum(size());
    std::vector<double> weight(size());
    for (int k = 0; k < num_components_; ++k) {
      const double n = moments.occupancy[k];
      if (!(n > 0)) continue;
      for (int d = 0; d < num_columns_; ++d) {
        const double shift = moments.shift[Cell(k, d)];
        sum[Group(k, d)] += moments.scatter[Cell(k, d)] - n * shift * shift;
        weight[Group(k, d)] += n;
      }
    }
    for (int k = 0; k < (component_step_ == 0 ? 1 : num_components_); ++k) {
      double raised = 0;
      for (int64_t g = Group(k, 0); g < Group(k, 0) + groups_per_component(); ++g) {
        if (!(weight[g] > 0)) {
          next[g] = params[g];
          continue;
        }
        const double variance = sum[g] / weight[g];
        const double floor = floor_.ridge * floor_.variances[g % groups_per_component()];
        next[g] = std::max(variance, floor);
        raised = std::max(raised, next[g] - variance);
      }
      if (raised > 0) {
        context.repairs.push_back({.reason = kVarianceFloored,
                                   .component = component_step_ == 0 ? -1 : k,
                                   .amount = raised});
      }
    }
    return absl::OkStatus();
  }

  void Sample(const Prepared& prepared, int component, std::span<double> row) const override {
    const auto& mine = static_cast<const VariancesPrepared&>(prepared);
    for (int d = 0; d < num_columns_; ++d) {
      const int64_t cell = Cell(component, d);
      row[d] = mine.means[cell] + row[d] / mine.inverse_sd[cell];
    }
  }

 private:
  int64_t Cell(int k, int d) const { return static_cast<int64_t>(k) * num_columns_ + d; }
  int64_t Group(int k, int d) const { return k * component_step_ + d * column_step_; }
  int64_t groups_per_component() const { return column_step_ == 0 ? 1 : num_columns_; }
  int64_t size() const {
    return (component_step_ == 0 ? 1 : num_components_) * groups_per_component();
  }
  std::string Name(int64_t g) const {
    if (component_step_ == 0 || column_step_ == 0) return absl::StrCat("variances[", g, "]");
    return absl::StrCat("variances[", g / num_columns_, ", ", g % num_columns_, "]");
  }

  const int num_components_;
  const int num_columns_;
  const int64_t component_step_;  // from a component's groups to the next one's; 0 when shared
  const int64_t column_step_;     // from a column's group to the next one's; 0 when shared
  VarianceFloor floor_;           // variances: one per group of a component
};

}  // namespace

std::unique_ptr<Covariances> MakeVariances(Sharing sharing, int num_components, int num_columns,
                                           VarianceFloor floor) {
  return std::make_unique<Variances>(sharing, num_components, num_columns, std::move(floor));
}

}  // namespace emserve
