// Distributions of one cell, for emissions whose columns are independent within a component.
//
// Such an emission is a Univariate under columns.h: bernoulli.h, poisson.h, gamma.h, ... are small
// because all that is not particular to them is there.
#ifndef EMSERVE_CORE_DISTRIBUTION_UNIVARIATE_H_
#define EMSERVE_CORE_DISTRIBUTION_UNIVARIATE_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/data/summary.h"
#include "core/em/domain.h"
#include "core/numerics/cumulative.h"
#include "core/runtime/random.h"

namespace emserve {

inline constexpr int kMaxUnivariateParameters = 4;
inline constexpr int kMaxUnivariateSums = 8;  // with the observed weight

// Room for the parameters or the sums of one cell.
using CellArray = std::array<double, std::max(kMaxUnivariateParameters, kMaxUnivariateSums)>;

// What can be observed. The constraint reads "must be <what>", e.g. "0 or 1".
struct Support {
  bool (*contains)(double x) = nullptr;
  const char* what = "";
};

struct UnivariateParameter {
  std::string name;  // of the array [K, D], e.g. "rates"
  Domain domain = Domain::kReal;
  // Reason of the repair that is reported when a fit ends a maximisation at the end of a
  // parameter's Range; empty if it has no range.
  std::string limit_reason;
};

// The cells of one column in a block: `stride` values, all observed or padding (whose value is
// arbitrary, and whose density and statistics must come out finite unless their weight is 0), with
// the features that the distribution derives from them.
struct Run {
  int column = 0;
  int stride = 0;
  const double* x = nullptr;         // [stride], 64-byte aligned, as are the features
  const double* features = nullptr;  // [num_features() x stride]
};

// Statistics of a cell (k, d), or of `num_cells` cells pooled because one parameter serves all.
struct CellStatistics {
  double num_cells = 1;           // the prior counts once for each
  std::span<const double> old;    // [P] parameters under which the statistics were computed
  std::span<const double> sums;   // [1 + S] observed weight, then the distribution's sums
  std::span<const Range> ranges;  // [P] where the maximiser must lie
};

// A distribution of one number with P <= kMaxUnivariateParameters parameters and S <
// kMaxUnivariateSums additive statistics besides the observed weight; those of a distribution with
// one parameter do not depend on it. Immutable, pure and thread-safe. Virtual calls are made per
// run of cells, never per cell.
class Univariate {
 public:
  virtual ~Univariate() = default;

  virtual const std::vector<UnivariateParameter>& parameters() const = 0;
  virtual const std::vector<std::string>& statistics() const = 0;  // names of the S sums
  virtual int num_constants() const = 0;  // doubles prepared from the parameters of one cell
  virtual int num_features() const { return 0; }

  virtual const Support& support() const = 0;
  // As Emission's.
  virtual bool starts_hard() const { return true; }
  // A value in the support, to stand for a missing cell where its weight is 0.
  virtual double neutral() const { return 0; }

  // Where a fit keeps parameter `p` of a column.
  virtual Range Limits(int /*p*/, int /*column*/) const { return {}; }
  // Parameters of a column on its own, e.g. by its moments; within Limits.
  virtual void Reference(int column, std::span<double> params) const = 0;

  // Writes [num_constants()] what AddLogDensity needs of [P] parameters in their domains.
  virtual void Prepare(int column, std::span<const double> params, double* constants) const = 0;

  // Fills run.features from run.x, once per column of a block for all components.
  virtual void Features(const Run& /*run*/, double* /*features*/) const {}
  // log_density[i] += the part of log p(x_i) that does not depend on parameters.
  virtual void AddBase(const Run& /*run*/, double* /*log_density*/) const {}
  // log_density[i] += the rest.
  virtual void AddLogDensity(const Run& run, const double* constants,
                             double* log_density) const = 0;
  // sums[s] += sum_i resp_i t_s(x_i), with the constants of the parameters that they are centred
  // on.
  virtual void AddStatistics(const Run& run, const double* constants, const double* resp,
                             std::span<double> sums) const = 0;

  // The expected log density of the cells at `params`, or a minorant of it that touches it at
  // cell.old, up to a constant; 0 without observed weight, -infinity where an observed cell is
  // impossible. Without the prior.
  virtual double Expected(const CellStatistics& cell, std::span<const double> params) const = 0;
  // Sets params[p] to the maximiser within its range of Expected and the prior, the others as they
  // are. Precondition: observed weight.
  virtual void MaximizeOne(const CellStatistics& cell, int p, std::span<double> params) const = 0;
  // Raises Expected and the prior over all parameters from cell.old, to the maximum where there is
  // a closed form. Precondition: observed weight.
  virtual void Maximize(const CellStatistics& cell, std::span<double> params) const;

  // Centres sums [1 + S] of the parameters `old` on `centre` instead.
  virtual void Recenter(std::span<const double> /*old*/, std::span<const double> /*centre*/,
                        std::span<double> /*sums*/) const {}
  // Fills the S sums that an observed weight of sums[0] leaves on average under `params`.
  virtual void ExpectedSums(std::span<const double> params, std::span<double> sums) const = 0;

  virtual double LogPrior(std::span<const double> /*params*/) const { return 0; }
  virtual double Mean(std::span<const double> params) const = 0;
  virtual double Variance(std::span<const double> params) const = 0;
  virtual double Draw(std::span<const double> params, Random& random) const = 0;
  // Of any x, observed or not.
  virtual Cumulatives CumulativesOf(std::span<const double> params, double x) const = 0;
};

// Log density up to a constant (shape - 1) log x - rate x: as a prior of a rate it counts as shape
// - 1 events in a time of `rate`. The default is flat, no prior.
struct GammaPrior {
  double shape = 1;  // finite, >= 1, so that the density is bounded
  double rate = 0;   // finite, >= 0, in the inverse unit of x

  // InvalidArgument "<path>.shape: got ..., must be ..."; a shape above 1 needs a positive rate.
  absl::Status Check(const std::string& path) const;
  double LogDensity(double x) const;
};

// FailedPrecondition "columns[<name>]: got ..., must ..." for a column without observed cells or
// whose extremes lie outside the support.
absl::Status CheckColumns(const Summary& summary, const std::vector<std::string>& names,
                          const Support& support);

// FailedPrecondition for a column that does not vary by more than rounding of its values, of which
// a positive distribution would collapse to a point.
absl::Status CheckVaries(const Summary& summary, const std::vector<std::string>& names);

// x log y, 0 where x = 0 whatever y >= 0.
inline double TimesLog(double x, double y) { return x == 0 ? 0 : x * std::log(y); }

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_UNIVARIATE_H_
