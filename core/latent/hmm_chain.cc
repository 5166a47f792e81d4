#include "core/latent/hmm_chain.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/em/stationary.h"
#include "core/latent/hmm_block.h"
#include "core/numerics/markov.h"
#include "core/numerics/ranked_paths.h"
#include "core/runtime/draws.h"

namespace emserve {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

Paths PathsOf(const Assignment& assignment) {
  return assignment.kind == Assignment::Kind::kHard ? Paths::kBest : Paths::kAll;
}

absl::Status Cancelled() { return absl::CancelledError("stop was requested"); }

// Takes `total` off, unless nothing is possible.
void Shift(double total, std::span<double> message) {
  if (total == kImpossible) return;
  for (double& value : message) value -= total;
}

}  // namespace

HmmChain::HmmChain(const Emission& emission, const Durations* durations, int max_duration)
    : emission_(emission),
      durations_(durations),
      num_states_(emission.num_components()),
      max_duration_(max_duration) {}

int64_t HmmChain::transfer_size() const {
  const int64_t size = num_hidden();
  return size <= (durations_ == nullptr ? kMaxTransferStates : kMaxTransferHidden) ? size * size
                                                                                   : 0;
}

void HmmChain::Forward(const Model::Prepared& prepared, const Block& block,
                       const Assignment& assignment, Model::Workspace& workspace,
                       std::span<double> message) const {
  HmmBlock rows(emission_, HmmPrepared::Of(prepared), block, assignment,
                HmmWorkspace::Of(workspace));
  rows.WeighRows();
  rows.Forward(message);
}

void HmmChain::Backward(const Model::Prepared& prepared, const Block& block,
                        const Assignment& assignment, Model::Workspace& workspace,
                        std::span<double> message) const {
  HmmBlock rows(emission_, HmmPrepared::Of(prepared), block, assignment,
                HmmWorkspace::Of(workspace));
  rows.WeighRows();
  rows.Backward(message);
}

void HmmChain::Transfer(const Model::Prepared& prepared, const Block& block,
                        const Assignment& assignment, Model::Workspace& workspace,
                        std::span<double> transfer) const {
  HmmBlock rows(emission_, HmmPrepared::Of(prepared), block, assignment,
                HmmWorkspace::Of(workspace));
  rows.WeighRows();
  rows.Transfer(transfer);
}

void HmmChain::Carry(const Assignment& assignment, std::span<const double> transfer,
                     const double* before, std::span<double> message) const {
  const int size = num_hidden();
  const Paths paths = PathsOf(assignment);
  for (int j = 0; j < size; ++j) {
    message[j] = LogSumOf(paths, size, [&](int i) {
      return before[i] + transfer[static_cast<size_t>(i) * size + j];
    });
  }
  // Probabilities that sum to 1, or are 1 at most: the next block's density counts from there.
  Shift(LogSum(paths, message.data(), size), message.first(size));
}

void HmmChain::CarryBack(const Assignment& assignment, std::span<const double> transfer,
                         const double* behind, std::span<double> message) const {
  const int size = num_hidden();
  for (int i = 0; i < size; ++i) {
    const double* const from = transfer.data() + static_cast<size_t>(i) * size;
    message[i] = LogSumOf(PathsOf(assignment), size,
                          [&](int j) { return from[j] + (behind == nullptr ? 0 : behind[j]); });
  }
  Shift(LogSum(Paths::kBest, message.data(), size), message.first(size));
}

void HmmChain::Choose(const Assignment& assignment, int64_t row, std::span<double> before,
                      std::span<double> behind) const {
  const int chosen =
      assignment.kind == Assignment::Kind::kHard
          ? BestState(before.data(), behind.data(), num_hidden())
          : SampleState(before.data(), behind.data(), num_hidden(),
                        Random(assignment.seed, static_cast<uint64_t>(row)).Uniform());
  for (int h = 0; h < num_hidden(); ++h) {
    before[num_hidden() + h] = before[h];
    before[h] = behind[h] = h == chosen ? 0 : kImpossible;
  }
}

absl::Status HmmChain::Ahead(const Model::Prepared& prepared, int64_t steps,
                             const std::function<bool()>& cancelled,
                             std::span<double> ahead) const {
  return LookAhead(HmmPrepared::Of(prepared).plain.chain(), steps, ahead, cancelled)
             ? absl::OkStatus()
             : Cancelled();
}

std::vector<double> HmmChain::RowsOfVisits(std::span<const double> theta) const {
  if (durations_ == nullptr) return std::vector<double>(num_states_, 1.0);
  return durations_->Means(
      theta.subspan(num_states_ + num_pairs(), durations_->parameters().size()));
}

std::vector<double> HmmChain::StationaryOf(std::span<const double> theta) const {
  return LongRunShares(Transitions(theta), RowsOfVisits(theta));
}

std::vector<double> HmmChain::ExpectedDurations(std::span<const double> theta) const {
  std::vector<double> rows = RowsOfVisits(theta);
  const std::span<const double> transitions = Transitions(theta);
  for (int k = 0; k < num_states_; ++k) {
    double leaves = 0;
    for (int j = 0; j < num_states_; ++j) {
      if (j != k) leaves += transitions[static_cast<size_t>(k) * num_states_ + j];
    }
    // Visits of a semi-Markov chain end in another state, if there is one.
    if (!(leaves > 0)) {
      rows[k] = std::numeric_limits<double>::infinity();
    } else if (durations_ == nullptr) {
      rows[k] = 1 / leaves;
    }
  }
  return rows;
}

int HmmChain::SampleNext(const Model::Prepared& prepared, int hidden, Random& random,
                         std::span<double> row) const {
  const HmmPrepared& mine = HmmPrepared::Of(prepared);
  int next = hidden - 1;  // one step less is left
  if (hidden < 0 || hidden % max_duration_ == 0) {
    const double* const from =
        hidden < 0
            ? mine.plain.initial.data()
            : mine.plain.transitions.data() + static_cast<size_t>(component(hidden)) * num_states_;
    const auto draw = [&random](const double* probabilities, int count) {
      return static_cast<int>(DrawIndex(
          count, [probabilities](int64_t i) { return probabilities[i]; }, random));
    };
    next = draw(from, num_states_) * max_duration_;
    if (durations_ != nullptr) next += draw(mine.plain.durations.data() + next, max_duration_);
  }
  emission_.Sample(*mine.emission, component(next), random, row);
  return next;
}

absl::StatusOr<std::vector<Chain::RatedPath>> HmmChain::BestPathsOf(
    const Model::Prepared& prepared, const Block& block, Model::Workspace& workspace, int count,
    const std::function<bool()>& cancelled) const {
  const Assignment posterior;
  HmmWorkspace& work = HmmWorkspace::Of(workspace);
  HmmBlock rows(emission_, HmmPrepared::Of(prepared), block, posterior, work);
  rows.WeighRows();
  double common = 0;
  for (int t = 0; t < block.num_rows; ++t) common += work.log_density[t];
  const std::optional<std::vector<RankedPath>> ranked =
      BestPaths(rows.logs(), rows.rows(), work.log_likelihood.data(), count, cancelled);
  if (!ranked.has_value()) return Cancelled();
  std::vector<RatedPath> paths;
  for (const RankedPath& path : *ranked) {
    paths.push_back({path.log_density + common, {}});
    for (const int hidden : path.hidden) paths.back().components.push_back(component(hidden));
  }
  return paths;
}

}  // namespace emserve
