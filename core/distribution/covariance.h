// Covariance structures of elliptical components: what is tied to what, and the maximum under a
// floor.
//
// Apart from the emissions (gaussian.cc, student_t.cc), which own the means and are the same for
// every structure, so that a new structure is one entry of a table here. Structures differ in their
// form (matrices or per-column variances, which decides the kernels) and in how the components'
// scatter is pooled (which decides the maximisation).
#ifndef EMSERVE_CORE_DISTRIBUTION_COVARIANCE_H_
#define EMSERVE_CORE_DISTRIBUTION_COVARIANCE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/data/block.h"
#include "core/distribution/patterns.h"
#include "core/em/constraints.h"
#include "core/em/layout.h"
#include "core/em/model.h"

namespace emserve {

// Names in parentheses are those of Celeux & Govaert (1995) and R mclust: volume, shape and
// orientation of the components are equal (E) or variable (V); I: axis-parallel, or round.
enum class Covariance {
  kFull,           // one free matrix per component (VVV)            covariances [K, D, D]
  kTied,           // one matrix shared by all (EEE)                 covariances [D, D]
  kDiagonal,       // free variances per component (VVI)             variances [K, D]
  kTiedDiagonal,   // variances shared by all (EEI)                  variances [D]
  kSpherical,      // one variance per component (VII; V in 1-D)     variances [K]
  kTiedSpherical,  // one variance in all (EII; E in 1-D)            variances [1]
  kVEI,            // axis-parallel, shared shape                    variances [K, D]
  kEVI,            // axis-parallel, shared volume                   variances [K, D]
  kVEE,            // shared shape and orientation                   covariances [K, D, D]
  kEVE,            // shared volume and orientation                  covariances [K, D, D]
  kVVE,            // shared orientation                             covariances [K, D, D]
  kEEV,            // shared volume and shape                        covariances [K, D, D]
  kVEV,            // shared shape                                   covariances [K, D, D]
  kEVV,            // shared volume                                  covariances [K, D, D]
};

// What a structure is called, and what it needs.
struct CovarianceInfo {
  Covariance covariance;
  std::string_view name;    // lower_snake: "full", "tied", ..., "vei", ...
  std::string_view mclust;  // "VVV", ...
};
std::span<const CovarianceInfo> CovarianceStructures();

// Smallest variances that a fit may reach: `ridge` times each column's own variance.
struct VarianceFloor {
  double ridge = 0;               // dimensionless
  std::vector<double> variances;  // [D] of the columns, squared data units

  // For structures that columns have no floors of their own in: below every other one, so that it
  // holds no variance of a column that differs in scale from the rest. 0 without columns that vary.
  double smallest_variance() const;
};

// An inverse Wishart prior on each distinct matrix S, taken at matrices of the structure:
// -exponent / 2 log det S - tr(S^-1 scale) / 2.
struct ScalePrior {
  double exponent = 0;           // degrees of freedom + D + 1
  std::vector<double> diagonal;  // [D] of the scale, squared data units
  std::vector<double> matrix;    // [D, D], the whole scale; empty where the rest of it is 0
};

// All that a normal-inverse-Wishart prior says of covariances once means are known: `scale`, and
// for every component k -log det S_k / 2 - shrinkage offset_k^T S_k^-1 offset_k / 2.
struct CovariancePrior {
  const ScalePrior& scale;
  double shrinkage = 0;             // 0: no prior on the means
  std::span<const double> offsets;  // [K, D] means less the prior's; empty if there is none
};

// Immutable and thread-safe. Parameters are one array of the layout, statistics another.
class Covariances {
 public:
  // Factors, scales and normalisers of one set of parameters.
  class Prepared {
   public:
    virtual ~Prepared() = default;
  };
  // What rows with missing cells need besides scratch.
  class MissingWorkspace {
   public:
    virtual ~MissingWorkspace() = default;
  };

  virtual ~Covariances() = default;

  virtual void AddParameters(Layout& parameters) const = 0;
  virtual void AddStatistics(Layout& statistics) const = 0;
  virtual double num_parameters() const = 0;  // doubles stored; before any overflow of int64
  virtual int64_t degrees_of_freedom(const std::vector<bool>& active) const = 0;  // as Emission's
  virtual int64_t scratch_per_row() const = 0;  // doubles per row of a block

  // Elements of variances may be fixed and tied one by one where they are free (diagonal,
  // spherical and their tied forms), matrices as wholes (full, tied). InvalidArgument for others.
  virtual absl::Status Constrain(Constraints constraints) = 0;

  // "<array>[<indices>]: got ..., must be ...".
  virtual absl::Status Validate(std::span<const double> params) const = 0;

  // The covariance of all rows, for every component; `variances` [D] of the columns.
  virtual void Reference(std::span<const double> variances, std::span<double> params) const = 0;

  virtual std::unique_ptr<Prepared> NewPrepared() const = 0;
  virtual std::unique_ptr<MissingWorkspace> NewMissingWorkspace(int max_rows) const = 0;

  // FailedPrecondition when a covariance is not positive definite.
  virtual absl::Status Prepare(std::span<const double> means, std::span<const double> params,
                               Prepared& prepared) const = 0;

  // log det of the component's covariance.
  virtual double LogDeterminant(const Prepared& prepared, int component) const = 0;

  // squares[i] = (x_i - mean)^T S^-1 (x_i - mean). `scratch` has scratch_per_row() doubles per
  // padded row; it and the rows start at 64-byte boundaries. The block must be complete.
  virtual void Squares(const Prepared& prepared, int component, const Block& block, double* scratch,
                       double* squares) const = 0;

  // first [D] += sum_i r_i (x_i - mean), and the component's scatter about mean, sum_i r_i (x_i -
  // mean)(x_i - mean)^T or its diagonal. `scratch` as above. The block must be complete.
  virtual void Accumulate(const Prepared& prepared, int component, const Block& block,
                          const double* responsibility, double* scratch, double* first,
                          std::span<double> scatter) const = 0;

  // As Squares, of the observed cells; log_determinants[i] of their covariance. 0 for padding and
  // for rows without a cell.
  virtual void ObservedSquares(const Prepared& prepared, int component, const Block& block,
                               const Patterns& patterns, MissingWorkspace& workspace,
                               double* squares, double* log_determinants) const = 0;

  // completed [D x stride]: the cells, missing ones replaced by their mean given the observed ones.
  // variance [D x stride]: variance of each cell given the observed ones, 0 for those; may be null.
  virtual void Complete(const Prepared& prepared, int component, const Block& block,
                        const Patterns& patterns, MissingWorkspace& workspace, double* completed,
                        double* variance) const = 0;

  // The component's scatter += sum_i r_i Cov(x_i | observed cells of row i).
  virtual void AddConditional(const Prepared& prepared, int component, const Block& block,
                              const Patterns& patterns, const double* responsibility,
                              MissingWorkspace& workspace, std::span<double> scatter) const = 0;

  // The component's scatter += coefficient v v^T; v [D].
  virtual void AddOuter(int component, double coefficient, std::span<const double> v,
                        std::span<double> scatter) const = 0;

  // Maximises sum_k -exponents_k / 2 log det S_k - tr(S_k^-1 W_k) / 2, with W the scatter as laid
  // out by AddStatistics, plus `prior` (may be null) under the floor and the constraints. A
  // component with exponent 0 keeps its own covariance. What it shares with others moves with
  // them, and there its part of the prior counts; with a prior that takes in all of the covariance
  // where volume, shape or orientation alone are shared.
  virtual absl::Status Maximize(std::span<const double> exponents, std::span<const double> scatter,
                                const CovariancePrior* prior, std::span<const double> params,
                                std::span<double> next, const MaximizeContext& context) const = 0;

  // scatter += weights_k times the component's covariance.
  virtual void AddCovariances(std::span<const double> params, std::span<const double> weights,
                              std::span<double> scatter) const = 0;

  // What Maximize maximises, without prior.
  virtual double ExpectedLogDensity(std::span<const double> exponents,
                                    std::span<const double> scatter,
                                    std::span<const double> params) const = 0;

  // Log density of `prior` at the parameters, up to a constant.
  virtual double LogPrior(const CovariancePrior& prior, std::span<const double> params) const = 0;

  // The inverse of the component's covariance, [D, D], or its diagonal [D] where columns are
  // independent; empty if there is none.
  virtual std::vector<double> Precision(std::span<const double> params, int component) const = 0;

  // Location and scale of a column by itself.
  struct Marginal {
    double location = 0;
    double scale = 1;
  };
  virtual Marginal MarginalOf(const Prepared& prepared, int component, int column) const = 0;

  // Turns D standard normals in `row`, times `stretch`, into a draw of `component`.
  virtual void Sample(const Prepared& prepared, int component, double stretch,
                      std::span<double> row) const = 0;

  // As Emission's; the result keeps the floor.
  virtual void ToUnconstrained(std::span<const double> params,
                               std::span<double> coordinates) const = 0;
  virtual void FromUnconstrained(std::span<const double> coordinates,
                                 std::span<const double> reference,
                                 std::span<double> params) const = 0;
};

// The covariances of `structure`; null for a value that is not in the list.
std::unique_ptr<Covariances> MakeCovariances(Covariance structure, int num_components,
                                             int num_columns, VarianceFloor floor);

// Whether the structure is round, so that it lives with constant columns.
bool IsSpherical(Covariance structure);

// The two forms: symmetric matrices (matrices.cc), and variances of columns that are independent
// within a component (variances.cc).
std::unique_ptr<Covariances> MakeMatrices(Covariance structure, int num_components, int num_columns,
                                          VarianceFloor floor);
std::unique_ptr<Covariances> MakeVariances(Covariance structure, int num_components,
                                           int num_columns, VarianceFloor floor);

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_COVARIANCE_H_
