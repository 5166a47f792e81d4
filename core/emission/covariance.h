// Covariance structures of Gaussian components: what is tied to what, and the maximum under a
// floor.
//
// Apart from gaussian.cc, which owns the means and is the same for every structure, so that a new
// structure is one entry of a table here. Structures differ in two ways only: in their form
// (matrices or per-column variances, which decides the kernels) and in how the components' scatter
// is pooled (which decides the maximisation).
#ifndef EMSERVE_CORE_EMISSION_COVARIANCE_H_
#define EMSERVE_CORE_EMISSION_COVARIANCE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/data/block.h"
#include "core/em/layout.h"
#include "core/em/model.h"
#include "core/emission/gaussian.h"

namespace emserve {

// Smallest variances that a fit may reach: `ridge` times each column's own variance.
struct VarianceFloor {
  double ridge = 0;               // dimensionless
  std::vector<double> variances;  // [D] of the columns, squared data units
};

// What a maximisation knows of the components.
struct GaussianMoments {
  std::span<const double> occupancy;  // [K] sum of weighted posteriors; 0 for empty components
  std::span<const double> shift;      // [K, D] new means minus those the scatter is centred on
  std::span<const double> scatter;    // as laid out by AddStatistics
};

// Immutable and thread-safe. Parameters are one array of the layout, statistics another.
class Covariances {
 public:
  // Factors, scales and normalisers of one set of parameters.
  class Prepared {
   public:
    virtual ~Prepared() = default;
  };

  virtual ~Covariances() = default;

  virtual void AddParameters(Layout& parameters) const = 0;
  virtual void AddStatistics(Layout& statistics) const = 0;
  virtual double num_parameters() const = 0;  // doubles stored; before any overflow of int64
  virtual int64_t degrees_of_freedom() const = 0;
  virtual int64_t scratch_per_row() const = 0;  // doubles per row of a block

  // "<array>[<indices>]: got ..., must be ...".
  virtual absl::Status Validate(std::span<const double> params) const = 0;

  // The covariance of all rows, for every component; `variances` [D] of the columns.
  virtual void Reference(std::span<const double> variances, std::span<double> params) const = 0;

  virtual std::unique_ptr<Prepared> NewPrepared() const = 0;

  // FailedPrecondition when a covariance is not positive definite.
  virtual absl::Status Prepare(std::span<const double> means, std::span<const double> params,
                               Prepared& prepared) const = 0;

  // log_density[i] = log N(x_i; mean, covariance) of `component`, nats. `scratch` has
  // scratch_per_row() doubles per padded row; it and the rows start at 64-byte boundaries.
  virtual void LogDensity(const Prepared& prepared, int component, const Block& block,
                          double* scratch, double* log_density) const = 0;

  // first [D] += sum_i r_i (x_i - mean), and the component's scatter about mean, sum_i r_i (x_i -
  // mean)(x_i - mean)^T or its diagonal. `scratch` as above.
  virtual void Accumulate(const Prepared& prepared, int component, const Block& block,
                          const double* responsibility, double* scratch, double* first,
                          std::span<double> scatter) const = 0;

  // Writes the maximiser under the floor. A component with occupancy 0 keeps its own covariance.
  virtual absl::Status Maximize(const GaussianMoments& moments, std::span<const double> params,
                                std::span<double> next, const MaximizeContext& context) const = 0;

  // Turns D standard normals in `row` into a draw of `component`.
  virtual void Sample(const Prepared& prepared, int component, std::span<double> row) const = 0;
};

// The covariances of `structure`; null for a value that is not in the list.
std::unique_ptr<Covariances> MakeCovariances(Covariance structure, int num_components,
                                             int num_columns, VarianceFloor floor);

// What is one parameter for all.
struct Sharing {
  bool by_components = false;
  bool by_columns = false;
};

// The two forms: symmetric matrices (matrices.cc), and variances of columns that are independent
// within a component (variances.cc).
std::unique_ptr<Covariances> MakeMatrices(Sharing sharing, int num_components, int num_columns,
                                          VarianceFloor floor);
std::unique_ptr<Covariances> MakeVariances(Sharing sharing, int num_components, int num_columns,
                                           VarianceFloor floor);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_COVARIANCE_H_
