// The contract of an emission: the distribution of a row given its component. Written once, it
// serves every latent structure that has discrete hidden labels.
//
// Spans of parameters and statistics are the emission's own part of the flat arrays. The occupancy
// of each component (sum of weighted posteriors) belongs to the latent structure and is passed in.
#ifndef EMSERVE_CORE_DISTRIBUTION_EMISSION_H_
#define EMSERVE_CORE_DISTRIBUTION_EMISSION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/data/block.h"
#include "core/data/summary.h"
#include "core/em/constraints.h"
#include "core/em/layout.h"
#include "core/em/model.h"
#include "core/runtime/random.h"

namespace emserve {

class Emission {
 public:
  class Prepared {
   public:
    virtual ~Prepared() = default;
  };
  class Workspace {
   public:
    virtual ~Workspace() = default;
  };

  virtual ~Emission() = default;

  virtual const Layout& parameters() const = 0;
  virtual const Layout& statistics() const = 0;
  virtual int num_components() const = 0;
  virtual int num_columns() const = 0;
  virtual int64_t scratch_per_row() const = 0;  // doubles of workspace per row of a block
  // Components that take part in starts; the last ones may not (noise).
  virtual int num_seeds() const { return num_components(); }
  // As Model's.
  virtual bool starts_hard() const { return true; }
  virtual bool has_distances() const { return true; }
  // Free parameters without the component weights, of the components that are `active` [K]: those
  // with weight. What they share with others counts once, what only others have not at all.
  virtual int64_t degrees_of_freedom(const std::vector<bool>& active) const = 0;

  // Takes over constraints on parameters(). Called at most once, before anything that depends on
  // them. InvalidArgument "constraints: got ..., must be ..." for those that this emission cannot
  // keep or that contradict its parameters' ranges.
  virtual absl::Status Constrain(Constraints constraints) = 0;

  // As Model's.
  virtual bool checks_rows() const { return true; }
  virtual absl::Status CheckRows(const Block& block,
                                 const std::vector<std::string>& names) const = 0;

  virtual std::unique_ptr<Prepared> NewPrepared() const = 0;
  virtual std::unique_ptr<Workspace> NewWorkspace(int max_rows) const = 0;
  virtual absl::Status Validate(std::span<const double> params) const = 0;
  virtual absl::Status Prepare(std::span<const double> params, Prepared& prepared) const = 0;

  // log_density[k * block.stride + i] = log p(x_i | component k) of the row's observed cells, nats
  // (0 for a row without any), finite for padding rows too.
  virtual void LogDensity(const Prepared& prepared, const Block& block, Workspace& workspace,
                          std::span<double> log_density) const = 0;

  // Adds expected statistics of the block weighted by resp[k * block.stride + i] (posterior times
  // row weight, 0 for padding), centred on the prepared parameters' own location; missing cells
  // are integrated out.
  virtual void Accumulate(const Prepared& prepared, const Block& block,
                          std::span<const double> resp, Workspace& workspace,
                          std::span<double> stats) const = 0;

  // Writes the parameters that maximise the expected complete-data log-likelihood plus LogPrior
  // under the constraints to `next` (or parameters that raise it, where there is no closed form). A
  // component whose occupancy vanishes keeps its old parameters and is reported.
  virtual absl::Status Maximize(std::span<const double> params, std::span<const double> occupancy,
                                std::span<const double> stats, std::span<double> next,
                                const MaximizeContext& context) const = 0;

  // Statistics are centred on the parameters they were computed under; this centres those of
  // `params` on `centre` instead. Nothing to do where statistics are not centred.
  virtual void Recenter(std::span<const double> params, std::span<const double> centre,
                        std::span<const double> occupancy, std::span<double> stats) const = 0;

  // Statistics that `occupancy` observations of each component leave on average under `params`,
  // centred on them: Maximize without prior and constraints gives `params` back.
  virtual void ExpectedStatistics(std::span<const double> params, std::span<const double> occupancy,
                                  std::span<double> stats) const = 0;

  // What Maximize maximises, without prior: the expected complete-data log density of `params`
  // given statistics that are centred on `centre`, nats, up to a constant that does not depend on
  // `params`.
  virtual double ExpectedLogDensity(std::span<const double> centre,
                                    std::span<const double> occupancy,
                                    std::span<const double> stats,
                                    std::span<const double> params) const = 0;

  // Up to a constant; 0 without a prior.
  virtual double LogPrior(std::span<const double> params) const = 0;
  virtual void Reference(const Summary& summary, std::span<double> params) const = 0;
  virtual void Sample(const Prepared& prepared, int component, Random& random,
                      std::span<double> row) const = 0;

  // Cells given the row's observed cells, as RowOutputs says, averaged over components with
  // `posterior` [components x stride]; mean and variance [columns x stride].
  virtual void Conditional(const Prepared& prepared, const Block& block,
                           std::span<const double> posterior, Workspace& workspace, double* mean,
                           double* variance) const = 0;

  // Whether Cumulative can be asked: not where cells have no order or make sense together only, nor
  // where a component is noise.
  virtual bool has_cumulatives() const { return false; }
  // Of each cell by itself under `component`: the probabilities of less than its value, of just it
  // (0 where it has a density) and of more, each with its own relative precision, [columns x
  // stride]. Of missing cells and padding anything. Precondition: has_cumulatives().
  virtual void Cumulative(const Prepared& /*prepared*/, const Block& /*block*/, int /*component*/,
                          Workspace& /*workspace*/, double* /*below*/, double* /*at*/,
                          double* /*above*/) const {}

  // As Model's.
  virtual void ToUnconstrained(std::span<const double> params,
                               std::span<double> coordinates) const = 0;
  virtual void FromUnconstrained(std::span<const double> coordinates,
                                 std::span<const double> reference,
                                 std::span<double> params) const = 0;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_EMISSION_H_
