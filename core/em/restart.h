// One climb of EM: from a start to the rule that stops it.
//
// This is the driver proper; fit.cc runs it once per restart and picks the winner.
#ifndef EMSERVE_CORE_EM_RESTART_H_
#define EMSERVE_CORE_EM_RESTART_H_

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/data/summary.h"
#include "core/data/table.h"
#include "core/em/expectation.h"
#include "core/em/fit.h"
#include "core/em/model.h"
#include "core/em/start.h"

namespace emserve {

// What all restarts of a fit share. Immutable.
struct Problem {
  const Model& model;
  const Table& table;
  const Summary& summary;
  const FitOptions& options;
  const RunOptions& run;
  const Starts* starts;  // null when the start is given
  absl::Time began;      // meaningful when the time budget is finite

  bool TimeBudgetSpent() const {
    return options.time_budget != absl::InfiniteDuration() &&
           run.clock() - began >= options.time_budget;
  }
};

class Restart {
 public:
  // What a climb works in; the next one reuses it, so that iterations allocate nothing.
  struct Buffers {
    explicit Buffers(const Problem& problem);
    Expectation expectation;
    std::vector<double> theta;
    std::vector<double> spare;  // parameters before the last maximisation
  };

  // Restart `number` of `problem`. Both references outlive it.
  Restart(const Problem& problem, int number, Buffers& buffers);

  // Climbs. Afterwards outcome() tells how it went and, unless its status is an error, the rest
  // what was reached. Call once.
  void Run();

  const RestartOutcome& outcome() const { return outcome_; }
  std::span<const double> theta() const { return buffers_.theta; }
  double log_prior() const { return log_prior_; }
  // Of the last maximisation.
  const std::vector<Repair>& repairs() const { return repairs_; }
  bool HasFlooredVariance() const;

 private:
  absl::Status Climb();
  absl::Status Initialise();
  absl::Status Expect();
  absl::Status Maximise();

  // The rules that stop a climb: each notes its termination and a message with its two numbers.
  bool Decreased();
  bool Converged();
  bool IterationLimitReached();
  bool TimeIsUp();

  // Of change_, which compares parameters from the last two maximisations; nats.
  double RoundingOfRepairs() const;

  void WarnOfNewRepairs();
  void Warn(const std::string& reason, const std::string& message) const;

  const Problem& problem_;
  const FitOptions& options_;
  Buffers& buffers_;
  RestartOutcome outcome_;
  std::optional<double> change_;  // of the objective by the last maximisation
  double objective_before_ = 0;
  double log_prior_ = 0;
  double log_prior_before_ = 0;
  std::vector<Repair> repairs_;
  std::vector<Repair> repairs_before_;
  std::vector<std::string> warned_;  // reasons
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_RESTART_H_
