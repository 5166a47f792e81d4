#include "core/latent/hmm.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/simplex.h"
#include "core/em/simplex_rows.h"
#include "core/em/stationary.h"
#include "core/latent/hmm_block.h"
#include "core/latent/hmm_chain.h"
#include "core/latent/hmm_options.h"
#include "core/latent/hmm_outputs.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

// A chain whose transitions are all at least this likely cannot lose a state for good.
constexpr double kReplenishing = 1e-100;

// Of a start's responsibilities, spread over all states where pairs of rows are counted: a
// transition that no pair speaks for would stay at 0.
constexpr double kPairSoftness = 0.1;

class Hmm final : public Model {
 public:
  Hmm(std::unique_ptr<Emission> emission, const HmmHyperparameters& hyperparameters)
      : emission_(std::move(emission)),
        num_states_(emission_->num_components()),
        num_pairs_(static_cast<int64_t>(num_states_) * num_states_),
        stationary_(hyperparameters.initial == InitialDistribution::kStationary),
        stickiness_(num_states_, hyperparameters.stickiness),
        leaves_(num_states_, num_states_ > 1),
        initial_(
            SimplexRows::Vector("initial", num_states_, hyperparameters.initial_concentration)),
        transitions_("transitions", num_states_, num_states_,
                     hyperparameters.transition_concentration) {
    parameters_.Add("initial", {num_states_}, /*by_component=*/false);
    parameters_.Add("transitions", {num_states_, num_states_});
    statistics_.Add("occupancy", {num_states_});
    statistics_.Add("initial_counts", {num_states_}, /*by_component=*/false);
    statistics_.Add("transition_counts", {num_states_, num_states_});
    if (hyperparameters.durations != DurationKind::kGeometric) {
      max_duration_ = hyperparameters.max_duration;
      durations_.emplace(hyperparameters.durations, num_states_, max_duration_,
                         hyperparameters.duration_concentration);
      parameters_.Append("", durations_->parameters());
      num_of_durations_ = durations_->parameters().size();
      statistics_.Add("duration_counts", {num_states_, max_duration_});
      num_duration_counts_ = static_cast<int64_t>(num_states_) * max_duration_;
    }
    parameters_.Append("", emission_->parameters());
    statistics_.Append("", emission_->statistics());
    chain_.emplace(*emission_, durations_ ? &*durations_ : nullptr, max_duration_);
  }

  absl::Status Constrain(const ConstraintOptions& options, const ExcludedElements& excluded) {
    absl::StatusOr<Constraints> constraints = Constraints::Make(parameters_, options, excluded);
    if (!constraints.ok()) return constraints.status();
    const Constraints of_transitions = constraints->Slice(num_states_, num_pairs_);
    absl::Status status = initial_.Constrain(constraints->Slice(0, num_states_));
    if (status.ok()) status = transitions_.Constrain(of_transitions);
    LookAtTransitions(of_transitions);
    const int64_t of_chain = num_states_ + num_pairs_;
    if (status.ok() && durations_) {
      status = durations_->Constrain(constraints->Slice(of_chain, num_of_durations_));
    }
    if (!status.ok()) return status;
    Constraints of_emission =
        constraints->Slice(of_chain + num_of_durations_, emission_->parameters().size());
    for (int k = 0; k < num_states_; ++k) {
      joined_.push_back(JoinsComponents(of_emission, emission_->parameters(), k));
    }
    return emission_->Constrain(std::move(of_emission));
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_columns() const override { return emission_->num_columns(); }
  int num_components() const override { return num_states_; }
  int64_t doubles_per_row() const override {
    return num_columns() + 7 * num_states_ + 2 * chain_->num_hidden() + 3 +
           emission_->scratch_per_row();
  }
  const Chain* chain() const override { return &*chain_; }
  int num_seeds() const override { return emission_->num_seeds(); }
  bool starts_hard() const override { return emission_->starts_hard(); }
  bool has_distances() const override { return emission_->has_distances(); }
  int64_t degrees_of_freedom(std::span<const double> /*theta*/) const override {
    return (stationary_ ? 0 : initial_.num_free()) + transitions_.num_free() +
           (durations_ ? durations_->num_free(leaves_) : 0) +
           emission_->degrees_of_freedom(std::vector<bool>(num_states_, true));
  }
  bool checks_rows() const override { return emission_->checks_rows(); }
  absl::Status CheckRows(const Block& block, const std::vector<std::string>& names) const override {
    return emission_->CheckRows(block, names);
  }
  std::unique_ptr<Prepared> NewPrepared() const override {
    return std::make_unique<HmmPrepared>(*emission_, max_duration_, durations_.has_value());
  }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return std::make_unique<HmmWorkspace>(
        *emission_, ChainNumbers(num_states_, max_duration_, durations_.has_value()), max_rows);
  }

  absl::Status Validate(std::span<const double> theta) const override {
    if (static_cast<int64_t>(theta.size()) != parameters_.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("parameters: got ", theta.size(), " numbers, must be ", parameters_.size()));
    }
    absl::Status status = initial_.Validate(Initial(theta));
    if (status.ok()) status = transitions_.Validate(Transitions(theta));
    if (status.ok()) status = ValidateStickiness(Transitions(theta));
    if (status.ok() && stationary_) status = ValidateStationary(theta);
    if (status.ok() && durations_) status = durations_->Validate(OfDurations(theta));
    if (!status.ok()) return status;
    return emission_->Validate(OfEmission(theta));
  }

  absl::Status Prepare(std::span<const double> theta, Prepared& prepared) const override {
    auto& mine = static_cast<HmmPrepared&>(prepared);
    const std::span<const double> initial = Initial(theta);
    const std::span<const double> transitions = Transitions(theta);
    mine.replenishes = !durations_;
    for (int k = 0; k < num_states_; ++k) mine.logs.initial[k] = std::log(initial[k]);
    for (int64_t j = 0; j < num_pairs_; ++j) {
      mine.logs.transitions[j] = std::log(transitions[j]);
      mine.replenishes = mine.replenishes && transitions[j] >= kReplenishing;
    }
    if (durations_) durations_->LogProbabilities(OfDurations(theta), mine.logs.durations);
    Exponentiate(mine.logs, mine.plain);
    // Their exponentials' logarithms are not always they.
    std::copy(initial.begin(), initial.end(), mine.plain.initial.begin());
    std::copy(transitions.begin(), transitions.end(), mine.plain.transitions.begin());
    if (mine.padded) mine.padded->Assign(mine.plain);
    return emission_->Prepare(OfEmission(theta), *mine.emission);
  }

  double EStep(const Prepared& prepared, const Block& block, const Assignment& assignment,
               Workspace& workspace, std::span<double> stats) const override {
    HmmWorkspace& work = HmmWorkspace::Of(workspace);
    HmmBlock rows(*emission_, HmmPrepared::Of(prepared), block, assignment, work);
    rows.WeighRows();
    rows.WeighSequences();
    std::fill(work.pairs.begin(), work.pairs.end(), 0.0);
    double sum = 0;
    if (assignment.kind == Assignment::Kind::kPosterior) {
      rows.Filter();
      sum = rows.SumLogDensities();
      rows.Smooth(work.pairs.data());
    } else {
      sum = rows.FollowPath();
    }
    const std::span<double> counts = TransitionCounts(stats);
    const double* const transition = rows.plain().transition;
    for (int64_t j = 0; j < num_pairs_; ++j) counts[j] += work.pairs[j] * transition[j];
    if (durations_) AddDurations(rows, stats);
    AddRows(rows, stats);
    return sum / assignment.inverse_temperature;
  }

  void GivenStep(const Prepared& prepared, const Block& block, std::span<const double> posterior,
                 Workspace& workspace, std::span<double> stats) const override {
    HmmWorkspace& work = HmmWorkspace::Of(workspace);
    const Assignment given;
    HmmBlock rows(*emission_, HmmPrepared::Of(prepared), block, given, work);
    rows.WeighSequences();
    for (int t = 0; t < block.num_rows; ++t) {
      for (int k = 0; k < num_states_; ++k) {
        work.posterior[Index(t, k)] = posterior[static_cast<size_t>(k) * block.stride + t];
      }
    }
    // Pairs of rows in different blocks are left out: a start can do without them.
    const std::span<double> counts = TransitionCounts(stats);
    const auto softened = [&](int t, int k) {
      return (1 - kPairSoftness) * work.posterior[Index(t, k)] + kPairSoftness / num_states_;
    };
    for (int t = 1; t < block.num_rows; ++t) {
      if (rows.Begins(t)) continue;
      for (int i = 0; i < num_states_; ++i) {
        const double p = work.weights[t] * softened(t - 1, i);
        for (int j = 0; j < num_states_; ++j) counts[Index(i, j)] += p * softened(t, j);
      }
    }
    AddRows(rows, stats);
  }

  absl::Status MStep(std::span<const double> theta, std::span<const double> stats,
                     std::span<double> next, const MaximizeContext& context) const override {
    const std::span<const double> occupancy = stats.first(num_states_);
    double total = 0;
    for (const double of_state : occupancy) total += of_state;
    if (!(total > 0)) {
      return absl::FailedPreconditionError(
          absl::StrCat("occupancy: got a total weight of ", total, ", must be positive"));
    }
    const std::vector<char> none(num_states_);
    const std::span<const double> initial_counts = stats.subspan(num_states_, num_states_);
    const std::span<const double> given = TransitionCounts(stats);
    std::vector<double> counts(given.begin(), given.end());
    for (int k = 0; k < num_states_; ++k) counts[Index(k, k)] += stickiness_[k];
    absl::Status status;
    if (stationary_) {
      status = MaximizeStationary(transitions_, counts, initial_counts, Transitions(theta),
                                  Transitions(next), Initial(next), context.stop);
    } else {
      status = initial_.Maximize(initial_counts, none, Initial(theta), Initial(next), context.stop);
      if (status.ok()) {
        status = transitions_.Maximize(counts, none, Transitions(theta), Transitions(next),
                                       context.stop);
      }
    }
    if (status.ok() && durations_) {
      status = durations_->Maximize(DurationCounts(stats), OfDurations(theta), OfDurations(next),
                                    context.stop);
    }
    if (!status.ok()) return status;
    return emission_->Maximize(OfEmission(theta), occupancy, StatsOfEmission(stats),
                               OfEmission(next), context);
  }

  double LogPrior(std::span<const double> theta) const override {
    const std::span<const double> transitions = Transitions(theta);
    double sum = emission_->LogPrior(OfEmission(theta)) + transitions_.LogPrior(transitions) +
                 (stationary_ ? 0 : initial_.LogPrior(Initial(theta))) +
                 (durations_ ? durations_->LogPrior(OfDurations(theta)) : 0);
    for (int k = 0; k < num_states_; ++k) {
      if (stickiness_[k] > 0) sum += stickiness_[k] * std::log(transitions[Index(k, k)]);
    }
    return sum;
  }

  void Recenter(std::span<const double> theta, std::span<const double> centre,
                std::span<double> stats) const override {
    emission_->Recenter(OfEmission(theta), OfEmission(centre), stats.first(num_states_),
                        StatsOfEmission(stats));
  }
  void ExpectedStatistics(std::span<const double> theta, double num_observations,
                          double num_sequences, std::span<double> stats) const override {
    std::vector<double> lasting(num_duration_counts_);
    if (durations_) durations_->LogProbabilities(OfDurations(theta), lasting);
    for (double& p : lasting) p = std::exp(p);
    const std::span<const double> transitions = Transitions(theta);
    const std::vector<double> mean = chain_->RowsOfVisits(theta);
    const double longest = *std::max_element(mean.begin(), mean.end());
    const double length = std::max(num_observations / (num_sequences * longest), 1.0);
    const std::vector<double> visits = ExpectedVisits(Initial(theta), transitions, length);
    // The last visit of a sequence is not left.
    std::vector<double> departures(num_states_);
    if (length > 1) departures = ExpectedVisits(Initial(theta), transitions, length - 1);
    double steps = 0;
    for (int k = 0; k < num_states_; ++k) steps += visits[k] * mean[k];
    const double scale = num_observations / steps;
    const std::span<double> counts = TransitionCounts(stats);
    for (int i = 0; i < num_states_; ++i) {
      stats[i] = scale * visits[i] * mean[i];
      stats[num_states_ + i] = num_sequences * Initial(theta)[i];
      for (int j = 0; j < num_states_; ++j) {
        counts[Index(i, j)] = scale * departures[i] * transitions[Index(i, j)];
      }
    }
    for (int64_t j = 0; j < num_duration_counts_; ++j) {
      DurationCounts(stats)[j] = scale * visits[j / max_duration_] * lasting[j];
    }
    emission_->ExpectedStatistics(OfEmission(theta), stats.first(num_states_),
                                  StatsOfEmission(stats));
  }
  double ExpectedLogDensity(std::span<const double> centre, std::span<const double> stats,
                            std::span<const double> theta) const override {
    double sum = emission_->ExpectedLogDensity(OfEmission(centre), stats.first(num_states_),
                                               StatsOfEmission(stats), OfEmission(theta));
    for (int64_t j = 0; j < num_states_ + num_pairs_; ++j) {
      const double count = stats[num_states_ + j];
      if (count > 0) sum += count * std::log(theta[j]);
    }
    std::vector<double> lasting(num_duration_counts_);
    if (durations_) durations_->LogProbabilities(OfDurations(theta), lasting);
    for (int64_t j = 0; j < num_duration_counts_; ++j) {
      const double count = DurationCounts(stats)[j];
      if (count > 0) sum += count * lasting[j];
    }
    return sum;
  }

  void ToUnconstrained(std::span<const double> theta,
                       std::span<double> coordinates) const override {
    initial_.ToCoordinates(Initial(theta), Initial(coordinates));
    transitions_.ToCoordinates(Transitions(theta), Transitions(coordinates));
    if (durations_) durations_->ToCoordinates(OfDurations(theta), OfDurations(coordinates));
    emission_->ToUnconstrained(OfEmission(theta), OfEmission(coordinates));
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> theta) const override {
    initial_.FromCoordinates(Initial(coordinates), Initial(theta));
    transitions_.FromCoordinates(Transitions(coordinates), Transitions(theta));
    if (durations_) durations_->FromCoordinates(OfDurations(coordinates), OfDurations(theta));
    Settle(theta);
    emission_->FromUnconstrained(OfEmission(coordinates), OfEmission(reference), OfEmission(theta));
  }

  void Reference(const Summary& summary, std::span<double> theta) const override {
    initial_.SetUniform(Initial(theta));
    transitions_.SetUniform(Transitions(theta));
    if (durations_) durations_->Reference(summary.num_rows, OfDurations(theta));
    Settle(theta);
    emission_->Reference(summary, OfEmission(theta));
  }

  std::optional<double> WeightOf(std::span<const double> theta, int component) const override {
    double largest = Initial(theta)[component];
    for (int i = 0; i < num_states_; ++i) {
      if (i != component) largest = std::max(largest, Transitions(theta)[Index(i, component)]);
    }
    return largest;
  }
  // The state is entered with this probability from every state, itself too, and begins with it.
  void Reweigh(int component, double weight, std::span<double> theta) const override {
    const auto reweigh = [&](const SimplexRows& rows, std::span<double> values) {
      std::vector<double> counts(values.begin(), values.end());
      for (size_t begin = 0; begin < counts.size(); begin += num_states_) {
        const double others = 1 - counts[begin + component];
        for (int k = 0; k < num_states_; ++k) {
          double& count = counts[begin + k];
          if (k == component) {
            count = count > 0 ? weight : 0;
          } else {
            count = others > 0 ? count * (1 - weight) / others : 0;
          }
        }
      }
      for (double& count : counts) count = count > 0 ? std::log(count) : kImpossible;
      rows.FromCoordinates(counts, values);
    };
    reweigh(initial_, Initial(theta));
    reweigh(transitions_, Transitions(theta));
    Settle(theta);
  }
  bool can_respawn(int component) const override { return joined_.empty() || !joined_[component]; }

  void Infer(const Prepared& prepared, const Block& block, Workspace& workspace,
             RowOutputs outputs) const override {
    const Assignment assignment{.kind = outputs.path != nullptr ? Assignment::Kind::kHard
                                                                : Assignment::Kind::kPosterior};
    HmmBlock rows(*emission_, HmmPrepared::Of(prepared), block, assignment,
                  HmmWorkspace::Of(workspace));
    InferRows(rows, outputs);
  }

  int Sample(const Prepared& prepared, Random& random, std::span<double> row) const override {
    return chain_->component(chain_->SampleNext(prepared, -1, random, row));
  }

 private:
  int64_t Index(int64_t row, int k) const { return row * num_states_ + k; }
  template <typename T>
  std::span<T> Initial(std::span<T> theta) const {
    return theta.first(num_states_);
  }
  template <typename T>
  std::span<T> Transitions(std::span<T> theta) const {
    return theta.subspan(num_states_, num_pairs_);
  }
  template <typename T>
  std::span<T> OfEmission(std::span<T> theta) const {
    return theta.subspan(num_states_ + num_pairs_ + num_of_durations_);
  }
  template <typename T>
  std::span<T> OfDurations(std::span<T> theta) const {
    return theta.subspan(num_states_ + num_pairs_, num_of_durations_);
  }
  template <typename T>
  std::span<T> TransitionCounts(std::span<T> stats) const {
    return stats.subspan(2 * num_states_, num_pairs_);
  }
  template <typename T>
  std::span<T> DurationCounts(std::span<T> stats) const {
    return stats.subspan(2 * num_states_ + num_pairs_, num_duration_counts_);
  }
  template <typename T>
  std::span<T> StatsOfEmission(std::span<T> stats) const {
    return stats.subspan(2 * num_states_ + num_pairs_ + num_duration_counts_);
  }
  // A stationary initial distribution follows the transitions.
  void Settle(std::span<double> theta) const {
    if (!stationary_) return;
    StationaryDistribution(Transitions(std::span<const double>(theta)), Initial(theta));
  }
  // What constraints leave of states' stickiness and durations.
  void LookAtTransitions(const Constraints& constraints) {
    const auto is_open = [&](int64_t pair) {
      return !constraints.IsFixed(pair) || constraints.value(pair) > 0;
    };
    for (int k = 0; k < num_states_; ++k) {
      if (constraints.IsFixed(Index(k, k))) stickiness_[k] = 0;
      leaves_[k] = false;
      for (int j = 0; j < num_states_ && !leaves_[k]; ++j) {
        leaves_[k] = j != k && is_open(Index(k, j));
      }
    }
  }
  absl::Status ValidateStickiness(std::span<const double> transitions) const {
    for (int k = 0; k < num_states_; ++k) {
      if (!(stickiness_[k] > 0 && transitions[Index(k, k)] == 0)) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "transitions[", k, ", ", k, "]: got 0, must be positive with a stickiness of ",
          stickiness_[k], "; set a stickiness of 0, or a small probability"));
    }
    return absl::OkStatus();
  }
  absl::Status ValidateStationary(std::span<const double> theta) const {
    std::vector<double> stationary(num_states_);
    StationaryDistribution(Transitions(theta), stationary);
    for (int k = 0; k < num_states_; ++k) {
      const double given = theta[k];
      if (std::abs(given - stationary[k]) <= kSimplexTolerance) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("initial[", k, "]: got ", given, ", must be ", stationary[k],
                       ", the stationary probability under the transitions"));
    }
    return absl::OkStatus();
  }

  // Of visits: those that begin sequences, from the scores, and those that follow others.
  void AddDurations(const HmmBlock& rows, std::span<double> stats) const {
    const HmmWorkspace& work = rows.work();
    const std::span<double> counts = DurationCounts(stats);
    for (int64_t j = 0; j < num_duration_counts_; ++j) {
      counts[j] += work.pairs[num_pairs_ + j] * rows.plain().duration[j];
    }
    for (int t = 0; t < rows.block().num_rows; ++t) {
      if (!rows.Begins(t)) continue;
      const double* const score = work.score.data() + t * num_duration_counts_;
      for (int64_t j = 0; j < num_duration_counts_; ++j) counts[j] += work.weights[t] * score[j];
    }
  }

  // The statistics of rows whose states have the posteriors.
  void AddRows(const HmmBlock& rows, std::span<double> stats) const {
    const Block& block = rows.block();
    HmmWorkspace& work = rows.work();
    for (int t = 0; t < block.num_rows; ++t) {
      if (rows.Begins(t)) {
        for (int k = 0; k < num_states_; ++k) {
          stats[num_states_ + k] += work.weights[t] * work.posterior[Index(t, k)];
        }
      }
      const double weight = work.weights[t] * block.weights[t];
      if (weight == 1) continue;
      for (int k = 0; k < num_states_; ++k) work.posterior[Index(t, k)] *= weight;
    }
    const std::span<double> responsibility = rows.ByState();
    rows.SpreadPosterior(responsibility);
    for (int k = 0; k < num_states_; ++k) {
      stats[k] += Sum(responsibility.data() + static_cast<size_t>(k) * block.stride, block.stride);
    }
    emission_->Accumulate(*rows.prepared().emission, block, responsibility, *work.emission,
                          StatsOfEmission(stats));
  }

  const std::unique_ptr<Emission> emission_;
  const int num_states_;
  const int64_t num_pairs_;
  const bool stationary_;
  std::vector<double> stickiness_;  // [K], 0 of states whose transition to themselves is fixed
  std::vector<bool> leaves_;        // [K] whether there is a transition to another state
  int max_duration_ = 1;
  int64_t num_of_durations_ = 0;        // parameters
  int64_t num_duration_counts_ = 0;     // statistics
  std::optional<Durations> durations_;  // of a semi-Markov chain
  std::optional<HmmChain> chain_;
  SimplexRows initial_;
  SimplexRows transitions_;
  std::vector<char> joined_;  // [K] whether a tie joins emissions with others', or empty: none
  Layout parameters_;
  Layout statistics_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> MakeHmm(std::unique_ptr<Emission> emission,
                                               const HmmHyperparameters& hyperparameters) {
  const absl::StatusOr<ExcludedElements> excluded =
      CheckHmm(emission->num_components(), hyperparameters);
  if (!excluded.ok()) return excluded.status();
  auto hmm = std::make_unique<Hmm>(std::move(emission), hyperparameters);
  if (!hyperparameters.constraints.empty() || !excluded->excluded.empty()) {
    absl::Status status = hmm->Constrain(hyperparameters.constraints, *excluded);
    if (!status.ok()) return status;
  }
  return hmm;
}

}  // namespace emserve
