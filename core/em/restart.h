// One climb of EM: from a start to the rule that stops it.
//
// This is the driver proper; fit.cc runs it once per restart and picks the winner.
#ifndef EMSERVE_CORE_EM_RESTART_H_
#define EMSERVE_CORE_EM_RESTART_H_

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/data/summary.h"
#include "core/data/table.h"
#include "core/em/accelerator.h"
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
  const Starts* starts;  // null when parameters are given
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
    std::vector<double> before;  // parameters before the last maximisation
    std::vector<double> image;   // what it gave, while theta is an extrapolation of it
    std::vector<double> from_coordinates, image_coordinates, proposal;  // unconstrained
  };

  // Restart `number` of `problem`. Both references outlive it.
  Restart(const Problem& problem, int number, Buffers& buffers);

  // Climbs. Afterwards outcome() tells how it went and, unless its status is an error, the rest
  // what was reached. Call once.
  void Run();

  const RestartOutcome& outcome() const { return outcome_; }
  std::span<const double> theta() const { return buffers_.theta; }
  double log_prior() const { return log_prior_; }
  double log_likelihood() const { return log_likelihood_; }
  // Of the maximisation that theta comes from, itself or by an extrapolation of it.
  const std::vector<Repair>& repairs() const { return repairs_; }
  bool HasFlooredVariance() const;

 private:
  absl::Status Climb();
  absl::Status Initialise();
  absl::Status Expect();
  absl::Status Maximise();
  absl::Status Conclude();

  // Journeys to a start; each leaves where it ends in theta.
  absl::Status DrawStart(uint64_t stream);
  bool StartsWithShortRuns() const;
  absl::Status ShortRuns();
  absl::Status Stochastic();
  absl::Status Annealed();
  absl::Status Stepwise();
  // One pass and one maximisation of a journey; the objective of the parameters before it.
  absl::StatusOr<double> Step(Phase phase, const Assignment& assignment);
  void Report(Phase phase, double objective, std::optional<double> change);

  // Replaces theta by an extrapolation, if there is one.
  void Extrapolate();
  bool Steady(std::vector<Repair>& repairs);
  // Theta becomes the image again.
  void TakeBack();

  // Whether a repair by a maximisation from `before` is one that the collapse policy treats.
  bool IsCollapse(const Repair& repair, std::span<const double> before) const;
  // What the collapse policy makes of the last maximisation's repairs.
  absl::Status TreatCollapse();
  absl::Status Respawn(int component);
  bool Drop(int component);
  // Notes which components the last maximisation left without weight. They stay in the report.
  void NoteDrops();

  // Whether the last maximisation may have lowered the objective, or there is no telling.
  bool MayGoDown() const;
  // How far rounding may have moved the last change, nats.
  double Allowance() const;
  // What was before the last maximisation is what was reached.
  void ReturnBefore();
  // Undoes a maximisation that lowered the objective by no more than rounding explains.
  void TakeBackRounding();

  // The rules that stop a climb: each notes its termination and a message with its two numbers.
  bool Decreased();
  bool Converged();
  bool IterationLimitReached();
  bool TimeIsUp();
  std::optional<std::string> WhyConverged() const;

  // Of change_, which compares parameters from the last two maximisations; nats.
  double RoundingOfRepairs() const;

  void WarnOfNewRepairs();
  void Warn(const std::string& reason, const std::string& message) const;

  const Problem& problem_;
  const FitOptions& options_;
  Buffers& buffers_;
  const std::unique_ptr<Accelerator> accelerator_;
  Assignment assignment_;  // of the climb
  RestartOutcome outcome_;
  int64_t reported_ = 0;          // iterations reported, journeys included
  std::optional<double> change_;  // of the objective by the last maximisation
  struct Fall {
    double nats = 0;
    double allowance = 0;
  };
  std::optional<Fall> fall_;             // of the objective, that was taken back
  std::optional<double> change_before_;  // of the objective by the one before
  double movement_ = 0;                  // of the coordinates, by the last maximisation
  int small_changes_ = 0;                // in a row, while extrapolating
  bool extrapolated_ = false;            // theta is an extrapolation of image, not yet judged
  bool beyond_image_ = false;            // theta is an extrapolation, and was taken
  bool settling_ = false;                // convergence waits for a maximisation without one
  bool remade_ = false;  // the last maximisation was overruled, or left components out
  int respawns_ = 0;
  std::vector<Repair> drops_;  // of this climb
  double objective_before_ = 0;
  double log_prior_ = 0;
  double log_prior_before_ = 0;
  double log_likelihood_ = 0;
  std::vector<Repair> repairs_;
  std::vector<Repair> repairs_before_;
  std::vector<std::string> warned_;  // reasons
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_RESTART_H_
