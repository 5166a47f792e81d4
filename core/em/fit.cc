// A whole fit: checks the options, runs the restarts, reports the winner.
#include "core/em/fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/em/centres.h"
#include "core/em/lanes.h"
#include "core/em/outcomes.h"
#include "core/em/restart.h"
#include "core/em/start.h"

namespace emserve {
namespace {

constexpr int kMaxAndersonDepth = 100;

absl::Status Bad(const char* field, double value, const char* constraint) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": got ", value, ", must be ", constraint));
}

}  // namespace

absl::Status CheckFitOptions(const FitOptions& options) {
  for (const auto& [name, value, least] :
       {std::tuple("restarts", int64_t{options.restarts}, int64_t{1}),
        {"max_iterations", options.max_iterations, 0},
        {"short_runs", options.short_runs, 1},
        {"short_iterations", options.short_iterations, 1},
        {"stochastic_iterations", options.stochastic_iterations, 1},
        {"stepwise_epochs", options.stepwise_epochs, 1},
        {"stepwise_batch_rows", options.stepwise_batch_rows, 1},
        {"anderson_depth", options.anderson_depth, 1},
        {"max_respawns", options.max_respawns, 0}}) {
    if (!(value >= least)) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": got ", value, ", must be at least ", least));
    }
  }
  for (const auto& [name, value] : {std::pair("relative_tolerance", options.relative_tolerance),
                                    {"absolute_tolerance", options.absolute_tolerance},
                                    {"parameter_tolerance", options.parameter_tolerance},
                                    {"aitken_tolerance", options.aitken_tolerance}}) {
    if (!(value >= 0) || !std::isfinite(value)) {
      return Bad(name, value, "finite and at least 0");
    }
  }
  if (!(options.initial_inverse_temperature > 0 && options.initial_inverse_temperature < 1)) {
    return Bad("initial_inverse_temperature", options.initial_inverse_temperature, "in (0, 1)");
  }
  if (!(options.temperature_growth >= 1.001) || !std::isfinite(options.temperature_growth)) {
    return Bad("temperature_growth", options.temperature_growth, "finite and at least 1.001");
  }
  if (!(options.stepwise_exponent > 0.5 && options.stepwise_exponent <= 1)) {
    return Bad("stepwise_exponent", options.stepwise_exponent, "in (0.5, 1]");
  }
  if (!(options.stepwise_delay >= 1) || !std::isfinite(options.stepwise_delay)) {
    return Bad("stepwise_delay", options.stepwise_delay, "finite and at least 1");
  }
  if (options.anderson_depth > kMaxAndersonDepth) {
    return Bad("anderson_depth", options.anderson_depth, "at most 100");
  }
  if (!(options.time_budget > absl::ZeroDuration())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "time_budget: got ", absl::FormatDuration(options.time_budget), ", must be positive"));
  }
  const bool single =
      options.start == StartMethod::kGiven || options.start == StartMethod::kResponsibilities;
  if (single && options.restarts != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("restarts: got ", options.restarts, ", must be 1 when the start is given"));
  }
  return absl::OkStatus();
}

namespace {

absl::Status CheckProblem(const Model& model, const Table& table, const FitOptions& options,
                          const RunOptions& run) {
  if (absl::Status status = CheckFitOptions(options); !status.ok()) return status;
  if (options.time_budget != absl::InfiniteDuration() && !run.clock) {
    return absl::InvalidArgumentError("time_budget: got a finite one without a clock");
  }
  const int num_components = model.num_components();
  if (table.label_components() != 0 && table.label_components() != num_components) {
    return absl::InvalidArgumentError(
        absl::StrCat("labels: got some among ", table.label_components(),
                     " components, must be among the model's ", num_components));
  }
  if (options.start == StartMethod::kAgglomerative && model.num_seeds() > kMaxAgglomerated) {
    return absl::InvalidArgumentError(absl::StrCat(
        model.chain() == nullptr ? "num_components" : "num_states", ": got ", model.num_seeds(),
        ", must be at most ", kMaxAgglomerated, " with an agglomerative start; use another start"));
  }
  if (options.start == StartMethod::kResponsibilities) {
    return CheckStarts(table, num_components, *run.share, run.stop);
  }
  if (options.start == StartMethod::kGiven) return model.Validate(options.given);
  return absl::OkStatus();
}

// With fewer lanes per pass than this times the threads, restarts run side by side.
constexpr int kLanesPerThread = 2;

}  // namespace

absl::Status CheckRows(const Model& model, const Table& table, Pool::Share& share,
                       std::stop_token stop) {
  if (!model.checks_rows()) return absl::OkStatus();
  std::mutex mutex;
  absl::Status error;
  int64_t error_row = std::numeric_limits<int64_t>::max();
  Lanes lanes(table, model.num_columns(), share, std::move(stop));
  absl::Status status = lanes.ForEachBlock([&](int, int, const Block& block) {
    absl::Status of_block = model.CheckRows(block, table.names());
    if (of_block.ok()) return;
    const std::lock_guard lock(mutex);
    if (block.first_row < error_row) error = std::move(of_block);
    error_row = std::min(error_row, block.first_row);
  });
  if (error.ok()) return status;
  return absl::Status(error.code(), absl::StrCat("data", error.message()));
}

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

const char* PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kClimb:
      return "CLIMB";
    case Phase::kShortRun:
      return "SHORT_RUN";
    case Phase::kStochastic:
      return "STOCHASTIC";
    case Phase::kAnnealed:
      return "ANNEALED";
    case Phase::kStepwise:
      return "STEPWISE";
  }
  return "UNKNOWN";
}

absl::StatusOr<FitResult> Fit(const Model& model, const Table& given_table, const Summary& summary,
                              const FitOptions& options, const RunOptions& run) {
  const Table table = summary.complete() ? given_table.Complete() : given_table;
  if (absl::Status status = CheckProblem(model, table, options, run); !status.ok()) return status;
  if (absl::Status status = CheckRows(model, table, *run.share, run.stop); !status.ok())
    return status;

  const absl::Time began = run.clock ? run.clock() : absl::InfinitePast();
  std::optional<Starts> starts;
  if (options.start != StartMethod::kGiven) {
    starts.emplace(model, table, summary, options.start, options.seed, run.stop);
  }
  const Problem problem{model, table, summary, options, run, starts ? &*starts : nullptr, began};

  Outcomes outcomes(options.restarts, summary.mean_weight());
  std::vector<std::unique_ptr<Restart::Buffers>> buffers(run.share->num_slots());
  const auto run_restart = [&](int64_t number, int slot) {
    if (run.stop.stop_requested()) return;
    if (number > 0 && problem.TimeBudgetSpent()) {
      return outcomes.AddSkipped(static_cast<int>(number));
    }
    if (buffers[slot] == nullptr) buffers[slot] = std::make_unique<Restart::Buffers>(problem);
    Restart restart(problem, static_cast<int>(number), *buffers[slot]);
    restart.Run();
    outcomes.Add(restart);
  };

  const int num_lanes =
      Partition::Make(table.num_rows(), model.doubles_per_row(), model.statistics().size())
          .num_lanes;
  if (num_lanes < kLanesPerThread * run.share->num_slots()) {
    run.share->For(options.restarts, run_restart);
  } else {
    for (int number = 0; number < options.restarts; ++number) run_restart(number, 0);
  }
  if (run.stop.stop_requested()) return absl::CancelledError("stop was requested");
  return outcomes.Finish();
}

}  // namespace emserve
