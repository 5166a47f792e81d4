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
  // In turn k-means++, random rows and short runs from both: no one of them finds the best optimum
  // of
  // every kind of data. Where distances between cells mean nothing, without k-means++.
  kAuto,
  kKMeansPlusPlus,  // k-means++ seeds (Arthur & Vassilvitskii 2007) on standardised columns, rows
                    // assigned to the nearest
  kRandomRows,      // distinct random rows as seeds, rows assigned to the nearest
  kKMeans,          // k-means++ seeds, moved by Lloyd's iterations on the sample
  kKMeansParallel,  // k-means|| seeds (Bahmani et al. 2012): five rounds of many, thinned out
  kRandomResponsibilities,  // each row's drawn uniformly from the simplex
  kShortRuns,      // the best of FitOptions::short_runs climbs of at most short_iterations, from
                   // k-means++ and random rows in turn (Biernacki, Celeux & Govaert 2003)
  kAgglomerative,  // restart 0: clusters of Ward's agglomeration on sphered columns (Fraley 1998);
                   // the others: k-means++; at most 4096 components
  kResponsibilities,  // from Table::Options::start_columns; restarts must be 1
  kGiven,             // from FitOptions::given
};

// What climbs. All but EM and classification EM are journeys to a better start: EM climbs from
// where they end until it converges.
enum class Algorithm {
  kEm,
  // Hard assignments (Celeux & Govaert 1992); the objective is the classification log-likelihood.
  kClassificationEm,
  // Labels drawn from the posterior (Celeux & Diebolt 1985) for stochastic_iterations; EM goes on
  // from the best parameters visited.
  kStochasticEm,
  // Deterministic annealing (Ueda & Nakano 1998): posteriors to a power that rises from
  // initial_inverse_temperature to 1.
  kAnnealedEm,
  // Online EM (Cappe & Moulines 2009): statistics are averaged over mini-batches, a maximisation
  // after each.
  kStepwiseEm,
};

// Extrapolates EM's steps in unconstrained coordinates. A step that does not raise the objective is
// taken back, so it stays monotone.
enum class Acceleration {
  kNone,
  kSquarem,   // Varadhan & Roland (2008), scheme S3
  kAnderson,  // Walker & Ni (2011) over the last anderson_depth steps
};

// What happens to a component whose variance reaches its floor or that loses its rows.
enum class CollapsePolicy {
  kRidge,    // it stays, held at the floor or as it was; a fit that ends so is DEGENERATE
  kFail,     // the restart fails
  kRespawn,  // it starts anew, at most max_respawns times in a restart; then as kRidge
  kDrop,     // its weight becomes 0 for good, unless it is the last
};

struct FitOptions {
  // Start of every restart's random stream; restart r uses stream r of this seed.
  uint64_t seed = 0;
  // Independent starts, >= 1; the best objective wins. 10 finds the published optima of the usual
  // small data sets.
  int restarts = 10;
  StartMethod start = StartMethod::kAuto;
  int short_runs = 10;            // of kShortRuns, >= 1
  int64_t short_iterations = 10;  // of kShortRuns, >= 1
  // Start parameters in the model's layout, for kGiven; restarts must then be 1.
  std::vector<double> given;
  // Iteration limit per restart, >= 0; 0 evaluates the start.
  int64_t max_iterations = 1000;
  // Converged when the objective changes by at most relative_tolerance x (w + |objective|) or
  // absolute_tolerance nats in an iteration. 0 switches a test off. Here w is the mean weight of
  // the rows with positive weight, 1 for data without weights: so the relative test, like the
  // objective, does not depend on the unit of the weights. A change down that rounding explains, as
  // with a variance at its floor, is taken back and ends a restart too: nothing is left to gain.
  double relative_tolerance = 1e-9;
  double absolute_tolerance = 0;
  // Converged when no unconstrained coordinate moves by more than this in an iteration, relative
  // to 1 + its size. 0: off.
  double parameter_tolerance = 0;
  // Converged when the limit that Aitken's estimate extrapolates from three objectives (Boehning
  // et al. 1994) is at most this above the last, in nats. 0: off.
  double aitken_tolerance = 0;

  Algorithm algorithm = Algorithm::kEm;
  int64_t stochastic_iterations = 100;       // >= 1
  double initial_inverse_temperature = 0.1;  // in (0, 1)
  double temperature_growth = 1.25;          // of the inverse temperature, > 1, once it settles
  int64_t stepwise_epochs = 5;               // passes over the table, >= 1
  int64_t stepwise_batch_rows = 4096;        // >= 1, rounded up to blocks
  // Step t has size (t + stepwise_delay)^-stepwise_exponent; in (0.5, 1] so that it converges.
  double stepwise_exponent = 0.7;
  double stepwise_delay = 2;  // >= 1

  Acceleration acceleration = Acceleration::kNone;
  int anderson_depth = 5;  // >= 1

  CollapsePolicy collapse = CollapsePolicy::kRidge;
  int max_respawns = 10;  // >= 0

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

// Part of a restart: the climb itself, or a journey to its start.
enum class Phase { kClimb, kShortRun, kStochastic, kAnnealed, kStepwise };

// UPPER_SNAKE name, e.g. "CLIMB".
const char* PhaseName(Phase phase);

// One iteration of one restart: `objective` belongs to the parameters before the next maximisation.
struct Progress {
  int restart = 0;
  int64_t iteration = 0;  // 0 is the start
  double objective = 0;   // nats
  // Objective minus the previous one; none at iteration 0 and where the two are not comparable.
  std::optional<double> change;
  Phase phase = Phase::kClimb;
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
  std::string message;      // names the rule that stopped it, with both of its numbers
  double objective = 0;     // nats, of the parameters it ended with
  int64_t iterations = 0;   // maximisations made by the climb
  int64_t evaluations = 0;  // passes over the table, journeys to the start included
};

// A distinct optimum: restarts whose objectives agree within 1e-5 x (w + |objective|), w as in
// FitOptions. Those that ended with a variance at its floor are apart from those that did not, and
// come after them.
struct Optimum {
  double objective = 0;  // the best in the group, nats
  int count = 0;
  int first_restart = 0;
  bool degenerate = false;  // a variance is held at its floor
};

struct FitResult {
  std::vector<double> theta;  // the returned parameters, in the model's layout
  double objective = 0;       // what was climbed, of theta, nats
  // nats, summed over rows with their weights; objective - log_prior but for classification EM
  double log_likelihood = 0;
  double log_prior = 0;                  // nats
  RestartOutcome best;                   // the winning restart
  std::vector<RestartOutcome> restarts;  // all, by number
  std::vector<Optimum> optima;           // best first
  // Of the maximisation that gave theta, in the winning restart, and what this dropped before.
  std::vector<Repair> repairs;
  int64_t total_iterations = 0;  // of all restarts
};

// Checks what can be known without model and data: InvalidArgument "<field>: got ..., must be ...".
absl::Status CheckFitOptions(const FitOptions& options);

// Checks that every row of `table` lies where `model` has a density, as Fit does first:
// InvalidArgument "data[<row>]: got <value> in column '<name>', must be ..." for the first that
// does not. Cancelled when `stop` is requested. O(rows x columns), O(1) for a model that takes any
// row.
absl::Status CheckRows(const Model& model, const Table& table, Pool::Share& share,
                       std::stop_token stop);

// Fits `model` to `table`. `summary` is Summarize(table).
//
// The result depends on (model, table, options) only: the same bits with any number of threads. The
// returned objective is that of the returned parameters. A restart that fails does not fail the
// fit; a restart that ends degenerate (a variance held at its floor) loses against any that does
// not. Restarts run in parallel when the table has too few lanes to occupy the pool.
//
// Errors: InvalidArgument (options, a bad `given`, bad start columns), FailedPrecondition (every
// restart failed: the first one's reason), Cancelled (stop requested). O(restarts x iterations x
// cost of a pass).
absl::StatusOr<FitResult> Fit(const Model& model, const Table& table, const Summary& summary,
                              const FitOptions& options, const RunOptions& run);

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_FIT_H_
