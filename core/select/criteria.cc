#include "core/select/criteria.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/em/lanes.h"
#include "core/em/messages.h"

namespace emserve {
namespace {

// Sums over rows of what their posteriors p_ik say.
struct PosteriorSums {
  explicit PosteriorSums(int num_components)
      : assigned(static_cast<size_t>(num_components)), certainty(assigned.size()) {}

  double log_largest = 0;         // sum_i w_i log max_k p_ik
  double entropy = 0;             // -sum_i w_i sum_k p_ik log p_ik
  std::vector<double> assigned;   // [K] weight of the rows whose most probable component is k
  std::vector<double> certainty;  // [K] sum_i w_i p_ik over those rows

  void Add(const Block& block, const std::vector<double>& posterior) {
    const auto num_components = static_cast<int>(assigned.size());
    for (int i = 0; i < block.num_rows; ++i) {
      const double weight = block.weights[i];
      if (weight == 0) continue;
      double largest = 0;
      double of_row = 0;
      size_t label = 0;
      for (int k = 0; k < num_components; ++k) {
        const double p = posterior[static_cast<size_t>(k) * block.stride + i];
        if (p > largest) {
          largest = p;
          label = static_cast<size_t>(k);
        }
        if (p > 0) of_row -= p * std::log(p);
      }
      log_largest += weight * std::log(largest);
      entropy += weight * of_row;
      assigned[label] += weight;
      certainty[label] += weight * largest;
    }
  }

  void Merge(const PosteriorSums& other) {
    log_largest += other.log_largest;
    entropy += other.entropy;
    for (size_t k = 0; k < assigned.size(); ++k) {
      assigned[k] += other.assigned[k];
      certainty[k] += other.certainty[k];
    }
  }
};

absl::StatusOr<PosteriorSums> SumPosteriors(const Model& model, const Table& table,
                                            std::span<const double> theta, Pool::Share& share,
                                            std::stop_token stop) {
  struct Slot {
    std::unique_ptr<Model::Workspace> workspace;
    std::vector<double> posterior;
  };
  const std::unique_ptr<Model::Prepared> prepared = model.NewPrepared();
  if (absl::Status status = model.Prepare(theta, *prepared); !status.ok()) return status;
  Lanes lanes(table, model.doubles_per_row(), share, stop);
  std::optional<Messages> messages;
  if (model.chain() != nullptr) {
    messages.emplace(model, table, lanes.partition(), share,
                     [&stop] { return stop.stop_requested(); });
    if (absl::Status status = messages->Run(*prepared, {}); !status.ok()) return status;
  }
  std::vector<Slot> slots(lanes.num_slots());
  const int num_components = model.num_components();
  std::vector<PosteriorSums> of_lanes(lanes.num_lanes(), PosteriorSums(num_components));
  absl::Status status = lanes.ForEachBlock([&](int lane, int slot, const Block& block) {
    auto& [workspace, posterior] = slots[slot];
    if (workspace == nullptr) {
      workspace = model.NewWorkspace(lanes.max_rows());
      posterior.resize(static_cast<size_t>(num_components) * PaddedRows(lanes.max_rows()));
    }
    model.Infer(*prepared, messages ? messages->Informed(block) : block, *workspace,
                {.posterior = posterior.data()});
    of_lanes[lane].Add(block, posterior);
  });
  if (!status.ok()) return status;
  PosteriorSums all(num_components);
  for (const PosteriorSums& of_lane : of_lanes) all.Merge(of_lane);
  return all;
}

}  // namespace

absl::StatusOr<Criteria> ComputeCriteria(const Model& model, const Table& table,
                                         std::span<const double> theta, double log_likelihood,
                                         double num_observations, Pool::Share& share,
                                         std::stop_token stop) {
  Criteria criteria;
  criteria.degrees_of_freedom = model.degrees_of_freedom(theta);
  criteria.num_observations = num_observations;
  if (model.chain() != nullptr) criteria.num_sequences = table.num_sequences();
  if (!model.has_likelihood()) return criteria;
  const absl::StatusOr<PosteriorSums> sums =
      SumPosteriors(model, table, theta, share, std::move(stop));
  if (!sums.ok()) return sums.status();
  const double df = static_cast<double>(criteria.degrees_of_freedom);
  const double bic = -2 * log_likelihood + df * std::log(num_observations);
  criteria.aic = -2 * log_likelihood + 2 * df;
  criteria.bic = bic;
  criteria.icl = bic - 2 * sums->log_largest;
  criteria.entropy = sums->entropy;
  criteria.relative_entropy = 1;
  if (model.num_components() > 1) {
    const double most = num_observations * std::log(model.num_components());
    criteria.relative_entropy = std::clamp(1 - sums->entropy / most, 0.0, 1.0);
  }
  for (size_t k = 0; k < sums->assigned.size(); ++k) {
    criteria.separation.push_back(
        sums->assigned[k] > 0 ? std::min(1.0, sums->certainty[k] / sums->assigned[k]) : 0);
  }
  return criteria;
}

}  // namespace emserve
