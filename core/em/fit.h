// Fitting a model to a table: options, progress and the report.
//
// FitOptions is everything that changes the result; RunOptions is everything that must not.
#ifndef EMSERVE_CORE_EM_FIT_H_
#define EMSERVE_CORE_EM_FIT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/data/summary.h"
#include "core/data/table.h"
#include "core/em/model.h"
#include "core/runtime/pool.h"

namespace emserve {

enum class StartMethod {
  kKMeansPlusPlus,  // k-means++ seeds (Arthur & Vassilvitskii 2007) on standardised columns, rows
                    // assigned to the nearest
  kRandomRows,      // distinct random rows as seeds, rows assigned to the nearest
  kGiven,           // from FitOptions::given
};

struct FitOptions {
  // Start of every restart's random stream; restart r uses stream r of this seed.
  uint64_t seed = 0;
  // Independent starts, >= 1; the best objective wins. 10 finds the published optima of the usual
  // small data sets.
  int restarts = 10;
  StartMethod start = StartMethod::kKMeansPlusPlus;
  // Start parameters in the model's layout, for kGiven; restarts must then be 1.
  std::vector<double> given;
  // Iteration limit per restart, >= 0; 0 evaluates the start.
  int64_t max_iterations = 1000;
  // Converged when the objective changes by at most relative_tolerance x (w + |objective|) or
  // absolute_tolerance nats in an iteration. 0 switches a test off. Here w is the mean weight of
  // the rows with positive weight, 1 for data without weights: so the relative test, like the
  // objective, does not depend on the unit of the weights. With a variance at its floor a change
  // down that rounding explains ends a restart too: nothing is left to gain.
  double relative_tolerance = 1e-9;
  double absolute_tolerance = 0;
  // Limit on a whole fit, all restarts; the parameters reached are the result. Seeds that are still
  // missing when it is spent are random rows. The least that is done is one start and its
  // evaluation, two passes over the table. Infinite: none.
  absl::Duration time_budget = absl::InfiniteDuration();
};

enum class Termination {
  kConverged,
  kIterationLimit,
  kTimeBudget,
  kObjectiveDecreased,
  kDegenerate
};

// UPPER_SNAKE name, e.g. "CONVERGED".
const char* TerminationName(Termination termination);

// One iteration of one restart: `objective` belongs to the parameters before the next maximisation.
struct Progress {
  int restart = 0;
  int64_t iteration = 0;         // 0 is the start
  double objective = 0;          // nats
  std::optional<double> change;  // objective minus the previous one; none at iteration 0
};

// Calls may come from several threads at once (restarts run in parallel); implementations must not
// block.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnIteration(const Progress& progress) = 0;
  // `reason` UPPER_SNAKE; `message` for people.
  virtual void OnWarning(int restart, const std::string& reason, const std::string& message) = 0;
};

struct RunOptions {
  Pool::Share* share = nullptr;       // required
  std::stop_token stop;               // checked once per block, seed and covariance matrix
  Observer* observer = nullptr;       // may be null
  std::function<absl::Time()> clock;  // for the time budget; required when it is finite
};

// How one restart ended.
struct RestartOutcome {
  int restart = 0;
  absl::Status status;  // not OK: the restart failed and counts for nothing else
  Termination termination = Termination::kIterationLimit;
  std::string message;     // names the rule that stopped it, with both of its numbers
  double objective = 0;    // nats, of the parameters it ended with
  int64_t iterations = 0;  // maximisations made
};

// A distinct optimum: restarts whose objectives agree within 1e-5 x (w + |objective|), w as in
// FitOptions. Those that ended with a variance at its floor are apart from those that did not, and
// come after them.
struct Optimum {
  double objective = 0;  // the best in the group, nats
  int count = 0;
  int first_restart = 0;
};

struct FitResult {
  std::vector<double> theta;             // the returned parameters, in the model's layout
  double objective = 0;                  // log_likelihood + log_prior of theta, nats
  double log_likelihood = 0;             // nats, summed over rows with their weights
  double log_prior = 0;                  // nats
  RestartOutcome best;                   // the winning restart
  std::vector<RestartOutcome> restarts;  // all, by number
  std::vector<Optimum> optima;           // best first
  std::vector<Repair> repairs;           // of the last maximisation of the winning restart
  int64_t total_iterations = 0;          // of all restarts
};

// Fits `model` to `table`. `summary` is Summarize(table).
//
// The result depends on (model, table, options) only: the same bits with any number of threads. The
// returned objective is that of the returned parameters. A restart that fails does not fail the
// fit; a restart that ends degenerate (a variance held at its floor) loses against any that does
// not. Restarts run in parallel when the table has too few lanes to occupy the pool.
//
// Errors: InvalidArgument (options, a bad `given`), FailedPrecondition (every restart failed: the
// first one's reason), Cancelled (stop requested). O(restarts x iterations x cost of a pass).
absl::StatusOr<FitResult> Fit(const Model& model, const Table& table, const Summary& summary,
                              const FitOptions& options, const RunOptions& run);

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_FIT_H_
