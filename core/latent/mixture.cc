#include "core/latent/mixture.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/scratch.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

// Weights of a given theta may be off the simplex by this much: they may have been written as text.
constexpr double kSimplexTolerance = 1e-6;

class MixturePrepared final : public Model::Prepared {
 public:
  explicit MixturePrepared(const Emission& of)
      : weights(of.num_components()),
        log_weights(of.num_components()),
        emission(of.NewPrepared()) {}

  std::vector<double> weights;      // [K]
  std::vector<double> log_weights;  // [K], -infinity for an empty component
  std::unique_ptr<Emission::Prepared> emission;
};

class MixtureWorkspace final : public Model::Workspace {
 public:
  MixtureWorkspace(const Emission& of, int max_rows)
      : log_density(PaddedRows(max_rows)),
        by_component(static_cast<int64_t>(of.num_components()) * PaddedRows(max_rows)),
        emission(of.NewWorkspace(max_rows)) {}

  Scratch log_density;   // [stride]
  Scratch by_component;  // [K x stride]: log densities, then posteriors in their place
  std::unique_ptr<Emission::Workspace> emission;
};

const MixturePrepared& Cast(const Model::Prepared& prepared) {
  return static_cast<const MixturePrepared&>(prepared);
}
MixtureWorkspace& Cast(Model::Workspace& workspace) {
  return static_cast<MixtureWorkspace&>(workspace);
}

class Mixture final : public Model {
 public:
  explicit Mixture(std::unique_ptr<Emission> emission)
      : emission_(std::move(emission)), num_components_(emission_->num_components()) {
    parameters_.Add("weights", {num_components_});
    parameters_.Append("", emission_->parameters());
    statistics_.Add("occupancy", {num_components_});
    statistics_.Append("", emission_->statistics());
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_columns() const override { return emission_->num_columns(); }
  int num_components() const override { return num_components_; }
  int64_t doubles_per_row() const override {
    return num_columns() + num_components_ + 1 + emission_->scratch_per_row();
  }
  int64_t degrees_of_freedom() const override {
    return num_components_ - 1 + emission_->degrees_of_freedom();
  }

  std::unique_ptr<Prepared> NewPrepared() const override {
    return std::make_unique<MixturePrepared>(*emission_);
  }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return std::make_unique<MixtureWorkspace>(*emission_, max_rows);
  }

  absl::Status Validate(std::span<const double> theta) const override {
    if (static_cast<int64_t>(theta.size()) != parameters_.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("parameters: got ", theta.size(), " numbers, must be ", parameters_.size()));
    }
    double sum = 0;
    for (int k = 0; k < num_components_; ++k) {
      if (!(theta[k] >= 0 && theta[k] <= 1 + kSimplexTolerance)) {
        return absl::InvalidArgumentError(
            absl::StrCat("weights[", k, "]: got ", theta[k], ", must be in [0, 1]"));
      }
      sum += theta[k];
    }
    if (!(std::abs(sum - 1) <= kSimplexTolerance)) {
      return absl::InvalidArgumentError(
          absl::StrCat("weights: got a sum of ", sum, ", must be 1 within ", kSimplexTolerance));
    }
    return emission_->Validate(OfEmission(theta));
  }

  absl::Status Prepare(std::span<const double> theta, Prepared& prepared) const override {
    auto& mine = static_cast<MixturePrepared&>(prepared);
    for (int k = 0; k < num_components_; ++k) {
      mine.weights[k] = theta[k];
      mine.log_weights[k] = std::log(theta[k]);
    }
    return emission_->Prepare(OfEmission(theta), *mine.emission);
  }

  double EStep(const Prepared& prepared, const Block& block, Workspace& workspace,
               std::span<double> stats) const override {
    const MixturePrepared& mine = Cast(prepared);
    MixtureWorkspace& work = Cast(workspace);
    const std::span<double> by_component = Used(work.by_component, block);
    emission_->LogDensity(*mine.emission, block, *work.emission, by_component);
    NormalizeLogDensities(by_component.data(), num_components_, block.stride,
                          mine.log_weights.data(), work.log_density.data());
    const double log_likelihood = WeightedSum(work.log_density.data(), block.weights, block.stride);
    ScaleRows(by_component.data(), num_components_, block.stride, block.weights);
    AddOccupancy(block, by_component, stats);
    emission_->Accumulate(*mine.emission, block, by_component, *work.emission, OfEmission(stats));
    return log_likelihood;
  }

  void GivenStep(const Prepared& prepared, const Block& block, std::span<const double> posterior,
                 Workspace& workspace, std::span<double> stats) const override {
    MixtureWorkspace& work = Cast(workspace);
    const std::span<double> responsibility = Used(work.by_component, block);
    std::copy_n(posterior.begin(), responsibility.size(), responsibility.begin());
    ScaleRows(responsibility.data(), num_components_, block.stride, block.weights);
    AddOccupancy(block, responsibility, stats);
    emission_->Accumulate(*Cast(prepared).emission, block, responsibility, *work.emission,
                          OfEmission(stats));
  }

  absl::Status MStep(std::span<const double> theta, std::span<const double> stats,
                     std::span<double> next, const MaximizeContext& context) const override {
    const std::span<const double> occupancy = stats.first(num_components_);
    double total = 0;
    for (const double of_component : occupancy) total += of_component;
    if (!(total > 0)) {
      return absl::FailedPreconditionError(
          absl::StrCat("occupancy: got a total weight of ", total, ", must be positive"));
    }
    for (int k = 0; k < num_components_; ++k) next[k] = occupancy[k] / total;
    return emission_->Maximize(OfEmission(theta), occupancy, OfEmission(stats), OfEmission(next),
                               context);
  }

  double LogPrior(std::span<const double> theta) const override {
    return emission_->LogPrior(OfEmission(theta));
  }

  void Reference(const Summary& summary, std::span<double> theta) const override {
    std::fill_n(theta.begin(), num_components_, 1.0 / num_components_);
    emission_->Reference(summary, OfEmission(theta));
  }

  void Infer(const Prepared& prepared, const Block& block, Workspace& workspace,
             RowOutputs outputs) const override {
    const MixturePrepared& mine = Cast(prepared);
    MixtureWorkspace& work = Cast(workspace);
    const std::span<double> by_component = Used(work.by_component, block);
    emission_->LogDensity(*mine.emission, block, *work.emission, by_component);
    if (outputs.component_log_density != nullptr) {
      std::copy(by_component.begin(), by_component.end(), outputs.component_log_density);
    }
    if (outputs.log_density == nullptr && outputs.posterior == nullptr) return;
    NormalizeLogDensities(by_component.data(), num_components_, block.stride,
                          mine.log_weights.data(), work.log_density.data());
    if (outputs.log_density != nullptr) {
      std::copy_n(work.log_density.data(), block.stride, outputs.log_density);
    }
    if (outputs.posterior != nullptr) {
      std::copy(by_component.begin(), by_component.end(), outputs.posterior);
    }
  }

  int Sample(const Prepared& prepared, Random& random, std::span<double> row) const override {
    const MixturePrepared& mine = Cast(prepared);
    double left = random.Uniform();
    int component = 0;
    for (int k = 0; k < num_components_; ++k) {
      if (!(mine.weights[k] > 0)) continue;
      component = k;  // the last one with weight, should rounding leave a rest
      left -= mine.weights[k];
      if (left < 0) break;
    }
    emission_->Sample(*mine.emission, component, random, row);
    return component;
  }

 private:
  std::span<double> OfEmission(std::span<double> buffer) const {
    return buffer.subspan(num_components_);
  }
  std::span<const double> OfEmission(std::span<const double> buffer) const {
    return buffer.subspan(num_components_);
  }
  std::span<double> Used(const Scratch& storage, const Block& block) const {
    return std::span(storage.data(), static_cast<size_t>(num_components_) * block.stride);
  }

  // sum_i w_i resp(i, k), into the first K statistics.
  void AddOccupancy(const Block& block, std::span<const double> responsibility,
                    std::span<double> stats) const {
    for (int k = 0; k < num_components_; ++k) {
      stats[k] += Sum(responsibility.data() + static_cast<int64_t>(k) * block.stride, block.stride);
    }
  }

  const std::unique_ptr<Emission> emission_;
  const int num_components_;
  Layout parameters_;
  Layout statistics_;
};

}  // namespace

std::unique_ptr<Model> MakeMixture(std::unique_ptr<Emission> emission) {
  return std::make_unique<Mixture>(std::move(emission));
}

}  // namespace emserve
