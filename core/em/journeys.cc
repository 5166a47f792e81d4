// Journeys to the start of a climb: draws, short runs, and the stochastic, annealed and stepwise
// variants of EM.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/restart.h"
#include "core/em/stepwise.h"

namespace emserve {
namespace {

// A temperature is left when an iteration changes the objective by less than this, relative, or
// after so many iterations.
constexpr double kSettledRelative = 1e-4;
constexpr int kMaxPerTemperature = 50;

// Streams beyond those of starts and respawns.
constexpr int kStochasticStream = 1 << 20;
constexpr int kShuffleStream = kStochasticStream + 1;

}  // namespace

absl::Status Restart::Initialise() {
  absl::Status status;
  if (problem_.starts == nullptr) {
    std::copy(options_.given.begin(), options_.given.end(), buffers_.theta.begin());
  } else if (StartsWithShortRuns()) {
    status = ShortRuns();
  } else {
    status = DrawStart(StreamOf(outcome_.restart, 0));
  }
  if (!status.ok()) return status;
  switch (options_.algorithm) {
    case Algorithm::kEm:
    case Algorithm::kClassificationEm:
      break;
    case Algorithm::kStochasticEm:
      return Stochastic();
    case Algorithm::kAnnealedEm:
      return Annealed();
    case Algorithm::kStepwiseEm:
      return Stepwise();
  }
  return absl::OkStatus();
}

// Of the automatic method every third restart does; there is nothing to choose for one component.
bool Restart::StartsWithShortRuns() const {
  if (options_.start == StartMethod::kShortRuns) return true;
  return options_.start == StartMethod::kAuto && outcome_.restart % 3 == 2 &&
         problem_.model.num_components() > 1;
}

absl::Status Restart::DrawStart(uint64_t stream) {
  ++outcome_.evaluations;
  repairs_.clear();
  return problem_.starts->Draw(
      stream, [this] { return problem_.TimeBudgetSpent(); }, buffers_.expectation, buffers_.theta,
      repairs_);
}

absl::StatusOr<double> Restart::Step(Phase phase, const Assignment& assignment) {
  const absl::StatusOr<double> log_likelihood =
      buffers_.expectation.Run(buffers_.theta, assignment);
  if (!log_likelihood.ok()) return log_likelihood.status();
  ++outcome_.evaluations;
  const double objective = *log_likelihood + problem_.model.LogPrior(buffers_.theta);
  if (!std::isfinite(objective)) {
    return absl::FailedPreconditionError(
        absl::StrCat("log prior: got ", objective - *log_likelihood,
                     " on the way to a start, must be finite; use a weaker prior"));
  }
  Report(phase, objective, std::nullopt);
  repairs_.clear();
  absl::Status status = problem_.model.MStep(buffers_.theta, buffers_.expectation.statistics(),
                                             buffers_.before, {repairs_, problem_.run.stop});
  if (!status.ok()) return status;
  buffers_.theta.swap(buffers_.before);
  return objective;
}

absl::Status Restart::ShortRuns() {
  std::vector<double> best;
  std::vector<Repair> repairs_of_best;
  double best_objective = 0;
  bool best_floored = false;
  absl::Status failure;
  for (int run = 0; run < options_.short_runs; ++run) {
    if (run > 0 && problem_.TimeBudgetSpent()) break;
    absl::Status status = DrawStart(StreamOf(outcome_.restart, run));
    double objective = 0;
    for (int64_t i = 0; status.ok() && i < options_.short_iterations; ++i) {
      const absl::StatusOr<double> step = Step(Phase::kShortRun, assignment_);
      if (!step.ok()) {
        status = step.status();
        break;
      }
      objective = *step;
      if (problem_.TimeBudgetSpent()) break;
    }
    if (absl::IsCancelled(status)) return status;
    // The likelihood near a variance at its floor is high and says nothing.
    const bool floored = HasFlooredVariance();
    if (!status.ok()) {
      failure = status;
    } else if (best.empty() || floored < best_floored ||
               (floored == best_floored && objective > best_objective)) {
      best_objective = objective;
      best_floored = floored;
      best = buffers_.theta;
      repairs_of_best = repairs_;
    }
  }
  if (best.empty()) return failure;
  buffers_.theta = std::move(best);
  repairs_ = std::move(repairs_of_best);
  return absl::OkStatus();
}

// Of the parameters visited, those with the highest log-likelihood are kept.
absl::Status Restart::Stochastic() {
  Random seeds(options_.seed, StreamOf(outcome_.restart, kStochasticStream));
  Assignment sampled;
  sampled.kind = Assignment::Kind::kSampled;
  std::vector<double> best = buffers_.theta;
  std::vector<Repair> repairs_of_best = repairs_;
  double best_objective = -std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < options_.stochastic_iterations && !problem_.TimeBudgetSpent(); ++i) {
    sampled.seed = seeds();
    const std::vector<double> visited = buffers_.theta;
    const std::vector<Repair> repairs_of_visited = repairs_;
    const absl::StatusOr<double> objective = Step(Phase::kStochastic, sampled);
    if (!objective.ok()) {
      if (absl::IsCancelled(objective.status())) return objective.status();
      break;  // a draw without rows for a component: the best so far stands
    }
    if (*objective > best_objective) {
      best_objective = *objective;
      best = visited;
      repairs_of_best = repairs_of_visited;
    }
  }
  buffers_.theta = std::move(best);
  repairs_ = std::move(repairs_of_best);
  return absl::OkStatus();
}

// At high temperatures components meet, and equal ones would stay equal for ever: the first step at
// each temperature draws labels, which tells them apart again where the data do.
absl::Status Restart::Annealed() {
  Random seeds(options_.seed, StreamOf(outcome_.restart, kStochasticStream));
  Assignment tempered;
  tempered.inverse_temperature = options_.initial_inverse_temperature;
  while (tempered.inverse_temperature < 1 && !problem_.TimeBudgetSpent()) {
    double last = -std::numeric_limits<double>::infinity();
    for (int i = 0; i < kMaxPerTemperature && !problem_.TimeBudgetSpent(); ++i) {
      tempered.kind = i == 0 ? Assignment::Kind::kSampled : Assignment::Kind::kPosterior;
      tempered.seed = seeds();
      const absl::StatusOr<double> objective = Step(Phase::kAnnealed, tempered);
      if (!objective.ok()) return objective.status();
      const bool settled =
          std::abs(*objective - last) <=
          kSettledRelative * (problem_.summary.mean_weight() + std::abs(*objective));
      last = *objective;
      if (settled) break;
    }
    tempered.inverse_temperature *= options_.temperature_growth;
  }
  return absl::OkStatus();
}

// stats = (1 - rho) stats + rho fresh, both scaled to the whole table; a maximisation after each
// mini-batch. They begin as what the start leads to expect.
absl::Status Restart::Stepwise() {
  MiniBatches batches(problem_.model, problem_.table, options_.stepwise_batch_rows,
                      *problem_.run.share, problem_.run.stop);
  const double total = problem_.summary.total_weight;
  std::vector<double> statistics(problem_.model.statistics().size());
  problem_.model.ExpectedStatistics(buffers_.theta, total, problem_.table.num_sequences(),
                                    statistics);
  std::vector<int64_t> order(batches.num_batches());
  for (size_t b = 0; b < order.size(); ++b) order[b] = static_cast<int64_t>(b);
  Random random(options_.seed, StreamOf(outcome_.restart, kShuffleStream));
  double step = options_.stepwise_delay;
  for (int64_t epoch = 0; epoch < options_.stepwise_epochs; ++epoch) {
    for (size_t b = order.size(); b > 1; --b) std::swap(order[b - 1], order[random.Below(b)]);
    double log_likelihood = 0;
    for (const int64_t batch : order) {
      if (problem_.TimeBudgetSpent()) return absl::OkStatus();
      const absl::StatusOr<double> of_batch = batches.Run(batch, buffers_.theta);
      if (!of_batch.ok()) return of_batch.status();
      log_likelihood += *of_batch;
      if (!(batches.weight() > 0)) continue;
      const double rho = std::pow(step++, -options_.stepwise_exponent);
      const double scale = rho * total / batches.weight();
      for (size_t i = 0; i < statistics.size(); ++i) {
        statistics[i] = (1 - rho) * statistics[i] + scale * batches.statistics()[i];
      }
      repairs_.clear();
      absl::Status status = problem_.model.MStep(buffers_.theta, statistics, buffers_.before,
                                                 {repairs_, problem_.run.stop});
      if (!status.ok()) return status;
      problem_.model.Recenter(buffers_.theta, buffers_.before, statistics);
      buffers_.theta.swap(buffers_.before);
    }
    ++outcome_.evaluations;
    // Of the parameters on the way, each batch under its own.
    Report(Phase::kStepwise, log_likelihood + problem_.model.LogPrior(buffers_.theta),
           std::nullopt);
  }
  return absl::OkStatus();
}

}  // namespace emserve
