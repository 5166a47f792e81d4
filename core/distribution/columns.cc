#include "core/distribution/columns.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/columns_expectation.h"
#include "core/distribution/columns_maximization.h"
#include "core/distribution/components.h"
#include "core/distribution/cumulative_cells.h"

namespace emserve {
namespace {

// A parameter this close to its limit, relatively, is at it: logarithms and back lose some digits.
constexpr double kAtLimit = 1e-12;

class ColumnsPrepared final : public Emission::Prepared {
 public:
  ColumnsPrepared(int64_t num_elements, int64_t num_constants)
      : params(num_elements), constants(num_constants) {}

  std::vector<double> params;     // [P, K, D]
  std::vector<double> constants;  // [K, D, num_constants()]
};

class ColumnsWorkspace final : public Emission::Workspace {
 public:
  ColumnsWorkspace(const Univariate& univariate, int max_rows) : work(univariate, max_rows) {}

  ColumnsExpectation::Work work;
};

const ColumnsPrepared& Cast(const Emission::Prepared& prepared) {
  return static_cast<const ColumnsPrepared&>(prepared);
}
ColumnsExpectation::Work& Cast(Emission::Workspace& workspace) {
  return static_cast<ColumnsWorkspace&>(workspace).work;
}

class Columns final : public Emission {
 public:
  Columns(std::unique_ptr<Univariate> univariate, int num_components, const Summary& summary)
      : univariate_(std::move(univariate)),
        num_components_(num_components),
        num_columns_(static_cast<int>(summary.mean.size())),
        num_cells_(static_cast<int64_t>(num_components_) * num_columns_),
        empty_(kEmptyRows * summary.mean_weight()),
        expectation_(*univariate_, num_components_, num_columns_) {
    for (const UnivariateParameter& parameter : univariate_->parameters()) {
      parameters_.Add(parameter.name, {num_components_, num_columns_});
    }
    statistics_.Add("observed", {num_components_, num_columns_});
    for (const std::string& name : univariate_->statistics()) {
      statistics_.Add(name, {num_components_, num_columns_});
    }
    maximization_.emplace(*univariate_, num_components_, num_columns_, Constraints());
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_components() const override { return num_components_; }
  int num_columns() const override { return num_columns_; }
  int64_t scratch_per_row() const override {
    return ColumnsExpectation::DoublesPerRow(*univariate_);
  }

  bool starts_hard() const override { return univariate_->starts_hard(); }

  int64_t degrees_of_freedom(const std::vector<bool>& active) const override {
    int64_t count = 0;
    for (int p = 0; p < num_parameters(); ++p) {  // ties never leave an array
      count += NumFree(maximization_->constraints().Slice(p * num_cells_, num_cells_), num_columns_,
                       active);
    }
    return count;
  }

  absl::Status Constrain(Constraints constraints) override {
    for (int64_t e = 0; e < parameters_.size(); ++e) {
      if (!constraints.IsFixed(e) || Contains(DomainOf(e), constraints.value(e))) continue;
      return absl::InvalidArgumentError(absl::StrCat("constraints: got ", Name(e), " fixed at ",
                                                     constraints.value(e), ", must be ",
                                                     Constraint(DomainOf(e))));
    }
    maximization_.emplace(*univariate_, num_components_, num_columns_, std::move(constraints));
    return absl::OkStatus();
  }

  absl::Status CheckRows(const Block& block, const std::vector<std::string>& names) const override {
    const Support& support = univariate_->support();
    for (int d = 0; d < num_columns_; ++d) {
      const double* const x = block.column(d);
      for (int i = 0; i < block.num_rows; ++i) {
        // A row without weight says nothing, whatever is in it.
        if (!(block.weights[i] > 0) || std::isnan(x[i]) || support.contains(x[i])) continue;
        return absl::InvalidArgumentError(absl::StrCat("[", block.first_row + i, "]: got ", x[i],
                                                       " in column '", names[d], "', must be ",
                                                       support.what));
      }
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Emission::Prepared> NewPrepared() const override {
    return std::make_unique<ColumnsPrepared>(parameters_.size(),
                                             num_cells_ * univariate_->num_constants());
  }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return std::make_unique<ColumnsWorkspace>(*univariate_, max_rows);
  }

  absl::Status Validate(std::span<const double> params) const override {
    const int64_t e = FirstOutside(params);
    if (e < 0) return absl::OkStatus();
    return absl::InvalidArgumentError(Outside(e, params[e]));
  }

  absl::Status Prepare(std::span<const double> params,
                       Emission::Prepared& prepared) const override {
    if (const int64_t e = FirstOutside(params); e >= 0) {
      return absl::FailedPreconditionError(Outside(e, params[e]));
    }
    auto& mine = static_cast<ColumnsPrepared&>(prepared);
    std::copy(params.begin(), params.end(), mine.params.begin());
    CellArray of_cell;
    for (int64_t c = 0; c < num_cells_; ++c) {
      univariate_->Prepare(static_cast<int>(c % num_columns_), OfCell(mine.params, c, of_cell),
                           mine.constants.data() + c * univariate_->num_constants());
    }
    return absl::OkStatus();
  }

  void LogDensity(const Emission::Prepared& prepared, const Block& block, Workspace& workspace,
                  std::span<double> log_density) const override {
    expectation_.LogDensity(Cast(prepared).constants, block, Cast(workspace), log_density);
  }
  void Accumulate(const Emission::Prepared& prepared, const Block& block,
                  std::span<const double> resp, Workspace& workspace,
                  std::span<double> stats) const override {
    expectation_.Accumulate(Cast(prepared).constants, block, resp, Cast(workspace), stats);
  }

  absl::Status Maximize(std::span<const double> params, std::span<const double> occupancy,
                        std::span<const double> stats, std::span<double> next,
                        const MaximizeContext& context) const override {
    if (absl::Status status = maximization_->Maximize(params, stats, empty_, next, context.stop);
        !status.ok()) {
      return status;
    }
    const std::vector<char> is_empty = FindEmpty(occupancy, empty_, context.repairs);
    for (int k = 0; k < num_components_; ++k) {
      if (!is_empty[k]) ReportUnobserved(k, stats, context.repairs);
      ReportLimits(k, stats, next, context.repairs);
    }
    return absl::OkStatus();
  }

  void Recenter(std::span<const double> params, std::span<const double> centre,
                std::span<const double>, std::span<double> stats) const override {
    CellArray of_params, of_centre, of_sums;
    for (int64_t c = 0; c < num_cells_; ++c) {
      const std::span<double> sums = Gather(stats, c, num_sums(), of_sums);
      univariate_->Recenter(OfCell(params, c, of_params), OfCell(centre, c, of_centre), sums);
      for (int s = 0; s < num_sums(); ++s) stats[s * num_cells_ + c] = sums[s];
    }
  }

  void ExpectedStatistics(std::span<const double> params, std::span<const double> occupancy,
                          std::span<double> stats) const override {
    CellArray of_params, of_sums;
    const auto sums = std::span(of_sums).first(num_sums());
    for (int64_t c = 0; c < num_cells_; ++c) {
      sums[0] = occupancy[c / num_columns_];
      univariate_->ExpectedSums(OfCell(params, c, of_params), sums);
      for (int s = 0; s < num_sums(); ++s) stats[s * num_cells_ + c] = sums[s];
    }
  }

  double ExpectedLogDensity(std::span<const double> centre, std::span<const double>,
                            std::span<const double> stats,
                            std::span<const double> params) const override {
    CellArray of_params, of_centre, of_sums;
    double sum = 0;
    for (int64_t c = 0; c < num_cells_; ++c) {
      const CellStatistics cell{.old = OfCell(centre, c, of_centre),
                                .sums = Gather(stats, c, num_sums(), of_sums),
                                .ranges = {}};
      sum += univariate_->Expected(cell, OfCell(params, c, of_params));
    }
    return sum;
  }

  double LogPrior(std::span<const double> params) const override {
    CellArray of_cell;
    double sum = 0;
    for (int64_t c = 0; c < num_cells_; ++c) {
      sum += univariate_->LogPrior(OfCell(params, c, of_cell));
    }
    return sum;
  }

  void Reference(const Summary&, std::span<double> params) const override {
    const Constraints& constraints = maximization_->constraints();
    CellArray of_cell;
    for (int64_t c = 0; c < num_cells_; ++c) {
      univariate_->Reference(static_cast<int>(c % num_columns_),
                             std::span(of_cell).first(num_parameters()));
      for (int p = 0; p < num_parameters(); ++p) params[p * num_cells_ + c] = of_cell[p];
    }
    if (constraints.empty()) return;
    std::vector<double> sum(params.size());
    std::vector<double> members(params.size());
    for (size_t e = 0; e < params.size(); ++e) {
      sum[constraints.Leader(e)] += params[e];
      ++members[constraints.Leader(e)];
    }
    for (size_t e = 0; e < params.size(); ++e) {
      const Range range = maximization_->RangeOf(e);
      const int64_t leader = constraints.Leader(e);
      params[e] = std::clamp(sum[leader] / members[leader], range.low, range.high);
    }
    constraints.Apply(params);
  }

  void Sample(const Emission::Prepared& prepared, int component, Random& random,
              std::span<double> row) const override {
    CellArray of_cell;
    for (int d = 0; d < num_columns_; ++d) {
      row[d] =
          univariate_->Draw(OfCell(Cast(prepared).params, Cell(component, d), of_cell), random);
    }
  }

  // Mean and variance of a mixture of the components: E x and E x^2 - (E x)^2, by the law of total
  // variance.
  void Conditional(const Emission::Prepared& prepared, const Block& block,
                   std::span<const double> posterior, Workspace&, double* mean,
                   double* variance) const override {
    CellArray of_cell;
    for (int d = 0; d < num_columns_; ++d) {
      const double* const x = block.column(d);
      for (int i = 0; i < block.stride; ++i) {
        double mean_of_cell = x[i];
        double variance_of_cell = 0;
        if (std::isnan(x[i])) {
          const auto sum_over_components = [&](auto term) {
            double sum = 0;
            for (int k = 0; k < num_components_; ++k) {
              const double p = posterior[static_cast<int64_t>(k) * block.stride + i];
              if (p > 0) sum += p * term(OfCell(Cast(prepared).params, Cell(k, d), of_cell));
            }
            return sum;
          };
          mean_of_cell = sum_over_components(
              [&](std::span<const double> params) { return univariate_->Mean(params); });
          variance_of_cell = sum_over_components([&](std::span<const double> params) {
            const double away = univariate_->Mean(params) - mean_of_cell;
            return univariate_->Variance(params) + away * away;
          });
        }
        const int64_t at = static_cast<int64_t>(d) * block.stride + i;
        if (mean != nullptr) mean[at] = mean_of_cell;
        if (variance != nullptr) variance[at] = variance_of_cell;
      }
    }
  }

  bool has_cumulatives() const override { return true; }
  void Cumulative(const Emission::Prepared& prepared, const Block& block, int component, Workspace&,
                  double* below, double* at, double* above) const override {
    CellArray of_cell;
    for (int d = 0; d < num_columns_; ++d) {
      const std::span<const double> params =
          OfCell(Cast(prepared).params, Cell(component, d), of_cell);
      FillCumulatives(
          block, d, [&](double x) { return univariate_->CumulativesOf(params, x); }, below, at,
          above);
    }
  }

  void ToUnconstrained(std::span<const double> params,
                       std::span<double> coordinates) const override {
    for (size_t e = 0; e < params.size(); ++e) {
      coordinates[e] = ToCoordinate(DomainOf(e), params[e]);
    }
  }

  // Within the limits: beyond them the objective is no longer what a fit maximises.
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double>,
                         std::span<double> params) const override {
    const Constraints& constraints = maximization_->constraints();
    for (size_t e = 0; e < params.size(); ++e) {
      const Range range = maximization_->RangeOf(e);
      params[e] = std::clamp(FromCoordinate(DomainOf(e), coordinates[constraints.Leader(e)]),
                             range.low, range.high);
    }
    constraints.Apply(params);
  }

 private:
  int num_sums() const { return static_cast<int>(univariate_->statistics().size()) + 1; }
  int num_parameters() const { return static_cast<int>(univariate_->parameters().size()); }
  int64_t Cell(int k, int d) const { return static_cast<int64_t>(k) * num_columns_ + d; }
  int64_t Component(int64_t element) const { return element % num_cells_ / num_columns_; }
  Domain DomainOf(int64_t element) const {
    return univariate_->parameters()[element / num_cells_].domain;
  }
  std::string Name(int64_t element) const {
    return absl::StrCat(univariate_->parameters()[element / num_cells_].name, "[",
                        Component(element), ", ", element % num_columns_, "]");
  }
  std::string Outside(int64_t element, double value) const {
    return absl::StrCat(Name(element), ": got ", value, ", must be ",
                        Constraint(DomainOf(element)));
  }
  // The first element outside its domain, or -1.
  int64_t FirstOutside(std::span<const double> params) const {
    for (int64_t e = 0; e < parameters_.size(); ++e) {
      if (!Contains(DomainOf(e), params[e])) return e;
    }
    return -1;
  }
  // The numbers of a cell in `count` arrays [K, D] one after the other.
  std::span<double> Gather(std::span<const double> arrays, int64_t cell, int count,
                           CellArray& of_cell) const {
    for (int j = 0; j < count; ++j) of_cell[j] = arrays[j * num_cells_ + cell];
    return std::span(of_cell).first(count);
  }
  std::span<const double> OfCell(std::span<const double> params, int64_t cell,
                                 CellArray& of_cell) const {
    return Gather(params, cell, num_parameters(), of_cell);
  }
  // One repair if rows belong to component k, but none with some of its columns.
  void ReportUnobserved(int k, std::span<const double> stats, std::vector<Repair>& repairs) const {
    const auto observed = stats.subspan(Cell(k, 0), num_columns_);
    const double least = *std::min_element(observed.begin(), observed.end());
    if (least > empty_) return;
    repairs.push_back({.reason = kCellsUnobserved, .component = k, .amount = least});
  }
  // One repair per parameter that some observed cell of component k has at its limit.
  void ReportLimits(int k, std::span<const double> stats, std::span<const double> params,
                    std::vector<Repair>& repairs) const {
    CellArray of_cell;
    for (int p = 0; p < num_parameters(); ++p) {
      const std::string& reason = univariate_->parameters()[p].limit_reason;
      if (reason.empty()) continue;
      double largest = -1;
      for (int d = 0; d < num_columns_; ++d) {
        const int64_t e = p * num_cells_ + Cell(k, d);
        if (!(stats[Cell(k, d)] > empty_) || maximization_->constraints().IsFixed(e)) continue;
        const Range range = maximization_->RangeOf(e);
        const double tolerance = kAtLimit * std::abs(params[e]);
        if (params[e] > range.low + tolerance && params[e] < range.high - tolerance) continue;
        largest = std::max(largest, univariate_->Variance(OfCell(params, Cell(k, d), of_cell)));
      }
      if (largest >= 0) {
        repairs.push_back({.reason = reason, .component = k, .amount = largest});
      }
    }
  }

  const std::unique_ptr<Univariate> univariate_;
  const int num_components_;
  const int num_columns_;
  const int64_t num_cells_;
  const double empty_;  // weight up to which a cell or a component is empty
  const ColumnsExpectation expectation_;
  std::optional<ColumnsMaximization> maximization_;
  Layout parameters_;
  Layout statistics_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeColumns(std::unique_ptr<Univariate> univariate,
                                                      int num_components, const Summary& summary,
                                                      const std::vector<std::string>& names) {
  if (absl::Status status = CheckColumns(summary, names, univariate->support()); !status.ok()) {
    return status;
  }
  const auto cells = static_cast<double>(num_components) * static_cast<double>(names.size());
  const double size = cells * static_cast<double>(univariate->parameters().size());
  if (!(size <= kMaxParameters)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "num_components: got ", num_components, ", which with ", names.size(), " columns gives ",
        size, " parameters, must be at most ", kMaxParameters, "; use fewer components"));
  }
  return std::make_unique<Columns>(std::move(univariate), num_components, summary);
}

}  // namespace emserve
