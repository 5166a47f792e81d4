// The contract between the EM driver and a latent structure.
//
// A Model is immutable and holds hyper-parameters only; the driver owns the parameters, the
// statistics and the loop. One virtual call per block, never per row. What a pass over the data
// needs of the parameters (Cholesky factors, log-determinants, log weights) is prepared once per
// iteration and shared by all blocks.
#ifndef EMSERVE_CORE_EM_MODEL_H_
#define EMSERVE_CORE_EM_MODEL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/data/block.h"
#include "core/data/summary.h"
#include "core/em/layout.h"
#include "core/runtime/random.h"

namespace emserve {

class Chain;

// Reasons of repairs. A variance at its floor: the likelihood would otherwise grow without bound,
// so a fit that ends with one has found no maximum of its own.
inline constexpr char kVarianceFloored[] = "VARIANCE_FLOORED";
// A component that no row belongs to kept its parameters; its weight is its (vanishing) share.
inline constexpr char kComponentEmpty[] = "COMPONENT_EMPTY";
// A component that rows belong to, but none with some of its columns: those cells kept their
// parameters; amount: the least observed weight among them. The component itself is healthy.
inline constexpr char kCellsUnobserved[] = "CELLS_UNOBSERVED";
// A component started anew by the collapse policy, or lost its weight for good, by that policy or
// to a prior that empties components; amount: its weight before.
inline constexpr char kComponentRespawned[] = "COMPONENT_RESPAWNED";
inline constexpr char kComponentDropped[] = "COMPONENT_DROPPED";
// The rows of a centre of length 1 cancel out, so that they have no mean direction: it stays where
// it was, at a start on the first axis.
inline constexpr char kDirectionUndefined[] = "DIRECTION_UNDEFINED";
// Degrees of freedom were held at the bound `amount`; the upper one says that the tails are a
// Gaussian's.
inline constexpr char kDegreesOfFreedomBounded[] = "DEGREES_OF_FREEDOM_BOUNDED";

// A repair that a maximisation made; nothing is repaired silently.
struct Repair {
  std::string reason;  // UPPER_SNAKE, one of the above
  int component = -1;  // -1: shared by all components
  double amount = 0;   // what the reason says, e.g. the largest amount added to a variance, in
                       // squared data units
  // How far rounding may have moved the objective because of the repair, nats. Rounding moves a
  // free maximum by its square only, but one that a constraint holds in proportion.
  double rounding = 0;
};

// What a maximisation has besides its numbers.
struct MaximizeContext {
  std::vector<Repair>& repairs;  // what it repaired is appended
  // A maximisation that takes long returns Cancelled soon after this asks for it; what it has
  // written by then means nothing.
  std::stop_token stop;
};

// How an E-step turns posteriors into responsibilities, and with them which algorithm it is.
struct Assignment {
  enum class Kind {
    kPosterior,  // EM: the posteriors themselves
    kHard,       // classification EM (Celeux & Govaert 1992): 1 for the most probable component
    kSampled,    // stochastic EM (Celeux & Diebolt 1985): 1 for one drawn from the posterior
  };
  Kind kind = Kind::kPosterior;
  // Posteriors are proportional to (weight_k p(x | k))^inverse_temperature (Ueda & Nakano 1998); in
  // (0, 1].
  double inverse_temperature = 1;
  // For kSampled: row i draws from stream i of this seed, whatever the thread.
  uint64_t seed = 0;
};

// What Infer fills, per row of a block; null pointers are skipped.
struct RowOutputs {
  // [stride] log p(x_i | theta) of the observed cells, nats; in a sequence given the rows before
  double* log_density = nullptr;
  double* posterior = nullptr;  // [components x stride] p(z_i = k | all rows, theta)
  double* filtered = nullptr;   // [components x stride] p(z_i = k | rows up to i, theta)
  // [components x stride] log p(x_i | z_i = k, theta), nats
  double* component_log_density = nullptr;
  // [columns x stride] mean and variance of every cell given the row's observed cells: for an
  // observed cell itself and 0. For a category the most probable one, and the probability of all
  // others. Both or neither.
  double* conditional_mean = nullptr;
  double* conditional_variance = nullptr;
  // Of models with a chain (chain.h), asked for alone, of blocks with messages of hard assignments:
  // [stride] the state on the sequence's most probable path, and log p(x_i, state | the state
  // before), nats, which sum to the log density of rows and path. Both or neither.
  int* path = nullptr;
  double* path_log_density = nullptr;
  // The following of models with a chain only.
  // [components x stride] p(z at some rows after i = k | rows up to i, theta), those rows being the
  // ones that `ahead` looks ahead, of Chain::Ahead; and [columns x stride] mean and variance of
  // every cell there, as the conditional ones. Both of the last or neither.
  const double* ahead = nullptr;
  double* forecast = nullptr;
  double* forecast_mean = nullptr;
  double* forecast_variance = nullptr;
  // [columns x stride] pseudo-residuals (Zucchini, MacDonald & Langrock 2016, chapter 6): the
  // normal quantile of p(cell <= its value | all other rows), or | the rows before; of a cell whose
  // values have probabilities, of the middle of the step. Standard normal where the model is true;
  // NaN where the cell is missing. Beyond about 37 standard deviations a double does not hold the
  // probability: -infinity or +infinity. For emissions with cumulatives.
  double* residual = nullptr;
  double* forecast_residual = nullptr;
};

class Model {
 public:
  // Quantities prepared from one theta; owned by the driver and reused from iteration to iteration.
  class Prepared {
   public:
    virtual ~Prepared() = default;
  };
  // Scratch of one thread; everything an E-step needs, so that it allocates nothing.
  class Workspace {
   public:
    virtual ~Workspace() = default;
  };

  virtual ~Model() = default;

  virtual const Layout& parameters() const = 0;
  virtual const Layout& statistics() const = 0;
  virtual int num_columns() const = 0;
  virtual int num_components() const = 0;
  // Components that rows can start in: all but those that no seed stands for (noise).
  virtual int num_seeds() const { return num_components(); }
  // Whether rows may start wholly in one component: not where that could set a probability to 0,
  // where EM would leave it.
  virtual bool starts_hard() const { return true; }
  // Whether distances between cells mean something, so that seeds can be drawn by them.
  virtual bool has_distances() const { return true; }
  // Whether distances count in the cells' own units; else in each column's standard deviations.
  virtual bool measures_in_own_units() const { return false; }
  // Whether the objective is a log-likelihood, and rows can be drawn: not where clusters are found
  // by distances alone.
  virtual bool has_likelihood() const { return true; }
  // Working memory of one row inside a block, for Partition::Make: columns + components + scratch.
  virtual int64_t doubles_per_row() const = 0;
  // What the model is besides, where rows depend on those before them (chain.h); null: they do not.
  virtual const Chain* chain() const { return nullptr; }
  // Free parameters, fixed and tied ones and dropped components apart: the degrees of freedom of
  // AIC and BIC.
  virtual int64_t degrees_of_freedom(std::span<const double> theta) const = 0;

  // Whether CheckRows can refuse a row of finite cells.
  virtual bool checks_rows() const { return true; }
  // Checks that the rows of `block` lie where the model has a density (counts are integers,
  // directions have length 1, ...); missing cells do. InvalidArgument "[<row>]: got <value> in
  // column '<name>', must be ...", which the caller puts "data" or "rows" before. O(cells).
  virtual absl::Status CheckRows(const Block& block,
                                 const std::vector<std::string>& names) const = 0;

  virtual std::unique_ptr<Prepared> NewPrepared() const = 0;
  virtual std::unique_ptr<Workspace> NewWorkspace(int max_rows) const = 0;

  // Checks a theta from outside (a start, an imported model): shapes, finiteness, weights on the
  // simplex, positive definite covariances. InvalidArgument with "<array>[<indices>]: got ..., must
  // be ...".
  virtual absl::Status Validate(std::span<const double> theta) const = 0;

  // Fails (FailedPrecondition) when theta cannot define a density, e.g. a covariance that is not
  // positive definite.
  virtual absl::Status Prepare(std::span<const double> theta, Prepared& prepared) const = 0;

  // Adds the expected sufficient statistics of `block` to `stats` and returns the block's weighted
  // log-likelihood sum_i w_i log p(x_i | theta) in nats, of the observed cells, with the labels'
  // plausibilities. With hard assignments it returns the classification log-likelihood sum_i w_i
  // max_k log(weight_k p(x_i | k)), with an inverse temperature b the free energy sum_i w_i / b log
  // sum_k (weight_k p(x_i | k))^b. Pure in (theta, block, assignment); thread-safe for distinct
  // (workspace, stats).
  virtual double EStep(const Prepared& prepared, const Block& block, const Assignment& assignment,
                       Workspace& workspace, std::span<double> stats) const = 0;

  // Like EStep, with the posterior given [components x stride] instead of computed; the padding
  // must be zero. Row weights are applied here. Fits start from assignments through this.
  virtual void GivenStep(const Prepared& prepared, const Block& block,
                         std::span<const double> posterior, Workspace& workspace,
                         std::span<double> stats) const = 0;

  // Writes the maximiser of Q(. | theta) to `next`. Statistics are centred on theta's own means,
  // hence `theta`.
  virtual absl::Status MStep(std::span<const double> theta, std::span<const double> stats,
                             std::span<double> next, const MaximizeContext& context) const = 0;

  // As Emission's of the same names, of all statistics.
  virtual void Recenter(std::span<const double> theta, std::span<const double> centre,
                        std::span<double> stats) const = 0;
  // Of rows whose weights sum to `num_observations`; where they depend on each other in as many
  // sequences as `num_sequences`, of one length. Both are positive.
  virtual void ExpectedStatistics(std::span<const double> theta, double num_observations,
                                  double num_sequences, std::span<double> stats) const = 0;
  virtual double ExpectedLogDensity(std::span<const double> centre, std::span<const double> stats,
                                    std::span<const double> theta) const = 0;

  // log p(theta) of the prior, nats, up to a constant; 0 without priors.
  virtual double LogPrior(std::span<const double> theta) const = 0;

  // Coordinates in which any step leads to parameters again (logarithms of what is positive,
  // Cholesky factors, ...), as many as parameters; those of a weight or variance at 0 are
  // infinite. Back, what coordinates do not describe (an orientation) is that of `reference`, and
  // fixed elements have their values.
  virtual void ToUnconstrained(std::span<const double> theta,
                               std::span<double> coordinates) const = 0;
  virtual void FromUnconstrained(std::span<const double> coordinates,
                                 std::span<const double> reference,
                                 std::span<double> theta) const = 0;

  // Parameters of the one-component closed form copied to every component: the point around which
  // statistics of a start are centred.
  virtual void Reference(const Summary& summary, std::span<double> theta) const = 0;

  // Its share of the rows, or for a chain the largest probability with which a sequence begins in
  // it or another component is followed by it: 0 means that no row can belong to it. None where
  // components have no weights.
  virtual std::optional<double> WeightOf(std::span<const double> /*theta*/,
                                         int /*component*/) const {
    return std::nullopt;
  }

  // Sets the weight of `component` and scales the others to what is left; constraints on weights
  // are kept.
  virtual void Reweigh(int component, double weight, std::span<double> theta) const = 0;

  // Whether `component` can take the parameters of another fit's component while the others keep
  // theirs: not where a tie joins them. Fixed elements are the same in every fit.
  virtual bool can_respawn(int /*component*/) const { return true; }

  // Posterior, log density and conditional cells of each row.
  virtual void Infer(const Prepared& prepared, const Block& block, Workspace& workspace,
                     RowOutputs outputs) const = 0;

  // Draws one row; `row` has num_columns() values. Returns the component it came from.
  virtual int Sample(const Prepared& prepared, Random& random, std::span<double> row) const = 0;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_MODEL_H_
