// The contract of an emission: the distribution of a row given its component. Written once, it
// serves every latent structure that has discrete hidden labels.
//
// Spans of parameters and statistics are the emission's own part of the flat arrays. The occupancy
// of each component (sum of weighted posteriors) belongs to the latent structure and is passed in.
#ifndef EMSERVE_CORE_EMISSION_EMISSION_H_
#define EMSERVE_CORE_EMISSION_EMISSION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/data/block.h"
#include "core/data/summary.h"
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
  virtual int64_t scratch_per_row() const = 0;     // doubles of workspace per row of a block
  virtual int64_t degrees_of_freedom() const = 0;  // without the component weights

  virtual std::unique_ptr<Prepared> NewPrepared() const = 0;
  virtual std::unique_ptr<Workspace> NewWorkspace(int max_rows) const = 0;
  virtual absl::Status Validate(std::span<const double> params) const = 0;
  virtual absl::Status Prepare(std::span<const double> params, Prepared& prepared) const = 0;

  // log_density[k * block.stride + i] = log p(x_i | component k), nats, finite for padding rows
  // too.
  virtual void LogDensity(const Prepared& prepared, const Block& block, Workspace& workspace,
                          std::span<double> log_density) const = 0;

  // Adds statistics of the block weighted by resp[k * block.stride + i] (posterior times row
  // weight, 0 for padding), centred on the prepared parameters' own location.
  virtual void Accumulate(const Prepared& prepared, const Block& block,
                          std::span<const double> resp, Workspace& workspace,
                          std::span<double> stats) const = 0;

  // Writes the parameters that maximise the expected complete-data log-likelihood to `next`. A
  // component whose occupancy vanishes keeps its old parameters and is reported.
  virtual absl::Status Maximize(std::span<const double> params, std::span<const double> occupancy,
                                std::span<const double> stats, std::span<double> next,
                                const MaximizeContext& context) const = 0;

  virtual double LogPrior(std::span<const double> params) const = 0;
  virtual void Reference(const Summary& summary, std::span<double> params) const = 0;
  virtual void Sample(const Prepared& prepared, int component, Random& random,
                      std::span<double> row) const = 0;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_EMISSION_H_
