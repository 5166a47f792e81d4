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

// Reasons of repairs. A variance at its floor: the likelihood would otherwise grow without bound,
// so a fit that ends with one has found no maximum of its own.
inline constexpr char kVarianceFloored[] = "VARIANCE_FLOORED";
// A component that no row belongs to kept its parameters; its weight is its (vanishing) share.
inline constexpr char kComponentEmpty[] = "COMPONENT_EMPTY";

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

// What Infer fills, per row of a block; null pointers are skipped.
struct RowOutputs {
  double* log_density = nullptr;  // [stride] log p(x_i | theta), nats
  double* posterior = nullptr;    // [components x stride] p(z_i = k | x_i, theta)
  // [components x stride] log p(x_i | z_i = k, theta), nats
  double* component_log_density = nullptr;
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
  // Working memory of one row inside a block, for Partition::Make: columns + components + scratch.
  virtual int64_t doubles_per_row() const = 0;
  // Free parameters: the degrees of freedom of AIC and BIC.
  virtual int64_t degrees_of_freedom() const = 0;

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
  // log-likelihood sum_i w_i log p(x_i | theta) in nats. Pure in (theta, block); thread-safe for
  // distinct (workspace, stats).
  virtual double EStep(const Prepared& prepared, const Block& block, Workspace& workspace,
                       std::span<double> stats) const = 0;

  // Like EStep, with the posterior given [components x stride] instead of computed; the padding
  // must be zero. Row weights are applied here. Fits start from assignments through this.
  virtual void GivenStep(const Prepared& prepared, const Block& block,
                         std::span<const double> posterior, Workspace& workspace,
                         std::span<double> stats) const = 0;

  // Writes the maximiser of Q(. | theta) to `next`. Statistics are centred on theta's own means,
  // hence `theta`.
  virtual absl::Status MStep(std::span<const double> theta, std::span<const double> stats,
                             std::span<double> next, const MaximizeContext& context) const = 0;

  // log p(theta) of the prior, nats; 0 without priors.
  virtual double LogPrior(std::span<const double> theta) const = 0;

  // Parameters of the one-component closed form copied to every component: the point around which
  // statistics of a start are centred.
  virtual void Reference(const Summary& summary, std::span<double> theta) const = 0;

  // Posterior and log density of each row.
  virtual void Infer(const Prepared& prepared, const Block& block, Workspace& workspace,
                     RowOutputs outputs) const = 0;

  // Draws one row; `row` has num_columns() values. Returns the component it came from.
  virtual int Sample(const Prepared& prepared, Random& random, std::span<double> row) const = 0;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_MODEL_H_
