// Covariances without correlation: variances of the columns, shared by components, columns or both,
// or with a shared volume or shape.
//
// Element (k, d) of a component is params[Group(k, d)].
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/components.h"
#include "core/distribution/covariance.h"
#include "core/distribution/structures.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

class VariancesPrepared final : public Covariances::Prepared {
 public:
  VariancesPrepared(int num_components, int num_columns)
      : means(static_cast<size_t>(num_components) * num_columns),
        inverse_sd(means.size()),
        log_determinants(num_components) {}

  std::vector<double> means;             // [K, D]
  std::vector<double> inverse_sd;        // [K, D]
  std::vector<double> log_determinants;  // [K]
};

// Columns are independent: nothing depends on the pattern.
class NoWorkspace final : public Covariances::MissingWorkspace {};

const VariancesPrepared& Cast(const Covariances::Prepared& prepared) {
  return static_cast<const VariancesPrepared&>(prepared);
}

bool SharesComponents(Covariance structure) {
  return structure == Covariance::kTiedDiagonal || structure == Covariance::kTiedSpherical;
}

std::optional<Structure> IteratedStructure(Covariance structure) {
  if (structure == Covariance::kVEI) return Structure::kVEI;
  if (structure == Covariance::kEVI) return Structure::kEVI;
  return std::nullopt;
}

class Variances final : public Covariances {
 public:
  Variances(Covariance structure, int num_components, int num_columns, VarianceFloor floor)
      : structure_(IteratedStructure(structure)),
        num_components_(num_components),
        num_columns_(num_columns),
        component_step_(SharesComponents(structure) ? 0
                        : IsSpherical(structure)    ? 1
                                                    : num_columns),
        column_step_(IsSpherical(structure) ? 0 : 1),
        constraints_(size()),
        ridge_(floor.ridge),
        floors_(floor.variances) {
    if (structure_) {
      floors_.assign(num_columns_, floor.smallest_variance());
    } else if (IsSpherical(structure)) {
      // sigma^2 >= ridge * variance_d in every column d.
      floors_.assign(1, *std::max_element(floors_.begin(), floors_.end()));
    }
    for (double& variance : floors_) variance *= ridge_;
  }

  double num_parameters() const override {
    return static_cast<double>(component_step_ == 0 ? 1 : num_components_) *
           (column_step_ == 0 ? 1 : num_columns_);
  }
  int64_t degrees_of_freedom(const std::vector<bool>& active) const override {
    if (structure_) {
      return StructureParameters(*structure_, static_cast<int>(NumActive(active)), num_columns_);
    }
    return component_step_ == 0 ? constraints_.NumFree()
                                : NumFree(constraints_, groups_per_component(), active);
  }
  int64_t scratch_per_row() const override { return 0; }

  void AddParameters(Layout& parameters) const override {
    std::vector<int64_t> shape;
    if (component_step_ != 0) shape.push_back(num_components_);
    if (column_step_ != 0 || shape.empty()) shape.push_back(column_step_ != 0 ? num_columns_ : 1);
    parameters.Add("variances", std::move(shape), component_step_ != 0);
  }
  void AddStatistics(Layout& statistics) const override {
    statistics.Add("second", {num_components_, num_columns_});
  }

  absl::Status Constrain(Constraints constraints) override {
    if (!constraints.empty() && structure_) {
      return absl::InvalidArgumentError(absl::StrCat(
          "constraints: got some on variances of the structure ", StructureName(*structure_),
          ", must be on diagonal, tied_diagonal, spherical or tied_spherical ones"));
    }
    for (int64_t g = 0; g < size(); ++g) {
      if (constraints.IsFixed(g) && !(constraints.value(g) > 0)) {
        return absl::InvalidArgumentError(absl::StrCat("constraints: got ", Name(g), " fixed at ",
                                                       constraints.value(g), ", must be positive"));
      }
    }
    if (!constraints.empty()) {  // a tie across columns keeps the floor of each
      std::vector<double> floors(size());
      for (int64_t g = 0; g < size(); ++g) {
        double& floor = floors[constraints.Leader(g)];
        floor = std::max(floor, floors_[g % groups_per_component()]);
      }
      floors_ = std::move(floors);
    }
    constraints_ = std::move(constraints);
    return absl::OkStatus();
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
    constraints_.Apply(params);
  }

  std::unique_ptr<Prepared> NewPrepared() const override {
    return std::make_unique<VariancesPrepared>(num_components_, num_columns_);
  }
  std::unique_ptr<MissingWorkspace> NewMissingWorkspace(int) const override {
    return std::make_unique<NoWorkspace>();
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
      mine.log_determinants[k] = 0;
      for (int d = 0; d < num_columns_; ++d) {
        const double variance = params[Group(k, d)];
        mine.inverse_sd[Cell(k, d)] = 1 / std::sqrt(variance);
        mine.log_determinants[k] += std::log(variance);
      }
    }
    return absl::OkStatus();
  }

  double LogDeterminant(const Prepared& prepared, int component) const override {
    return Cast(prepared).log_determinants[component];
  }

  void Squares(const Prepared& prepared, int component, const Block& block, double*,
               double* squares) const override {
    const VariancesPrepared& mine = Cast(prepared);
    DiagonalSquares(block.values, block.stride, num_columns_,
                    mine.means.data() + Cell(component, 0),
                    mine.inverse_sd.data() + Cell(component, 0), squares);
  }

  void Accumulate(const Prepared& prepared, int component, const Block& block,
                  const double* responsibility, double*, double* first,
                  std::span<double> scatter) const override {
    AddDiagonalMoments(block.values, block.stride, num_columns_,
                       Cast(prepared).means.data() + Cell(component, 0), responsibility, first,
                       scatter.data() + Cell(component, 0));
  }

  void ObservedSquares(const Prepared& prepared, int component, const Block& block, const Patterns&,
                       MissingWorkspace&, double* squares,
                       double* log_determinants) const override {
    const VariancesPrepared& mine = Cast(prepared);
    std::fill_n(squares, block.stride, 0.0);
    std::fill_n(log_determinants, block.stride, 0.0);
    for (int d = 0; d < num_columns_; ++d) {
      const double* const x = block.column(d);
      const double mean = mine.means[Cell(component, d)];
      const double inverse_sd = mine.inverse_sd[Cell(component, d)];
      const double log_variance = -2 * std::log(inverse_sd);
      for (int i = 0; i < block.num_rows; ++i) {
        const double z = (x[i] - mean) * inverse_sd;
        const bool observed = !std::isnan(x[i]);
        squares[i] += observed ? z * z : 0;
        log_determinants[i] += observed ? log_variance : 0;
      }
    }
  }

  void Complete(const Prepared& prepared, int component, const Block& block, const Patterns&,
                MissingWorkspace&, double* completed, double* variance) const override {
    const VariancesPrepared& mine = Cast(prepared);
    for (int d = 0; d < num_columns_; ++d) {
      const double* const x = block.column(d);
      const int64_t column = static_cast<int64_t>(d) * block.stride;
      const double mean = mine.means[Cell(component, d)];
      const double inverse_sd = mine.inverse_sd[Cell(component, d)];
      const double of_cell = 1 / (inverse_sd * inverse_sd);
      for (int i = 0; i < block.stride; ++i) {
        completed[column + i] = std::isnan(x[i]) ? mean : x[i];
        if (variance != nullptr) variance[column + i] = std::isnan(x[i]) ? of_cell : 0;
      }
    }
  }

  void AddConditional(const Prepared& prepared, int component, const Block& block, const Patterns&,
                      const double* responsibility, MissingWorkspace&,
                      std::span<double> scatter) const override {
    for (int d = 0; d < num_columns_; ++d) {
      const double* const x = block.column(d);
      double missing = 0;
      for (int i = 0; i < block.num_rows; ++i) missing += std::isnan(x[i]) ? responsibility[i] : 0;
      const double inverse_sd = Cast(prepared).inverse_sd[Cell(component, d)];
      scatter[Cell(component, d)] += missing / (inverse_sd * inverse_sd);
    }
  }

  void AddOuter(int component, double coefficient, std::span<const double> v,
                std::span<double> scatter) const override {
    for (int d = 0; d < num_columns_; ++d) {
      scatter[Cell(component, d)] += coefficient * v[d] * v[d];
    }
  }

  // Without a shared volume or shape: the variance of a group is the mean over its cells (k, d) of
  // the scatter, weighted by exponents; the constrained maximum is the larger of it and the floor.
  absl::Status Maximize(std::span<const double> exponents, std::span<const double> scatter,
                        const CovariancePrior* prior, std::span<const double> params,
                        std::span<double> next, const MaximizeContext& context) const override {
    if (structure_) return MaximizeIterated(exponents, scatter, prior, params, next, context);
    std::vector<double> sum(size());
    std::vector<double> weight(size());
    for (int k = 0; k < num_components_; ++k) {
      if (!(exponents[k] > 0)) continue;
      for (int d = 0; d < num_columns_; ++d) {
        const int64_t g = constraints_.Leader(Group(k, d));
        sum[g] += scatter[Cell(k, d)];
        weight[g] += exponents[k];
      }
    }
    // Those that move do so by the prior of all their cells, the others not at all.
    std::vector<char> moves(size());
    for (int64_t g = 0; g < size(); ++g) moves[g] = weight[constraints_.Leader(g)] > 0;
    if (prior != nullptr) {
      ForEachPriorTerm(*prior, [&](int64_t g, double exponent, double of_prior) {
        sum[constraints_.Leader(g)] += of_prior;
        weight[constraints_.Leader(g)] += exponent;
      });
    }
    for (int k = 0; k < (component_step_ == 0 ? 1 : num_components_); ++k) {
      double raised = 0;
      for (int64_t g = Group(k, 0); g < Group(k, 0) + groups_per_component(); ++g) {
        const int64_t leader = constraints_.Leader(g);
        if (constraints_.IsFixed(g)) {
          next[g] = constraints_.value(g);
        } else if (!moves[g]) {
          next[g] = params[g];
        } else {
          const double variance = sum[leader] / weight[leader];
          next[g] = std::max(variance, Floor(g));
          raised = std::max(raised, next[g] - variance);
        }
      }
      if (raised > 0) {
        context.repairs.push_back({.reason = kVarianceFloored,
                                   .component = component_step_ == 0 ? -1 : k,
                                   .amount = raised});
      }
    }
    return absl::OkStatus();
  }

  void AddCovariances(std::span<const double> params, std::span<const double> weights,
                      std::span<double> scatter) const override {
    for (int k = 0; k < num_components_; ++k) {
      for (int d = 0; d < num_columns_; ++d) {
        scatter[Cell(k, d)] += weights[k] * params[Group(k, d)];
      }
    }
  }

  double ExpectedLogDensity(std::span<const double> exponents, std::span<const double> scatter,
                            std::span<const double> params) const override {
    double sum = 0;
    for (int k = 0; k < num_components_; ++k) {
      for (int d = 0; d < num_columns_ && exponents[k] > 0; ++d) {
        const double variance = params[Group(k, d)];
        sum -= 0.5 * (exponents[k] * std::log(variance) + scatter[Cell(k, d)] / variance);
      }
    }
    return sum;
  }

  double LogPrior(const CovariancePrior& prior, std::span<const double> params) const override {
    double sum = 0;
    ForEachPriorTerm(prior, [&](int64_t g, double exponent, double of_prior) {
      sum -= 0.5 * (exponent * std::log(params[g]) + of_prior / params[g]);
    });
    return sum;
  }

  std::vector<double> Precision(std::span<const double> params, int component) const override {
    std::vector<double> precision(num_columns_);
    for (int d = 0; d < num_columns_; ++d) precision[d] = 1 / params[Group(component, d)];
    return precision;
  }

  Marginal MarginalOf(const Prepared& prepared, int component, int column) const override {
    const VariancesPrepared& mine = Cast(prepared);
    const int64_t cell = Cell(component, column);
    return {.location = mine.means[cell], .scale = 1 / mine.inverse_sd[cell]};
  }

  void Sample(const Prepared& prepared, int component, double stretch,
              std::span<double> row) const override {
    const VariancesPrepared& mine = Cast(prepared);
    for (int d = 0; d < num_columns_; ++d) {
      const int64_t cell = Cell(component, d);
      row[d] = mine.means[cell] + stretch * row[d] / mine.inverse_sd[cell];
    }
  }

  void ToUnconstrained(std::span<const double> params,
                       std::span<double> coordinates) const override {
    for (int64_t g = 0; g < size(); ++g) coordinates[g] = std::log(params[g]);
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double>,
                         std::span<double> params) const override {
    for (int64_t g = 0; g < size(); ++g) {
      params[g] = std::max(std::exp(coordinates[g]), Floor(g));
    }
    constraints_.Apply(params);
  }

 private:
  absl::Status MaximizeIterated(std::span<const double> exponents, std::span<const double> scatter,
                                const CovariancePrior* prior, std::span<const double> params,
                                std::span<double> next, const MaximizeContext& context) const {
    std::vector<double> exponent(exponents.begin(), exponents.end());
    std::vector<double> sum(scatter.begin(), scatter.end());
    const bool any = std::any_of(exponent.begin(), exponent.end(), [](double e) { return e > 0; });
    if (prior != nullptr && any) {
      for (int k = 0; k < num_components_; ++k) {
        if (!(exponent[k] > 0)) std::fill_n(sum.begin() + Cell(k, 0), num_columns_, 0.0);
        exponent[k] += prior->scale.exponent + (prior->shrinkage > 0 ? 1 : 0);
      }
      ForEachPriorTerm(*prior, [&](int64_t g, double, double of_prior) { sum[g] += of_prior; });
    }
    return MaximizeStructure(*structure_,
                             {.num_components = num_components_,
                              .num_columns = num_columns_,
                              .exponents = exponent,
                              .scatter = sum,
                              .current = params,
                              .floor = floors_[0],
                              .stop = context.stop},
                             next, context.repairs);
  }

  // Calls body(group, e, s) for every term -e / 2 log v - s / 2 v of the prior, v the variance of
  // the group.
  template <typename Body>
  void ForEachPriorTerm(const CovariancePrior& prior, Body body) const {
    for (int k = 0; k < (component_step_ == 0 ? 1 : num_components_); ++k) {
      for (int d = 0; d < num_columns_; ++d) {
        body(Group(k, d), prior.scale.exponent, prior.scale.diagonal[d]);
      }
    }
    for (int k = 0; prior.shrinkage > 0 && k < num_components_; ++k) {
      for (int d = 0; d < num_columns_; ++d) {
        const double offset = prior.offsets[Cell(k, d)];
        body(Group(k, d), 1.0, prior.shrinkage * offset * offset);
      }
    }
  }

  int64_t Cell(int k, int d) const { return static_cast<int64_t>(k) * num_columns_ + d; }
  int64_t Group(int k, int d) const { return k * component_step_ + d * column_step_; }
  int64_t groups_per_component() const { return column_step_ == 0 ? 1 : num_columns_; }
  int64_t size() const {
    return (component_step_ == 0 ? 1 : num_components_) * groups_per_component();
  }
  double Floor(int64_t g) const {
    return constraints_.empty() ? floors_[g % groups_per_component()]
                                : floors_[constraints_.Leader(g)];
  }
  std::string Name(int64_t g) const {
    if (component_step_ == 0 || column_step_ == 0) return absl::StrCat("variances[", g, "]");
    return absl::StrCat("variances[", g / num_columns_, ", ", g % num_columns_, "]");
  }

  const std::optional<Structure> structure_;  // with a shared volume or shape
  const int num_components_;
  const int num_columns_;
  const int64_t component_step_;  // from a component's groups to the next one's; 0 when shared
  const int64_t column_step_;     // from a column's group to the next one's; 0 when shared
  Constraints constraints_;
  const double ridge_;
  // One per group of a component, or with constraints of all components by leader; squared data
  // units.
  std::vector<double> floors_;
};

}  // namespace

std::unique_ptr<Covariances> MakeVariances(Covariance structure, int num_components,
                                           int num_columns, VarianceFloor floor) {
  return std::make_unique<Variances>(structure, num_components, num_columns, std::move(floor));
}

}  // namespace emserve
