// The driver: Initialise -> repeat { Expect; judge; Maximise } -> result, for every model.
#include "core/em/fit.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/expectation.h"
#include "core/em/start.h"
#include "core/runtime/random.h"

namespace emserve {
namespace {

// The objective of EM never decreases, up to rounding: of the parameters (relative) and of the sum
// over the observations (per unit of weight, in nats).
constexpr double kDecreaseRelative = 1e-9;
constexpr double kDecreasePerObservation = 1e-12;

constexpr double kSameOptimum = 1e-5;  // relative

// "0.125" for people: enough digits to tell the two numbers of a message apart.
std::string Number(double value) { return absl::StrCat(absl::SixDigits(value)); }

// What all restarts of a fit share.
struct Problem {
  const Model& model;
  const Table& table;
  const Summary& summary;
  const FitOptions& options;
  const RunOptions& run;
  const Starts* starts;   // null when the start is given
  absl::Time began;       // meaningful when the time budget is finite
};

bool TimeBudgetSpent(const Problem& problem) {
  return problem.options.time_budget != absl::InfiniteDuration() &&
         problem.run.clock() - problem.began >= problem.options.time_budget;
}

// Buffers of one restart at a time; the next restart reuses them.
struct Buffers {
  explicit Buffers(const Problem& problem)
      : expectation(problem.model, problem.table, *problem.run.share, problem.run.stop),
        theta(problem.model.parameters().size()),
        spare(problem.model.parameters().size()) {}

  Expectation expectation;
  std::vector<double> theta;
  std::vector<double> spare;  // parameters before the last maximisation
};

// One restart, from its start to the rule that stops it.
class Restart {
 public:
  Restart(const Problem& problem, int number, Buffers& buffers)
      : problem_(problem), options_(problem.options), buffers_(buffers) {
    outcome_.restart = number;
  }

  // Leaves the end in outcome() and, unless its status is an error, the parameters in theta().
  void Run() {
    outcome_.status = Climb();
    if (!outcome_.status.ok() && !absl::IsCancelled(outcome_.status)) {
      Warn("RESTART_FAILED", std::string(outcome_.status.message()));
    }
  }

  const RestartOutcome& outcome() const { return outcome_; }
  std::span<const double> theta() const { return buffers_.theta; }
  double log_prior() const { return log_prior_; }
  const std::vector<Repair>& repairs() const { return repairs_; }
  bool HasFlooredVariance() const {
    return std::any_of(repairs_.begin(), repairs_.end(),
                       [](const Repair& r) { return r.reason == kVarianceFloored; });
  }

 private:
  absl::Status Climb() {
    if (absl::Status status = Initialise(); !status.ok()) return status;
    for (;;) {
      if (absl::Status status = Expect(); !status.ok()) return status;
      if (Decreased() || Converged() || IterationLimitReached() || TimeIsUp()) break;
      if (absl::Status status = Maximise(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Initialise() {
    if (problem_.starts == nullptr) {
      std::copy(options_.given.begin(), options_.given.end(), buffers_.theta.begin());
      return absl::OkStatus();
    }
    Random random(options_.seed, static_cast<uint64_t>(outcome_.restart));
    return problem_.starts->Draw(random, buffers_.expectation, buffers_.theta, repairs_);
  }

  absl::Status Expect() {
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

  absl::Status Maximise() {
    repairs_before_.swap(repairs_);
    repairs_.clear();
    absl::Status status = problem_.model.MStep(buffers_.theta, buffers_.expectation.statistics(),
                                               buffers_.spare, repairs_);
    if (!status.ok()) return status;
    buffers_.theta.swap(buffers_.spare);
    ++outcome_.iterations;
    WarnOfNewRepairs();
    return absl::OkStatus();
  }

  // The first maximisation may have to go down: a given start can lie outside the constraints, e.g.
  // below the floor of the variances.
  bool Decreased() {
    if (!change_ || (outcome_.iterations == 1 && !repairs_.empty())) return false;
    const double allowance = kDecreaseRelative * (1 + std::abs(outcome_.objective)) +
                             kDecreasePerObservation * problem_.summary.total_weight;
    if (!(*change_ < -allowance)) return false;
    outcome_.termination = Termination::kObjectiveDecreased;
    outcome_.message = absl::StrCat(
        "iteration ", outcome_.iterations, " lowered the objective by ", Number(-*change_),
        " nats, more than rounding explains (", Number(allowance),
        "); the parameters before it are returned");
    Warn("OBJECTIVE_DECREASED", outcome_.message);
    buffers_.theta.swap(buffers_.spare);
    repairs_.swap(repairs_before_);
    outcome_.objective = objective_before_;
    log_prior_ = log_prior_before_;
    return true;
  }

  bool Converged() {
    if (!change_) return false;
    const double change = std::abs(*change_);
    const double relative = options_.relative_tolerance * (1 + std::abs(outcome_.objective));
    if (options_.relative_tolerance > 0 && change <= relative) {
      outcome_.message = absl::StrCat("the objective changed by ", Number(change),
                                      " nats, at most relative_tolerance x (1 + |objective|) = ",
                                      Number(relative));
    } else if (options_.absolute_tolerance > 0 && change <= options_.absolute_tolerance) {
      outcome_.message =
          absl::StrCat("the objective changed by ", Number(change),
                       " nats, at most absolute_tolerance = ", Number(options_.absolute_tolerance));
    } else {
      return false;
    }
    outcome_.termination = Termination::kConverged;
    if (HasFlooredVariance()) {
      outcome_.termination = Termination::kDegenerate;
      absl::StrAppend(&outcome_.message, ", but a variance is held at its floor: the likelihood has "
                                         "no maximum there");
    }
    return true;
  }

  bool IterationLimitReached() {
    if (outcome_.iterations < options_.max_iterations) return false;
    outcome_.termination = Termination::kIterationLimit;
    outcome_.message = absl::StrCat("made ", outcome_.iterations,
                                    " iterations, max_iterations = ", options_.max_iterations);
    return true;
  }

  bool TimeIsUp() {
    if (!TimeBudgetSpent(problem_)) return false;
    outcome_.termination = Termination::kTimeBudget;
    outcome_.message = absl::StrCat(
        "ran for ", absl::FormatDuration(problem_.run.clock() - problem_.began),
        ", time_budget = ", absl::FormatDuration(options_.time_budget));
    return true;
  }

  // Once per reason and restart: a repair that comes back in every iteration is one piece of news.
  void WarnOfNewRepairs() {
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

  void Warn(const std::string& reason, const std::string& message) const {
    if (problem_.run.observer != nullptr) {
      problem_.run.observer->OnWarning(outcome_.restart, reason, message);
    }
  }

  const Problem& problem_;
  const FitOptions& options_;
  Buffers& buffers_;
  RestartOutcome outcome_;
  std::optional<double> change_;
  double objective_before_ = 0;
  double log_prior_ = 0;
  double log_prior_before_ = 0;
  std::vector<Repair> repairs_;
  std::vector<Repair> repairs_before_;
  std::vector<std::string> warned_;
};

absl::Status CheckOptions(const Model& model, const FitOptions& options, const RunOptions& run) {
  if (!(options.restarts >= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("restarts: got ", options.restarts, ", must be at least 1"));
  }
  if (!(options.max_iterations >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_iterations: got ", options.max_iterations, ", must be at least 0"));
  }
  for (const auto& [name, value] : {std::pair("relative_tolerance", options.relative_tolerance),
                                    std::pair("absolute_tolerance", options.absolute_tolerance)}) {
    if (!(value >= 0) || !std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": got ", value, ", must be finite and at least 0"));
    }
  }
  if (!(options.time_budget > absl::ZeroDuration())) {
    return absl::InvalidArgumentError(
        absl::StrCat("time_budget: got ", absl::FormatDuration(options.time_budget),
                     ", must be positive"));
  }
  if (options.time_budget != absl::InfiniteDuration() && !run.clock) {
    return absl::InvalidArgumentError("time_budget: got a finite one without a clock");
  }
  if (options.start != StartMethod::kGiven) return absl::OkStatus();
  if (options.restarts != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "restarts: got ", options.restarts, ", must be 1 when the start is given"));
  }
  return model.Validate(options.given);
}

// Collects the ends of restarts. The winner is the same whatever the order they come in.
class Outcomes {
 public:
  explicit Outcomes(int restarts) : outcomes_(restarts), degenerate_(restarts) {}

  void Add(const Restart& restart) {
    const RestartOutcome& outcome = restart.outcome();
    const std::lock_guard lock(mutex_);
    outcomes_[outcome.restart] = outcome;
    degenerate_[outcome.restart] = restart.HasFlooredVariance();
    if (!outcome.status.ok() || (best_ >= 0 && !Better(outcome.restart, best_))) return;
    best_ = outcome.restart;
    result_.theta.assign(restart.theta().begin(), restart.theta().end());
    result_.log_prior = restart.log_prior();
    result_.repairs = restart.repairs();
  }

  void AddSkipped(int restart) {
    const std::lock_guard lock(mutex_);
    outcomes_[restart].restart = restart;
    outcomes_[restart].status =
        absl::DeadlineExceededError("time_budget was spent before this restart began");
  }

  absl::StatusOr<FitResult> Finish() && {
    if (best_ < 0) {
      return absl::FailedPreconditionError(
          outcomes_.size() == 1 ? outcomes_[0].status.message()
                                : absl::StrCat("all ", outcomes_.size(), " restarts failed; the first: ",
                                               outcomes_[0].status.message()));
    }
    result_.best = outcomes_[best_];
    result_.objective = result_.best.objective;
    result_.log_likelihood = result_.objective - result_.log_prior;
    result_.optima = GroupOptima();
    for (const RestartOutcome& outcome : outcomes_) result_.total_iterations += outcome.iterations;
    result_.restarts = std::move(outcomes_);
    return std::move(result_);
  }

 private:
  // A strict order: degenerate ones last, then by objective, then by number.
  bool Better(int a, int b) const {
    if (degenerate_[a] != degenerate_[b]) return degenerate_[b];
    if (outcomes_[a].objective != outcomes_[b].objective) {
      return outcomes_[a].objective > outcomes_[b].objective;
    }
    return a < b;
  }

  std::vector<Optimum> GroupOptima() const {
    std::vector<int> order;
    for (const RestartOutcome& outcome : outcomes_) {
      if (outcome.status.ok()) order.push_back(outcome.restart);
    }
    std::sort(order.begin(), order.end(), [this](int a, int b) { return Better(a, b); });
    std::vector<Optimum> optima;
    bool of_degenerate = false;
    for (const int r : order) {
      const double objective = outcomes_[r].objective;
      if (optima.empty() || of_degenerate != degenerate_[r] ||
          !(std::abs(optima.back().objective - objective) <=
            kSameOptimum * (1 + std::abs(optima.back().objective)))) {
        optima.push_back({.objective = objective, .count = 0, .first_restart = r});
        of_degenerate = degenerate_[r];
      }
      ++optima.back().count;
      optima.back().first_restart = std::min(optima.back().first_restart, r);
    }
    return optima;
  }

  std::mutex mutex_;
  std::vector<RestartOutcome> outcomes_;
  std::vector<char> degenerate_;  // per restart: a variance at its floor
  int best_ = -1;
  FitResult result_;
};

}  // namespace

const char* TerminationName(Termination termination) {
  switch (termination) {
    case Termination::kConverged:
      return "CONVERGED";
    case Termination::kIterationLimit:
      return "ITERATION_LIMIT";
    case Termination::kTimeBudget:
      return "TIME_BUDGET";
    case Termination::kObjectiveDecreased:
      return "OBJECTIVE_DECREASED";
    case Termination::kDegenerate:
      return "DEGENERATE";
  }
  return "UNKNOWN";
}

absl::StatusOr<FitResult> Fit(const Model& model, const Table& table, const Summary& summary,
                              const FitOptions& options, const RunOptions& run) {
  if (absl::Status status = CheckOptions(model, options, run); !status.ok()) return status;

  std::optional<Starts> starts;
  if (options.start != StartMethod::kGiven) {
    starts.emplace(model, table, summary, options.start, options.seed);
  }
  const Problem problem{model, table,   summary, options, run, starts ? &*starts : nullptr,
                        run.clock ? run.clock() : absl::InfinitePast()};

  Outcomes outcomes(options.restarts);
  std::vector<std::unique_ptr<Buffers>> buffers(run.share->num_slots());
  const auto run_restart = [&](int64_t number, int slot) {
    const int restart_number = static_cast<int>(number);
    if (number > 0 && TimeBudgetSpent(problem)) return outcomes.AddSkipped(restart_number);
    if (buffers[slot] == nullptr) buffers[slot] = std::make_unique<Buffers>(problem);
    Restart restart(problem, restart_number, *buffers[slot]);
    restart.Run();
    outcomes.Add(restart);
  };

  const int num_lanes =
      Partition::Make(table.num_rows(), model.doubles_per_row()).num_lanes;
  if (options.restarts > 1 && num_lanes < 2 * run.share->num_slots()) {
    run.share->For(options.restarts, run_restart);
  } else {
    for (int number = 0; number < options.restarts; ++number) {
      if (run.stop.stop_requested()) break;
      run_restart(number, 0);
    }
  }
  if (run.stop.stop_requested()) return absl::CancelledError("stop was requested");
  return std::move(outcomes).Finish();
}

}  // namespace emserve
