#include "core/emission/gaussian.h"

#include <cmath>
#include <numbers>
#include <utility>

#include "core/distribution/conditional_cells.h"
#include "core/distribution/cumulative_cells.h"
#include "core/distribution/elliptical.h"

namespace emserve {
namespace {

const double kLog2Pi = std::log(2 * std::numbers::pi);

class GaussianPrepared final : public Emission::Prepared {
 public:
  explicit GaussianPrepared(const Covariances& of) : covariances(of.NewPrepared()) {}
  const std::unique_ptr<Covariances::Prepared> covariances;
};

const Covariances::Prepared& Cast(const Emission::Prepared& prepared) {
  return *static_cast<const GaussianPrepared&>(prepared).covariances;
}
EllipticalWorkspace& Cast(Emission::Workspace& workspace) {
  return static_cast<EllipticalWorkspace&>(workspace);
}

class Gaussian final : public Emission {
 public:
  explicit Gaussian(EllipticalComponents components)
      : components_(std::move(components)), covariances_(components_.covariances()) {
    components_.AddParameters(parameters_);
    components_.AddStatistics(statistics_);
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_components() const override { return components_.num_components(); }
  int num_columns() const override { return components_.num_columns(); }
  int64_t scratch_per_row() const override { return components_.scratch_per_row(); }
  int64_t degrees_of_freedom(const std::vector<bool>& active) const override {
    return components_.degrees_of_freedom(active);
  }

  absl::Status Constrain(Constraints constraints) override {
    return components_.Constrain(constraints);
  }

  bool checks_rows() const override { return false; }
  absl::Status CheckRows(const Block&, const std::vector<std::string>&) const override {
    return absl::OkStatus();  // any finite number has a density
  }

  std::unique_ptr<Emission::Prepared> NewPrepared() const override {
    return std::make_unique<GaussianPrepared>(covariances_);
  }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return std::make_unique<EllipticalWorkspace>(covariances_, num_columns(), max_rows);
  }

  absl::Status Validate(std::span<const double> params) const override {
    return components_.Validate(params);
  }
  absl::Status Prepare(std::span<const double> params,
                       Emission::Prepared& prepared) const override {
    return components_.Prepare(params, *static_cast<GaussianPrepared&>(prepared).covariances);
  }

  void LogDensity(const Emission::Prepared& prepared, const Block& block, Workspace& workspace,
                  std::span<double> log_density) const override {
    EllipticalWorkspace& work = Cast(workspace);
    if (!block.complete) {
      ObservedLogDensity(Cast(prepared), block, work.ForMissing(covariances_, block), log_density);
      return;
    }
    for (int k = 0; k < num_components(); ++k) {
      double* const of_component = log_density.data() + Row(k, block);
      covariances_.Squares(Cast(prepared), k, block, work.scratch.data(), of_component);
      const double log_norm =
          -0.5 * (num_columns() * kLog2Pi + covariances_.LogDeterminant(Cast(prepared), k));
      for (int i = 0; i < block.stride; ++i) of_component[i] = log_norm - 0.5 * of_component[i];
    }
  }

  void Accumulate(const Emission::Prepared& prepared, const Block& block,
                  std::span<const double> resp, Workspace& workspace,
                  std::span<double> stats) const override {
    EllipticalWorkspace& work = Cast(workspace);
    EllipticalWorkspace::Missing* const missing =
        block.complete ? nullptr : &work.ForMissing(covariances_, block);
    const std::span<double> scatter = components_.Scatter(stats);
    for (int k = 0; k < num_components(); ++k) {
      const double* const of_component = resp.data() + Row(k, block);
      double* const first = components_.First(stats, k).data();
      Block rows = block;
      const double* responsibility = of_component;
      if (missing != nullptr) {
        // The expected moments of a row given its observed cells: those of the completed row, and
        // the conditional covariance.
        covariances_.Complete(Cast(prepared), k, block, missing->patterns, *missing->of_covariances,
                              missing->completed.data(), nullptr);
        covariances_.AddConditional(Cast(prepared), k, block, missing->patterns, of_component,
                                    *missing->of_covariances, scatter);
        rows.values = missing->completed.data();
        rows.complete = true;
      } else if (components_.IsSparse(of_component, block)) {
        rows = components_.Gather(of_component, block, work);
        responsibility = rows.weights;
      }
      covariances_.Accumulate(Cast(prepared), k, rows, responsibility, work.scratch.data(), first,
                              scatter);
    }
  }

  absl::Status Maximize(std::span<const double> params, std::span<const double> occupancy,
                        std::span<const double> stats, std::span<double> next,
                        const MaximizeContext& context) const override {
    const std::vector<double> effective = components_.Effective(occupancy, context);
    return components_.Maximize(effective, effective, params, stats, next, context);
  }

  void Recenter(std::span<const double> params, std::span<const double> centre,
                std::span<const double> occupancy, std::span<double> stats) const override {
    components_.Recenter(params, centre, occupancy, stats);
  }
  void ExpectedStatistics(std::span<const double> params, std::span<const double> occupancy,
                          std::span<double> stats) const override {
    components_.ExpectedStatistics(params, occupancy, stats);
  }
  double ExpectedLogDensity(std::span<const double> centre, std::span<const double> occupancy,
                            std::span<const double> stats,
                            std::span<const double> params) const override {
    return components_.ExpectedLogDensity(centre, occupancy, occupancy, stats, params);
  }
  double LogPrior(std::span<const double> params) const override {
    return components_.LogPrior(params);
  }
  void Reference(const Summary& summary, std::span<double> params) const override {
    components_.Reference(summary, params);
  }

  void Sample(const Emission::Prepared& prepared, int component, Random& random,
              std::span<double> row) const override {
    for (double& value : row) value = random.Normal();
    covariances_.Sample(Cast(prepared), component, 1, row);
  }

  // E(x | o) = sum_k p_k m_k and Var(x | o) = sum_k p_k (v_k + (m_k - E)^2), with m_k and v_k given
  // the component.
  void Conditional(const Emission::Prepared& prepared, const Block& block,
                   std::span<const double> posterior, Workspace& workspace, double* mean,
                   double* variance) const override {
    EllipticalWorkspace::Missing& missing = Cast(workspace).ForMissing(covariances_, block);
    ConditionalCells cells(block, mean, variance);
    for (int k = 0; k < num_components(); ++k) {
      covariances_.Complete(Cast(prepared), k, block, missing.patterns, *missing.of_covariances,
                            missing.completed.data(), missing.variance.data());
      cells.Add(posterior.data() + Row(k, block), missing.completed.data(),
                missing.variance.data());
    }
  }

  bool has_cumulatives() const override { return true; }
  void Cumulative(const Emission::Prepared& prepared, const Block& block, int component, Workspace&,
                  double* below, double* at, double* above) const override {
    for (int d = 0; d < num_columns(); ++d) {
      const Covariances::Marginal marginal = covariances_.MarginalOf(Cast(prepared), component, d);
      const auto of_value = [&](double x) {
        return NormalCumulatives((x - marginal.location) / marginal.scale);
      };
      FillCumulatives(block, d, of_value, below, at, above);
    }
  }

  void ToUnconstrained(std::span<const double> params,
                       std::span<double> coordinates) const override {
    components_.ToUnconstrained(params, coordinates);
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> params) const override {
    components_.FromUnconstrained(coordinates, reference, params);
  }

 private:
  void ObservedLogDensity(const Covariances::Prepared& prepared, const Block& block,
                          EllipticalWorkspace::Missing& missing,
                          std::span<double> log_density) const {
    for (int k = 0; k < num_components(); ++k) {
      double* const of_component = log_density.data() + Row(k, block);
      covariances_.ObservedSquares(prepared, k, block, missing.patterns, *missing.of_covariances,
                                   of_component, missing.log_determinants.data());
      for (int i = 0; i < block.stride; ++i) {
        of_component[i] = -0.5 * (missing.num_observed[i] * kLog2Pi + missing.log_determinants[i] +
                                  of_component[i]);
      }
    }
  }

  static int64_t Row(int k, const Block& block) { return static_cast<int64_t>(k) * block.stride; }

  EllipticalComponents components_;
  const Covariances& covariances_;  // of components_
  Layout parameters_;
  Layout statistics_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeGaussian(const GaussianOptions& options,
                                                       int num_components, const Summary& summary,
                                                       const std::vector<std::string>& names) {
  absl::StatusOr<EllipticalComponents> components = EllipticalComponents::Make(
      {.covariance = options.covariance, .ridge = options.ridge, .prior = options.prior},
      num_components, summary, names);
  if (!components.ok()) return components.status();
  return std::make_unique<Gaussian>(*std::move(components));
}

}  // namespace emserve
