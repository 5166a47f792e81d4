#include "core/em/update.h"

#include <utility>
#include <vector>

namespace emserve {
namespace {

// Forwards to the model, but for the statistics of the past in maximisations and priors.
class Updated final : public Model {
 public:
  Updated(std::unique_ptr<Model> model, std::span<const double> theta, const Past& past)
      : model_(std::move(model)),
        past_theta_(theta.begin(), theta.end()),
        counts_for_(past),
        past_(model_->statistics().size()) {
    model_->ExpectedStatistics(past_theta_, past.num_observations, past.num_sequences, past_);
  }

  const Layout& parameters() const override { return model_->parameters(); }
  const Layout& statistics() const override { return model_->statistics(); }
  int num_columns() const override { return model_->num_columns(); }
  int num_components() const override { return model_->num_components(); }
  int num_seeds() const override { return model_->num_seeds(); }
  bool starts_hard() const override { return model_->starts_hard(); }
  bool has_distances() const override { return model_->has_distances(); }
  bool measures_in_own_units() const override { return model_->measures_in_own_units(); }
  bool has_likelihood() const override { return model_->has_likelihood(); }
  const Chain* chain() const override { return model_->chain(); }
  bool checks_rows() const override { return model_->checks_rows(); }
  int64_t doubles_per_row() const override { return model_->doubles_per_row(); }
  int64_t degrees_of_freedom(std::span<const double> theta) const override {
    return model_->degrees_of_freedom(theta);
  }
  absl::Status CheckRows(const Block& block, const std::vector<std::string>& names) const override {
    return model_->CheckRows(block, names);
  }
  std::unique_ptr<Prepared> NewPrepared() const override { return model_->NewPrepared(); }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return model_->NewWorkspace(max_rows);
  }
  absl::Status Validate(std::span<const double> theta) const override {
    return model_->Validate(theta);
  }
  absl::Status Prepare(std::span<const double> theta, Prepared& prepared) const override {
    return model_->Prepare(theta, prepared);
  }
  double EStep(const Prepared& prepared, const Block& block, const Assignment& assignment,
               Workspace& workspace, std::span<double> stats) const override {
    return model_->EStep(prepared, block, assignment, workspace, stats);
  }
  void GivenStep(const Prepared& prepared, const Block& block, std::span<const double> posterior,
                 Workspace& workspace, std::span<double> stats) const override {
    model_->GivenStep(prepared, block, posterior, workspace, stats);
  }

  absl::Status MStep(std::span<const double> theta, std::span<const double> stats,
                     std::span<double> next, const MaximizeContext& context) const override {
    std::vector<double> sum = PastOf(theta);
    model_->Recenter(past_theta_, theta, sum);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += stats[i];
    return model_->MStep(theta, sum, next, context);
  }

  double LogPrior(std::span<const double> theta) const override {
    return model_->LogPrior(theta) + model_->ExpectedLogDensity(past_theta_, PastOf(theta), theta);
  }

  void Recenter(std::span<const double> theta, std::span<const double> centre,
                std::span<double> stats) const override {
    model_->Recenter(theta, centre, stats);
  }
  void ExpectedStatistics(std::span<const double> theta, double num_observations,
                          double num_sequences, std::span<double> stats) const override {
    model_->ExpectedStatistics(theta, num_observations, num_sequences, stats);
  }
  double ExpectedLogDensity(std::span<const double> centre, std::span<const double> stats,
                            std::span<const double> theta) const override {
    return model_->ExpectedLogDensity(centre, stats, theta);
  }
  void ToUnconstrained(std::span<const double> theta,
                       std::span<double> coordinates) const override {
    model_->ToUnconstrained(theta, coordinates);
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> theta) const override {
    model_->FromUnconstrained(coordinates, reference, theta);
  }
  std::optional<double> WeightOf(std::span<const double> theta, int component) const override {
    return model_->WeightOf(theta, component);
  }
  void Reweigh(int component, double weight, std::span<double> theta) const override {
    model_->Reweigh(component, weight, theta);
  }
  bool can_respawn(int component) const override { return model_->can_respawn(component); }
  void Reference(const Summary& summary, std::span<double> theta) const override {
    model_->Reference(summary, theta);
  }
  void Infer(const Prepared& prepared, const Block& block, Workspace& workspace,
             RowOutputs outputs) const override {
    model_->Infer(prepared, block, workspace, outputs);
  }
  int Sample(const Prepared& prepared, Random& random, std::span<double> row) const override {
    return model_->Sample(prepared, random, row);
  }

 private:
  // The past's statistics without the components that have no weight in `theta`: what was theirs
  // has no density there, and a fit that dropped one would have an objective of minus infinity.
  std::vector<double> PastOf(std::span<const double> theta) const {
    const ArraySpec* const weights = model_->parameters().Find("weights");
    if (weights == nullptr) return past_;
    std::vector<double> left = past_theta_;
    bool any = false;
    for (int64_t j = weights->offset; j < weights->offset + weights->size; ++j) {
      if (theta[j] > 0 || !(left[j] > 0)) continue;
      left[j] = 0;
      any = true;
    }
    if (!any) return past_;
    std::vector<double> statistics(past_.size());
    model_->ExpectedStatistics(left, counts_for_.num_observations, counts_for_.num_sequences,
                               statistics);
    return statistics;
  }

  const std::unique_ptr<Model> model_;
  const std::vector<double> past_theta_;
  const Past counts_for_;
  std::vector<double> past_;  // statistics, centred on past_theta_
};

}  // namespace

std::unique_ptr<Model> WithPast(std::unique_ptr<Model> model, std::span<const double> theta,
                                const Past& past) {
  return std::make_unique<Updated>(std::move(model), theta, past);
}

}  // namespace emserve
