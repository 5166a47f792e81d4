#include "core/latent/hmm_options.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/em/stationary.h"

namespace emserve {
namespace {

// Of a stationary initial distribution: nothing else says how sequences begin,
absl::Status CheckFreeInitial(const ConstraintOptions& constraints) {
  const auto constrains_initial = [](const auto& elements) { return elements.array == "initial"; };
  if (std::any_of(constraints.fixed.begin(), constraints.fixed.end(), constrains_initial) ||
      std::any_of(constraints.tied.begin(), constraints.tied.end(), constrains_initial)) {
    return absl::InvalidArgumentError(
        "initial: got a stationary distribution with constraints on 'initial', must be free to be "
        "constrained");
  }
  return absl::OkStatus();
}

// and all states can reach each other by allowed transitions.
template <typename Allowed>
absl::Status CheckReach(int num_states, Allowed allowed) {
  for (const bool forwards : {true, false}) {
    std::vector<char> reached(num_states);
    MarkReached(
        0, [&](size_t i, size_t j) { return forwards ? allowed(i, j) : allowed(j, i); }, reached);
    const auto missed = std::find(reached.begin(), reached.end(), 0);
    if (missed == reached.end()) continue;
    const auto state = missed - reached.begin();
    return absl::InvalidArgumentError(
        absl::StrCat("initial: got a stationary distribution, must be free where state ",
                     forwards ? state : 0, " cannot be reached from state ", forwards ? 0 : state));
  }
  return absl::OkStatus();
}

// Of a number of observations that a prior counts for.
absl::Status CheckPrior(const char* name, double value, double least) {
  // Far beyond what any data can say, and far from where sums of logarithms overflow.
  constexpr double kMost = 1e100;
  if (value > kMost && std::isfinite(value)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": got ", value, ", must be at most ", kMost));
  }
  if (value >= least && std::isfinite(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": got ", value, ", must be finite and at least ", least));
}

absl::Status CheckDurations(int num_states, const HmmHyperparameters& hyperparameters) {
  // Larger products of states and steps than this are mistakes.
  constexpr int64_t kMostHidden = 1 << 24;
  const int64_t max_duration = hyperparameters.max_duration;
  if (!(max_duration >= 1 && max_duration <= kMostHidden / num_states)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_duration: got ", max_duration == 0 ? std::string("none") : absl::StrCat(max_duration),
        " with durations, must be 1 to ", kMostHidden / num_states,
        ", the longest visit to a state that counts as possible"));
  }
  if (hyperparameters.stickiness > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("stickiness: got ", hyperparameters.stickiness,
                     " with durations, must be 0: states last as long as their durations say"));
  }
  if (hyperparameters.initial == InitialDistribution::kStationary) {
    return absl::InvalidArgumentError(
        "initial: got a stationary distribution with durations, must be free");
  }
  return absl::OkStatus();
}

// Options of what the model does not have: whoever sets one expects something of it.
absl::Status CheckNoneIsIdle(const HmmHyperparameters& hyperparameters) {
  const auto refuse = [](const char* name, double value, const char* why) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": got ", value, why));
  };
  if (hyperparameters.durations == DurationKind::kGeometric && hyperparameters.max_duration != 0) {
    return refuse("max_duration", hyperparameters.max_duration,
                  " with geometric durations, which have no longest one, must be absent; choose "
                  "other durations");
  }
  if (hyperparameters.durations != DurationKind::kFree &&
      hyperparameters.duration_concentration != 1) {
    return refuse("duration_concentration", hyperparameters.duration_concentration,
                  " with durations that are not free, must be 1");
  }
  if (hyperparameters.initial == InitialDistribution::kStationary &&
      hyperparameters.initial_concentration != 1) {
    return refuse("initial_concentration", hyperparameters.initial_concentration,
                  " with a stationary distribution, which follows from the transitions, must be 1");
  }
  return absl::OkStatus();
}

// The transitions that there are not.
template <typename Allowed>
absl::StatusOr<ExcludedElements> FindExcluded(int num_states, bool semi_markov, Allowed allowed) {
  std::vector<char> excluded(static_cast<size_t>(num_states) * num_states);
  bool any = false;
  for (int i = 0; i < num_states; ++i) {
    char* const from = excluded.data() + static_cast<int64_t>(i) * num_states;
    bool stays = false;
    bool leaves = false;
    for (int j = 0; j < num_states; ++j) {
      const bool open = allowed(i, j);
      (j == i ? stays : leaves) |= open;
      from[j] = !open;
      any = any || !open;
    }
    if (!stays && !leaves) {
      return absl::InvalidArgumentError(
          absl::StrCat("allowed_transitions: got none from state ", i, ", must be at least one"));
    }
    // Visits of a semi-Markov chain end with another state, if there is one.
    if (semi_markov && stays && leaves) from[i] = any = true;
  }
  if (!any) return ExcludedElements();
  return ExcludedElements{.array = "transitions", .excluded = std::move(excluded)};
}

}  // namespace

absl::StatusOr<ExcludedElements> CheckHmm(int num_states,
                                          const HmmHyperparameters& hyperparameters) {
  absl::Status status =
      CheckPrior("initial_concentration", hyperparameters.initial_concentration, 1);
  if (status.ok()) {
    status = CheckPrior("transition_concentration", hyperparameters.transition_concentration, 1);
  }
  if (status.ok()) status = CheckPrior("stickiness", hyperparameters.stickiness, 0);
  if (status.ok()) {
    status = CheckPrior("duration_concentration", hyperparameters.duration_concentration, 1);
  }
  if (status.ok()) status = CheckNoneIsIdle(hyperparameters);
  if (!status.ok()) return status;

  if (num_states > kMaxStates) {
    return absl::InvalidArgumentError(absl::StrCat("num_states: got ", num_states,
                                                   ", must be at most ", kMaxStates,
                                                   ": every pair of states has a transition"));
  }
  const std::vector<char>& allowed = hyperparameters.allowed_transitions;
  if (!allowed.empty() &&
      static_cast<int64_t>(allowed.size()) != static_cast<int64_t>(num_states) * num_states) {
    return absl::InvalidArgumentError(absl::StrCat("allowed_transitions: got ", allowed.size(),
                                                   " values, must be ", num_states, " x ",
                                                   num_states));
  }
  const bool semi_markov = hyperparameters.durations != DurationKind::kGeometric;
  if (semi_markov) {
    status = CheckDurations(num_states, hyperparameters);
    if (!status.ok()) return status;
  }
  const auto is_allowed = [&](int i, int j) {
    if (!allowed.empty()) return allowed[static_cast<size_t>(i) * num_states + j] != 0;
    switch (hyperparameters.transitions) {
      case TransitionPattern::kLeftRight:
        return j >= i;
      case TransitionPattern::kStepwise:
        return j == i || j == i + 1;
      case TransitionPattern::kFull:
        break;
    }
    return true;
  };
  // Nothing is done for every pair of states that need not be: their number may be a mistake.
  const bool all_allowed =
      allowed.empty() && hyperparameters.transitions == TransitionPattern::kFull;
  if (hyperparameters.initial == InitialDistribution::kStationary) {
    status = CheckFreeInitial(hyperparameters.constraints);
    if (status.ok() && !all_allowed) status = CheckReach(num_states, is_allowed);
    if (!status.ok()) return status;
  }
  if (hyperparameters.shape_only || (all_allowed && !semi_markov)) return ExcludedElements();
  return FindExcluded(num_states, semi_markov, is_allowed);
}

}  // namespace emserve
