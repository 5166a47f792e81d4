#include "core/em/restart.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

// The objective of EM never decreases, up to rounding: of the parameters (relative), of the sum
// over the observations (per unit of weight, in nats), and of what repairs hold away from its
// maximum.
constexpr double kDecreaseRelative = 1e-9;
constexpr double kDecreasePerObservation = 1e-12;

// "0.125" for people: enough digits to tell the two numbers of a message apart.
std::string Number(double value) { return absl::StrCat(absl::SixDigits(value)); }

}  // namespace

Restart::Buffers::Buffers(const Problem& problem)
    : expectation(problem.model, problem.table, *problem.run.share, problem.run.stop),
      theta(problem.model.parameters().size()),
      spare(problem.model.parameters().size()) {}

Restart::Restart(const Problem& problem, int number, Buffers& buffers)
    : problem_(problem), options_(problem.options), buffers_(buffers) {
  outcome_.restart = number;
}

bool Restart::HasFlooredVariance() const {
  return std::any_of(repairs_.begin(), repairs_.end(),
                     [](const Repair& repair) { return repair.reason == kVarianceFloored; });
}

void Restart::Run() {
  outcome_.status = Climb();
  if (!outcome_.status.ok() && !absl::IsCancelled(outcome_.status)) {
    Warn("RESTART_FAILED", std::string(outcome_.status.message()));
  }
}

absl::Status Restart::Climb() {
  if (absl::Status status = Initialise(); !status.ok()) return status;
  for (;;) {
    if (absl::Status status = Expect(); !status.ok()) return status;
    if (Decreased() || Converged() || IterationLimitReached() || TimeIsUp()) break;
    if (absl::Status status = Maximise(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Restart::Initialise() {
  if (problem_.starts == nullptr) {
    std::copy(options_.given.begin(), options_.given.end(), buffers_.theta.begin());
    return absl::OkStatus();
  }
  return problem_.starts->Draw(
      outcome_.restart, [this] { return problem_.TimeBudgetSpent(); }, buffers_.expectation,
      buffers_.theta, repairs_);
}

absl::Status Restart::Expect() {
  absl::StatusOr<double> log_likelihood = buffers_.expectation.Run(buffers_.theta);
  if (!log_likelihood.ok()) return log_likelihood.status();
  log_prior_before_ = std::exchange(log_prior_, problem_.model.LogPrior(buffers_.theta));
  objective_before_ = std::exchange(outcome_.objective, *log_likelihood + log_prior_);
  if (outcome_.iterations > 0) change_ = outcome_.objective - objective_before_;
  if (problem_.run.observer != nullptr) {
    problem_.run.observer->OnIteration(
        {outcome_.restart, outcome_.iterations, outcome_.objective, change_});
  }
  return absl::OkStatus();
}

absl::Status Restart::Maximise() {
  repairs_before_.swap(repairs_);
  repairs_.clear();
  absl::Status status = problem_.model.MStep(buffers_.theta, buffers_.expectation.statistics(),
                                             buffers_.spare, {repairs_, problem_.run.stop});
  if (!status.ok()) return status;
  buffers_.theta.swap(buffers_.spare);
  ++outcome_.iterations;
  WarnOfNewRepairs();
  return absl::OkStatus();
}

// The first maximisation may have to go down: a given start can lie outside the constraints, e.g.
// below the floor of the variances.
bool Restart::Decreased() {
  const bool from_outside = problem_.starts == nullptr && outcome_.iterations == 1;
  if (!change_ || (from_outside && HasFlooredVariance())) return false;
  const double allowance =
      kDecreaseRelative * (problem_.summary.mean_weight() + std::abs(outcome_.objective)) +
      kDecreasePerObservation * problem_.summary.total_weight + RoundingOfRepairs();
  if (!(*change_ < -allowance)) return false;
  outcome_.termination = Termination::kObjectiveDecreased;
  outcome_.message = absl::StrCat("iteration ", outcome_.iterations, " lowered the objective by ",
                                  Number(-*change_), " nats, more than rounding explains (",
                                  Number(allowance), "); the parameters before it are returned");
  Warn("OBJECTIVE_DECREASED", outcome_.message);
  buffers_.theta.swap(buffers_.spare);
  repairs_.swap(repairs_before_);
  outcome_.objective = objective_before_;
  log_prior_ = log_prior_before_;
  return true;
}

bool Restart::Converged() {
  if (!change_) return false;
  const double change = std::abs(*change_);
  const double mean_weight = problem_.summary.mean_weight();
  const double relative =
      options_.relative_tolerance * (mean_weight + std::abs(outcome_.objective));
  if (options_.relative_tolerance > 0 && change <= relative) {
    outcome_.message = absl::StrCat("the objective changed by ", Number(change),
                                    " nats, at most relative_tolerance x (", Number(mean_weight),
                                    " + |objective|) = ", Number(relative));
  } else if (options_.absolute_tolerance > 0 && change <= options_.absolute_tolerance) {
    outcome_.message =
        absl::StrCat("the objective changed by ", Number(change),
                     " nats, at most absolute_tolerance = ", Number(options_.absolute_tolerance));
  } else if (const double rounding = RoundingOfRepairs(); *change_ < 0 && change <= rounding) {
    // What is left to gain is less than what rounding takes away.
    outcome_.message = absl::StrCat("the objective fell by ", Number(change),
                                    " nats, no more than the rounding of variances at their floor "
                                    "explains (",
                                    Number(rounding), ")");
  } else {
    return false;
  }
  outcome_.termination = Termination::kConverged;
  if (HasFlooredVariance()) {
    outcome_.termination = Termination::kDegenerate;
    absl::StrAppend(&outcome_.message,
                    ", but a variance is held at its floor: the likelihood has "
                    "no maximum there");
  }
  return true;
}

bool Restart::IterationLimitReached() {
  if (outcome_.iterations < options_.max_iterations) return false;
  outcome_.termination = Termination::kIterationLimit;
  outcome_.message = absl::StrCat("made ", outcome_.iterations,
                                  " iterations, max_iterations = ", options_.max_iterations);
  return true;
}

bool Restart::TimeIsUp() {
  if (!problem_.TimeBudgetSpent()) return false;
  outcome_.termination = Termination::kTimeBudget;
  outcome_.message =
      absl::StrCat("ran for ", absl::FormatDuration(problem_.run.clock() - problem_.began),
                   ", time_budget = ", absl::FormatDuration(options_.time_budget));
  return true;
}

double Restart::RoundingOfRepairs() const {
  double sum = 0;
  for (const Repair& repair : repairs_) sum += repair.rounding;
  for (const Repair& repair : repairs_before_) sum += repair.rounding;
  return sum;
}

// Once per reason and restart: a repair that comes back in every iteration is one piece of news.
void Restart::WarnOfNewRepairs() {
  for (const Repair& repair : repairs_) {
    if (std::find(warned_.begin(), warned_.end(), repair.reason) != warned_.end()) continue;
    warned_.push_back(repair.reason);
    Warn(repair.reason,
         absl::StrCat("iteration ", outcome_.iterations, ", ",
                      repair.component < 0 ? std::string("all components")
                                           : absl::StrCat("component ", repair.component),
                      ": amount ", Number(repair.amount)));
  }
}

void Restart::Warn(const std::string& reason, const std::string& message) const {
  if (problem_.run.observer != nullptr) {
    problem_.run.observer->OnWarning(outcome_.restart, reason, message);
  }
}

}  // namespace emserve
