#include "core/select/criteria.h"

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "core/em/lanes.h"

namespace emserve {
namespace {

// sum_i w_i log max_k p(z_i = k | x_i, theta), the log posterior of the most probable labels.
absl::StatusOr<double> ClassificationTerm(const Model& model, const Table& table,
                                          std::span<const double> theta, Pool::Share& share,
                                          std::stop_token stop) {
  struct Slot {
    std::unique_ptr<Model::Workspace> workspace;
    std::vector<double> posterior;
  };
  const std::unique_ptr<Model::Prepared> prepared = model.NewPrepared();
  if (absl::Status status = model.Prepare(theta, *prepared); !status.ok()) return status;
  Lanes lanes(table, model.doubles_per_row(), share, std::move(stop));
  std::vector<Slot> slots(lanes.num_slots());
  std::vector<double> lane_sums(lanes.num_lanes());
  const int num_components = model.num_components();
  absl::Status status = lanes.ForEachBlock([&](int lane, int slot, const Block& block) {
    auto& [workspace, posterior] = slots[slot];
    if (workspace == nullptr) {
      workspace = model.NewWorkspace(lanes.max_rows());
      posterior.resize(static_cast<size_t>(num_components) * PaddedRows(lanes.max_rows()));
    }
    model.Infer(*prepared, block, *workspace, {.posterior = posterior.data()});
    for (int i = 0; i < block.num_rows; ++i) {
      double largest = 0;
      for (int k = 0; k < num_components; ++k) {
        largest = std::max(largest, posterior[static_cast<size_t>(k) * block.stride + i]);
      }
      lane_sums[lane] += block.weights[i] * std::log(largest);
    }
  });
  if (!status.ok()) return status;
  double sum = 0;
  for (const double of_lane : lane_sums) sum += of_lane;
  return sum;
}

}  // namespace

absl::StatusOr<Criteria> ComputeCriteria(const Model& model, const Table& table,
                                         std::span<const double> theta, double log_likelihood,
                                         double num_observations, Pool::Share& share,
                                         std::stop_token stop) {
  absl::StatusOr<double> classification =
      ClassificationTerm(model, table, theta, share, std::move(stop));
  if (!classification.ok()) return classification.status();
  Criteria criteria;
  criteria.degrees_of_freedom = model.degrees_of_freedom();
  criteria.num_observations = num_observations;
  const double df = static_cast<double>(criteria.degrees_of_freedom);
  criteria.aic = -2 * log_likelihood + 2 * df;
  criteria.bic = -2 * log_likelihood + df * std::log(num_observations);
  criteria.icl = criteria.bic - 2 * *classification;
  return criteria;
}

}  // namespace emserve
