#include "core/latent/mixture.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/components.h"
#include "core/em/scratch.h"
#include "core/em/simplex.h"
#include "core/numerics/kernels.h"
#include "core/runtime/draws.h"

namespace emserve {
namespace {

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
        log_weights(of.num_components()),
        emission(of.NewWorkspace(max_rows)) {}

  Scratch log_density;              // [stride]
  Scratch by_component;             // [K x stride]: log densities, then posteriors in their place
  std::vector<double> log_weights;  // [K] at another temperature
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
  Mixture(std::unique_ptr<Emission> emission, double weight_concentration)
      : emission_(std::move(emission)),
        num_components_(emission_->num_components()),
        weight_concentration_(weight_concentration) {
    parameters_.Add("weights", {num_components_});
    parameters_.Append("", emission_->parameters());
    statistics_.Add("occupancy", {num_components_});
    statistics_.Append("", emission_->statistics());
  }

  absl::Status Constrain(const ConstraintOptions& options) {
    absl::StatusOr<Constraints> constraints = Constraints::Make(parameters_, options);
    if (!constraints.ok()) return constraints.status();
    constraints_ = constraints->Slice(0, num_components_);
    absl::Status status = ValidateSimplexConstraints("weights", constraints_);
    if (!status.ok()) return status;
    Constraints of_emission =
        constraints->Slice(num_components_, constraints->size() - num_components_);
    for (int k = 0; k < num_components_; ++k) {
      joined_.push_back(JoinsComponents(of_emission, emission_->parameters(), k));
    }
    return emission_->Constrain(std::move(of_emission));
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_columns() const override { return emission_->num_columns(); }
  int num_components() const override { return num_components_; }
  int64_t doubles_per_row() const override {
    return num_columns() + num_components_ + 1 + emission_->scratch_per_row();
  }
  int num_seeds() const override { return emission_->num_seeds(); }
  bool starts_hard() const override { return emission_->starts_hard(); }
  bool has_distances() const override { return emission_->has_distances(); }
  int64_t degrees_of_freedom(std::span<const double> theta) const override {
    std::vector<bool> active(num_components_);
    for (int k = 0; k < num_components_; ++k) active[k] = theta[k] > 0;
    // Of the groups of weights one is what the others leave.
    const int64_t num_free = NumFree(constraints_, 1, active);
    return std::max<int64_t>(num_free - 1, 0) + emission_->degrees_of_freedom(active);
  }

  bool checks_rows() const override { return emission_->checks_rows(); }
  absl::Status CheckRows(const Block& block, const std::vector<std::string>& names) const override {
    return emission_->CheckRows(block, names);
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
    if (absl::Status status = ValidateSimplex("weights", theta.first(num_components_));
        !status.ok()) {
      return status;
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

  double EStep(const Prepared& prepared, const Block& block, const Assignment& assignment,
               Workspace& workspace, std::span<double> stats) const override {
    const MixturePrepared& mine = Cast(prepared);
    MixtureWorkspace& work = Cast(workspace);
    const std::span<double> by_component = Used(work.by_component, block);
    emission_->LogDensity(*mine.emission, block, *work.emission, by_component);
    AddLabels(block, by_component);
    const double inverse_temperature = assignment.inverse_temperature;
    if (inverse_temperature == 1) {
      NormalizeLogDensities(by_component.data(), num_components_, block.stride,
                            mine.log_weights.data(), work.log_density.data());
    } else {
      for (int k = 0; k < num_components_; ++k) {
        work.log_weights[k] = inverse_temperature * mine.log_weights[k];
      }
      for (double& value : by_component) value *= inverse_temperature;
      NormalizeLogDensities(by_component.data(), num_components_, block.stride,
                            work.log_weights.data(), work.log_density.data());
      for (int i = 0; i < block.stride; ++i) work.log_density[i] /= inverse_temperature;
    }
    if (assignment.kind == Assignment::Kind::kHard) AssignHard(block, by_component, work);
    if (assignment.kind == Assignment::Kind::kSampled) {
      AssignSampled(block, assignment.seed, by_component);
    }
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
    std::vector<double> counts(occupancy.begin(), occupancy.end());
    for (int k = 0; k < num_components_; ++k) {
      counts[k] = theta[k] > 0 ? counts[k] + (weight_concentration_ - 1) : 0;
    }
    MaximizeSimplex(counts, constraints_, theta.first(num_components_),
                    next.first(num_components_));
    absl::Status status = emission_->Maximize(OfEmission(theta), occupancy, OfEmission(stats),
                                              OfEmission(next), context);
    if (!status.ok()) return status;
    // A prior below 1 takes the weight of a component whose rows count less than 1 minus it, and
    // LogPrior loses a positive term with it.
    for (int k = 0; k < num_components_ && weight_concentration_ < 1; ++k) {
      if (!(theta[k] > 0) || next[k] > 0 || constraints_.IsFixed(k)) continue;
      context.repairs.push_back({.reason = kComponentDropped, .component = k, .amount = theta[k]});
    }
    return absl::OkStatus();
  }

  double LogPrior(std::span<const double> theta) const override {
    double sum = emission_->LogPrior(OfEmission(theta));
    for (int k = 0; k < num_components_ && weight_concentration_ != 1; ++k) {
      if (theta[k] > 0) sum += (weight_concentration_ - 1) * std::log(theta[k]);
    }
    return sum;
  }

  void Recenter(std::span<const double> theta, std::span<const double> centre,
                std::span<double> stats) const override {
    emission_->Recenter(OfEmission(theta), OfEmission(centre), stats.first(num_components_),
                        OfEmission(stats));
  }
  void ExpectedStatistics(std::span<const double> theta, double num_observations,
                          double /*num_sequences*/, std::span<double> stats) const override {
    for (int k = 0; k < num_components_; ++k) stats[k] = num_observations * theta[k];
    emission_->ExpectedStatistics(OfEmission(theta), stats.first(num_components_),
                                  OfEmission(stats));
  }
  double ExpectedLogDensity(std::span<const double> centre, std::span<const double> stats,
                            std::span<const double> theta) const override {
    double sum = emission_->ExpectedLogDensity(OfEmission(centre), stats.first(num_components_),
                                               OfEmission(stats), OfEmission(theta));
    for (int k = 0; k < num_components_; ++k) {
      if (stats[k] > 0) sum += stats[k] * std::log(theta[k]);
    }
    return sum;
  }

  void ToUnconstrained(std::span<const double> theta,
                       std::span<double> coordinates) const override {
    SimplexToCoordinates(theta.first(num_components_), coordinates.first(num_components_));
    emission_->ToUnconstrained(OfEmission(theta), OfEmission(coordinates));
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> theta) const override {
    SimplexFromCoordinates(coordinates.first(num_components_), constraints_,
                           theta.first(num_components_));
    emission_->FromUnconstrained(OfEmission(coordinates), OfEmission(reference), OfEmission(theta));
  }

  std::optional<double> WeightOf(std::span<const double> theta, int component) const override {
    return theta[component];
  }
  void Reweigh(int component, double weight, std::span<double> theta) const override {
    std::vector<double> counts(theta.begin(), theta.begin() + num_components_);
    const double others = 1 - counts[component];
    for (int k = 0; k < num_components_; ++k) {
      counts[k] = k == component ? weight : others > 0 ? counts[k] * (1 - weight) / others : 0;
    }
    const std::vector<double> now = counts;
    MaximizeSimplex(counts, constraints_, now, theta.first(num_components_));
  }

  bool can_respawn(int component) const override { return joined_.empty() || !joined_[component]; }

  void Reference(const Summary& summary, std::span<double> theta) const override {
    const std::vector<double> even(num_components_, 1.0);
    MaximizeSimplex(even, constraints_, even, theta.first(num_components_));
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
    const bool conditional = outputs.conditional_mean != nullptr;
    if (outputs.log_density == nullptr && outputs.posterior == nullptr && !conditional) return;
    AddLabels(block, by_component);
    NormalizeLogDensities(by_component.data(), num_components_, block.stride,
                          mine.log_weights.data(), work.log_density.data());
    if (outputs.log_density != nullptr) {
      std::copy_n(work.log_density.data(), block.stride, outputs.log_density);
    }
    if (outputs.posterior != nullptr) {
      std::copy(by_component.begin(), by_component.end(), outputs.posterior);
    }
    if (conditional) {
      emission_->Conditional(*mine.emission, block, by_component, *work.emission,
                             outputs.conditional_mean, outputs.conditional_variance);
    }
  }

  int Sample(const Prepared& prepared, Random& random, std::span<double> row) const override {
    const MixturePrepared& mine = Cast(prepared);
    const auto component = static_cast<int>(DrawIndex(
        num_components_, [&](int64_t k) { return mine.weights[k]; }, random));
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

  // A row's plausibilities multiply its densities.
  void AddLabels(const Block& block, std::span<double> by_component) const {
    if (block.log_labels == nullptr) return;
    for (size_t j = 0; j < by_component.size(); ++j) by_component[j] += block.log_labels[j];
  }

  // Posteriors become 1 for the most probable component, and log densities those of row and
  // component together.
  void AssignHard(const Block& block, std::span<double> posterior, MixtureWorkspace& work) const {
    for (int i = 0; i < block.stride; ++i) {
      int best = 0;
      double largest = posterior[i];
      for (int k = 1; k < num_components_; ++k) {
        const double p = posterior[static_cast<size_t>(k) * block.stride + i];
        if (p > largest) {
          largest = p;
          best = k;
        }
      }
      work.log_density[i] += std::log(largest);
      for (int k = 0; k < num_components_; ++k) {
        posterior[static_cast<size_t>(k) * block.stride + i] = k == best ? 1 : 0;
      }
    }
  }

  // Posteriors become 1 for a component drawn from them.
  void AssignSampled(const Block& block, uint64_t seed, std::span<double> posterior) const {
    for (int i = 0; i < block.num_rows; ++i) {
      Random random(seed, static_cast<uint64_t>(block.first_row + i));
      double left = random.Uniform();
      int drawn = -1;
      for (int k = 0; k < num_components_; ++k) {
        double& p = posterior[static_cast<size_t>(k) * block.stride + i];
        if (p > 0 && left >= 0) {
          drawn = k;  // the last one with mass, should rounding leave a rest
          left -= p;
        }
        p = 0;
      }
      if (drawn >= 0) posterior[static_cast<size_t>(drawn) * block.stride + i] = 1;
    }
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
  const double weight_concentration_;
  Constraints constraints_;   // of the weights
  std::vector<char> joined_;  // [K] whether a tie joins emissions with others', or empty: none
  Layout parameters_;
  Layout statistics_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> MakeMixture(std::unique_ptr<Emission> emission,
                                                   const MixtureHyperparameters& hyperparameters) {
  const double concentration = hyperparameters.weight_concentration;
  if (!(concentration > 0) || !std::isfinite(concentration)) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight_concentration: got ", concentration, ", must be finite and positive"));
  }
  auto mixture = std::make_unique<Mixture>(std::move(emission), concentration);
  if (!hyperparameters.constraints.empty()) {
    absl::Status status = mixture->Constrain(hyperparameters.constraints);
    if (!status.ok()) return status;
  }
  return mixture;
}

}  // namespace emserve
