#include "core/em/expectation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

constexpr int64_t kCacheGap = 16;  // doubles

// The first row whose log density is not finite, and what the components say about it.
struct Culprit {
  int64_t row = std::numeric_limits<int64_t>::max();
  double log_density = 0;
  int component = -1;  // first whose own density is NaN or +infinity; -1 if none is
  double component_log_density = 0;
  bool labels = false;  // whether rows have any
};

}  // namespace

Expectation::Expectation(const Model& model, const Table& table, Pool::Share& share,
                         std::stop_token stop)
    : model_(model),
      size_(model.statistics().size()),
      lane_stride_(size_ + kCacheGap),
      lanes_(table, model.doubles_per_row(), share, stop, lane_stride_),
      prepared_(model.NewPrepared()),
      workspaces_(lanes_.num_slots()),
      given_(lanes_.num_slots()),
      lane_statistics_(std::make_unique_for_overwrite<double[]>(lane_stride_ * lanes_.num_lanes())),
      lane_log_likelihood_(lanes_.num_lanes()) {
  if (model.chain() == nullptr) return;
  messages_.emplace(model, table, lanes_.partition(), share,
                    [stop = std::move(stop)] { return stop.stop_requested(); });
}

absl::StatusOr<double> Expectation::Run(std::span<const double> theta,
                                        const Assignment& assignment) {
  if (absl::Status status = model_.Prepare(theta, *prepared_); !status.ok()) return status;
  if (messages_) {
    if (absl::Status status = messages_->Run(*prepared_, assignment); !status.ok()) return status;
  }
  absl::Status status = lanes_.ForEachBlock([&](int lane, int slot, const Block& block) {
    if (lanes_.Begins(lane, block)) ClearLane(lane);
    lane_log_likelihood_[lane] +=
        model_.EStep(*prepared_, Informed(block), assignment, WorkspaceOf(slot), Lane(lane));
  });
  if (!status.ok()) return status;
  MergeLanes();
  double log_likelihood = 0;
  for (const double of_lane : lane_log_likelihood_) log_likelihood += of_lane;
  if (!std::isfinite(log_likelihood)) return ExplainNonFinite();
  return log_likelihood;
}

absl::Status Expectation::RunGiven(std::span<const double> theta, Assign assign) {
  if (absl::Status status = model_.Prepare(theta, *prepared_); !status.ok()) return status;
  absl::Status status = lanes_.ForEachBlock([&](int lane, int slot, const Block& block) {
    if (lanes_.Begins(lane, block)) ClearLane(lane);
    std::unique_ptr<Given>& given = given_[slot];
    if (given == nullptr) {
      given = std::make_unique<Given>(PaddedRows(lanes_.max_rows()), model_.num_components());
    }
    const std::span posterior(given->posterior.data(),
                              static_cast<size_t>(model_.num_components()) * block.stride);
    std::fill(posterior.begin(), posterior.end(), 0.0);
    assign(block, std::span(given->scratch.data(), 2 * static_cast<size_t>(block.stride)),
           posterior);
    model_.GivenStep(*prepared_, block, posterior, WorkspaceOf(slot), Lane(lane));
  });
  if (!status.ok()) return status;
  MergeLanes();
  return absl::OkStatus();
}

Model::Workspace& Expectation::WorkspaceOf(int slot) {
  std::unique_ptr<Model::Workspace>& workspace = workspaces_[slot];
  if (workspace == nullptr) workspace = model_.NewWorkspace(lanes_.max_rows());
  return *workspace;
}

void Expectation::ClearLane(int lane) {
  const std::span<double> statistics = Lane(lane);
  std::fill(statistics.begin(), statistics.end(), 0.0);
  lane_log_likelihood_[lane] = 0;
}

void Expectation::MergeLanes() {
  double* const sum = Lane(0).data();
  for (int lane = 1; lane < lanes_.num_lanes(); ++lane) {
    const double* const part = Lane(lane).data();
    for (int64_t i = 0; i < size_; ++i) sum[i] += part[i];
  }
}

absl::Status Expectation::ExplainNonFinite() {
  const int num_components = model_.num_components();
  std::mutex mutex;
  Culprit first;
  absl::Status status = lanes_.ForEachBlock([&](int, int slot, const Block& block) {
    std::vector<double> log_density(block.stride);
    std::vector<double> of_component(static_cast<size_t>(num_components) * block.stride);
    model_.Infer(*prepared_, Informed(block), WorkspaceOf(slot),
                 {.log_density = log_density.data(), .component_log_density = of_component.data()});
    for (int i = 0; i < block.num_rows; ++i) {
      if (std::isfinite(log_density[i])) continue;
      Culprit found{.row = block.first_row + i,
                    .log_density = log_density[i],
                    .labels = block.log_labels != nullptr};
      for (int k = num_components - 1; k >= 0; --k) {
        const double value = of_component[static_cast<size_t>(k) * block.stride + i];
        if (!(value < std::numeric_limits<double>::infinity())) {
          found.component = k;
          found.component_log_density = value;
        }
      }
      const std::lock_guard lock(mutex);
      if (found.row < first.row) first = found;
      return;
    }
  });
  if (!status.ok()) return status;
  if (first.row == std::numeric_limits<int64_t>::max()) {
    return absl::FailedPreconditionError(
        "log-likelihood: every row's log density is finite but their weighted sum is not; "
        "scale the row weights down");
  }
  std::string message =
      absl::StrCat("row ", first.row, ": got log density ", first.log_density, ", must be finite");
  if (first.component >= 0) {
    absl::StrAppend(&message, "; component ", first.component, " gives it ",
                    first.component_log_density);
  } else {
    absl::StrAppend(&message, model_.chain() == nullptr
                                  ? "; no component can have produced it"
                                  : "; no state that the rows before it leave can have it: "
                                    "empty its cells, or start elsewhere");
    if (first.labels && model_.chain() != nullptr) {
      absl::StrAppend(&message, "; labels may ask for transitions that there are not");
    }
  }
  return absl::FailedPreconditionError(message);
}

}  // namespace emserve
