// A whole fit: checks the options, runs the restarts, reports the winner.
#include "core/em/fit.h"

#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/em/outcomes.h"
#include "core/em/restart.h"
#include "core/em/start.h"

namespace emserve {
namespace {

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
    return absl::InvalidArgumentError(absl::StrCat(
        "time_budget: got ", absl::FormatDuration(options.time_budget), ", must be positive"));
  }
  if (options.time_budget != absl::InfiniteDuration() && !run.clock) {
    return absl::InvalidArgumentError("time_budget: got a finite one without a clock");
  }
  if (options.start != StartMethod::kGiven) return absl::OkStatus();
  if (options.restarts != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("restarts: got ", options.restarts, ", must be 1 when the start is given"));
  }
  return model.Validate(options.given);
}

// With fewer lanes per pass than this times the threads, restarts run side by side.
constexpr int kLanesPerThread = 2;

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

  const int num_lanes = Partition::Make(table.num_rows(), model.doubles_per_row()).num_lanes;
  if (num_lanes < kLanesPerThread * run.share->num_slots()) {
    run.share->For(options.restarts, run_restart);
  } else {
    for (int number = 0; number < options.restarts; ++number) run_restart(number, 0);
  }
  if (run.stop.stop_requested()) return absl::CancelledError("stop was requested");
  return outcomes.Finish();
}

}  // namespace emserve
