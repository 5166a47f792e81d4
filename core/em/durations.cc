#include "core/em/durations.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/em/domain.h"
#include "core/numerics/line_search.h"

namespace emserve {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();
// Logarithm of what counts as impossible.
constexpr double kNegligible = -230;
// Logarithm of what is 0 as a double, beside 1.
constexpr double kVanishing = -800;
// Bounds of rates, means and sizes in a fit. From the upper one a negative binomial is a Poisson.
constexpr double kLeast = 1e-8;
constexpr double kMost = 1e8;
// Of searches for mean and size in turn, which hardly depend on each other.
constexpr int kRounds = 4;

}  // namespace

Durations::Durations(DurationKind kind, int num_states, int max_duration, double concentration)
    : kind_(kind),
      num_states_(num_states),
      max_duration_(max_duration),
      free_("durations", num_states, max_duration, concentration) {
  if (kind == DurationKind::kFree) {
    parameters_.Add("durations", {num_states, max_duration});
  } else if (kind == DurationKind::kPoisson) {
    parameters_.Add("duration_rates", {num_states});
  } else {
    parameters_.Add("duration_means", {num_states});
    parameters_.Add("duration_sizes", {num_states});
  }
  constraints_ = Constraints(parameters_.size());
}

int64_t Durations::num_free(const std::vector<bool>& active) const {
  if (kind_ == DurationKind::kFree) return free_.num_free(active);
  std::vector<bool> counted(parameters_.size());
  for (int64_t i = 0; i < parameters_.size(); ++i) {
    if (!active[i % num_states_] || constraints_.IsFixed(i)) continue;
    counted[constraints_.empty() ? i : constraints_.Leader(i)] = true;
  }
  return std::count(counted.begin(), counted.end(), true);
}

absl::Status Durations::Constrain(const Constraints& constraints) {
  if (kind_ == DurationKind::kFree) return free_.Constrain(constraints);
  for (int64_t i = 0; i < parameters_.size(); ++i) {
    const ArraySpec& array = parameters_.arrays()[i / num_states_];
    const std::string name = absl::StrCat(array.name, "[", i % num_states_, "]");
    if (constraints.IsFixed(i) &&
        !(constraints.value(i) >= kLeast && constraints.value(i) <= kMost)) {
      return absl::InvalidArgumentError(absl::StrCat("constraints: got ", name, " fixed at ",
                                                     constraints.value(i), ", must be ", kLeast,
                                                     " to ", kMost));
    }
    if (constraints.IsTied(i) && kind_ == DurationKind::kNegativeBinomial) {
      return absl::InvalidArgumentError(absl::StrCat(
          "constraints: got ", name, " tied, must be fixed or free; Poisson rates can be tied"));
    }
  }
  constraints_ = constraints;
  return absl::OkStatus();
}

absl::Status Durations::Validate(std::span<const double> params) const {
  if (kind_ == DurationKind::kFree) return free_.Validate(params);
  for (int64_t i = 0; i < parameters_.size(); ++i) {
    if (Contains(Domain::kPositive, params[i])) continue;
    return absl::InvalidArgumentError(absl::StrCat(parameters_.arrays()[i / num_states_].name, "[",
                                                   i % num_states_, "]: got ", params[i],
                                                   ", must be ", Constraint(Domain::kPositive)));
  }
  return absl::OkStatus();
}

// Terms of the probabilities without the constant, then their logarithms; `size` infinite: Poisson.
// They rise to one peak and fall: behind one that vanishes beside it all do.
void Durations::LogProbabilitiesOf(double mean, double size, double* log_p) const {
  const bool poisson = std::isinf(size);
  const double log_ratio = poisson ? std::log(mean) : std::log(mean) - std::log(mean + size);
  double largest = kImpossible;
  int end = max_duration_;
  for (int d = 0; d < max_duration_; ++d) {
    // From one to the next: (d - 1 + size) / d for the negative binomial, 1 / d for Poisson.
    const double step = d == 0 ? 0 : (poisson ? 0 : std::log(size + d - 1)) - std::log(d);
    log_p[d] = d == 0 ? 0 : log_p[d - 1] + step + log_ratio;
    largest = std::max(largest, log_p[d]);
    if (log_p[d] - largest < kVanishing) {
      std::fill(log_p + d, log_p + max_duration_, kImpossible);
      end = d;
      break;
    }
  }
  double sum = 0;
  for (int d = 0; d < end; ++d) sum += std::exp(log_p[d] - largest);
  const double total = largest + std::log(sum);
  for (int d = 0; d < end; ++d) log_p[d] -= total;
}

void Durations::LogProbabilities(std::span<const double> params,
                                 std::span<double> log_probabilities) const {
  for (int k = 0; k < num_states_; ++k) {
    double* const of_state = log_probabilities.data() + static_cast<int64_t>(k) * max_duration_;
    if (kind_ == DurationKind::kFree) {
      for (int d = 0; d < max_duration_; ++d) {
        of_state[d] = std::log(params[static_cast<int64_t>(k) * max_duration_ + d]);
      }
    } else {
      LogProbabilitiesOf(params[k],
                         kind_ == DurationKind::kPoisson ? std::numeric_limits<double>::infinity()
                                                         : params[num_states_ + k],
                         of_state);
    }
    for (int d = 0; d < max_duration_; ++d) {
      if (of_state[d] < kNegligible) of_state[d] = kImpossible;
    }
  }
}

std::vector<double> Durations::Means(std::span<const double> params) const {
  std::vector<double> log_p(static_cast<size_t>(num_states_) * max_duration_);
  LogProbabilities(params, log_p);
  std::vector<double> means(num_states_);
  for (size_t j = 0; j < log_p.size(); ++j) {
    means[j / max_duration_] += std::exp(log_p[j]) * static_cast<double>(j % max_duration_ + 1);
  }
  return means;
}

double Durations::Score(const double* counts, double mean, double size, double* log_p) const {
  LogProbabilitiesOf(mean, size, log_p);
  double sum = 0;
  for (int d = 0; d < max_duration_; ++d) {
    if (!(counts[d] > 0)) continue;
    if (log_p[d] < kNegligible) return kImpossible;
    sum += counts[d] * log_p[d];
  }
  return sum;
}

absl::Status Durations::Maximize(std::span<const double> counts, std::span<const double> now,
                                 std::span<double> next, const std::stop_token& stop) const {
  if (kind_ == DurationKind::kFree) {
    const std::vector<char> none(num_states_);
    return free_.Maximize(counts, none, now, next, stop);
  }
  const bool poisson = kind_ == DurationKind::kPoisson;
  std::vector<double> pooled(max_duration_);
  std::vector<double> log_p(max_duration_);
  for (int k = 0; k < num_states_; ++k) {
    const auto leader = static_cast<int>(constraints_.Leader(k));
    next[k] = leader == k ? now[k] : next[leader];
    if (!poisson) next[num_states_ + k] = now[num_states_ + k];
    if (leader != k) continue;
    std::fill(pooled.begin(), pooled.end(), 0.0);
    double total = 0;
    double sum = 0;
    for (int other = k; other < num_states_; ++other) {
      if (constraints_.Leader(other) != k) continue;
      for (int d = 0; d < max_duration_; ++d) {
        const double count = counts[static_cast<int64_t>(other) * max_duration_ + d];
        pooled[d] += count;
        total += count;
        sum += count * d;
      }
    }
    if (!(total > 0)) continue;
    double mean = now[k];
    double size = poisson ? std::numeric_limits<double>::infinity() : now[num_states_ + k];
    // Where nothing is better than anything a search ends.
    const auto score = [&](double m, double s) {
      return stop.stop_requested() ? 0 : Score(pooled.data(), m, s, log_p.data());
    };
    if (!constraints_.IsFixed(k)) {
      // What it is without the cut is the better place to search from, as a rule.
      const double uncut = std::clamp(sum / total, kLeast, kMost);
      if (score(uncut, size) >= score(mean, size)) mean = uncut;
    }
    for (int round = 0; round < (poisson ? 1 : kRounds) && !stop.stop_requested(); ++round) {
      if (!constraints_.IsFixed(k)) {
        mean = std::exp(MaximizeOnLine([&](double x) { return score(std::exp(x), size); },
                                       std::log(mean), std::log(kLeast), std::log(kMost)));
      }
      if (!poisson && !constraints_.IsFixed(num_states_ + k)) {
        size = std::exp(MaximizeOnLine([&](double x) { return score(mean, std::exp(x)); },
                                       std::log(size), std::log(kLeast), std::log(kMost)));
      }
    }
    next[k] = mean;
    if (!poisson) next[num_states_ + k] = size;
  }
  if (stop.stop_requested()) return absl::CancelledError("stop was requested");
  constraints_.Apply(next);
  return absl::OkStatus();
}

double Durations::LogPrior(std::span<const double> params) const {
  return kind_ == DurationKind::kFree ? free_.LogPrior(params) : 0;
}

void Durations::Reference(int64_t num_rows, std::span<double> params) const {
  if (kind_ == DurationKind::kFree) {
    free_.SetUniform(params);
    return;
  }
  const auto longest = static_cast<double>(std::min<int64_t>(max_duration_, num_rows));
  std::fill(params.begin(), params.begin() + num_states_, std::max(1.0, longest / 3));
  std::fill(params.begin() + num_states_, params.end(), 1.0);
  constraints_.Apply(params);
}

void Durations::ToCoordinates(std::span<const double> params, std::span<double> coordinates) const {
  for (size_t i = 0; i < params.size(); ++i) coordinates[i] = std::log(params[i]);
}

void Durations::FromCoordinates(std::span<const double> coordinates,
                                std::span<double> params) const {
  if (kind_ == DurationKind::kFree) {
    free_.FromCoordinates(coordinates, params);
    return;
  }
  for (size_t i = 0; i < params.size(); ++i) {
    params[i] = std::clamp(std::exp(coordinates[i]), kLeast, kMost);
  }
  constraints_.Apply(params);
}

}  // namespace emserve
