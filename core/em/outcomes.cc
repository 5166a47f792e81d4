#include "core/em/outcomes.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

constexpr double kSameOptimum = 1e-5;  // relative, as Optimum says

}  // namespace

void Outcomes::Add(const Restart& restart) {
  const RestartOutcome& outcome = restart.outcome();
  const std::lock_guard lock(mutex_);
  outcomes_[outcome.restart] = outcome;
  floored_[outcome.restart] = restart.HasFlooredVariance();
  if (!outcome.status.ok() || (best_ >= 0 && !Better(outcome.restart, best_))) return;
  best_ = outcome.restart;
  result_.theta.assign(restart.theta().begin(), restart.theta().end());
  result_.log_prior = restart.log_prior();
  result_.log_likelihood = restart.log_likelihood();
  result_.repairs = restart.repairs();
}

void Outcomes::AddSkipped(int restart) {
  const std::lock_guard lock(mutex_);
  outcomes_[restart].restart = restart;
  outcomes_[restart].status =
      absl::DeadlineExceededError("time_budget was spent before this restart began");
}

absl::StatusOr<FitResult> Outcomes::Finish() {
  if (best_ < 0) return WhyAllFailed();
  result_.best = outcomes_[best_];
  result_.objective = result_.best.objective;
  result_.optima = GroupOptima();
  for (const RestartOutcome& outcome : outcomes_) result_.total_iterations += outcome.iterations;
  result_.restarts = std::move(outcomes_);
  return std::move(result_);
}

// One message if they agree: then it is the data or the options, not the start.
absl::Status Outcomes::WhyAllFailed() const {
  const absl::string_view first = outcomes_[0].status.message();
  const bool agree =
      std::all_of(outcomes_.begin(), outcomes_.end(),
                  [&](const RestartOutcome& outcome) { return outcome.status.message() == first; });
  if (agree) return absl::FailedPreconditionError(first);
  return absl::FailedPreconditionError(
      absl::StrCat("all ", outcomes_.size(), " restarts failed; the first: ", first));
}

// A strict order: degenerate ones last, then by objective, then by number.
bool Outcomes::Better(int a, int b) const {
  if (floored_[a] != floored_[b]) return floored_[b];
  if (outcomes_[a].objective != outcomes_[b].objective) {
    return outcomes_[a].objective > outcomes_[b].objective;
  }
  return a < b;
}

std::vector<Optimum> Outcomes::GroupOptima() const {
  std::vector<int> order;
  for (const RestartOutcome& outcome : outcomes_) {
    if (outcome.status.ok()) order.push_back(outcome.restart);
  }
  std::sort(order.begin(), order.end(), [this](int a, int b) { return Better(a, b); });
  std::vector<Optimum> optima;
  for (const int r : order) {
    const double objective = outcomes_[r].objective;
    const bool floored = floored_[r] != 0;
    if (optima.empty() || optima.back().degenerate != floored ||
        !(std::abs(optima.back().objective - objective) <=
          kSameOptimum * (mean_weight_ + std::abs(optima.back().objective)))) {
      optima.push_back(
          {.objective = objective, .count = 0, .first_restart = r, .degenerate = floored});
    }
    ++optima.back().count;
    optima.back().first_restart = std::min(optima.back().first_restart, r);
  }
  return optima;
}

}  // namespace emserve
