#include "core/emission/exponential.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/columns.h"
#include "core/distribution/components.h"
#include "core/em/model.h"
#include "core/numerics/cumulative.h"
#include "core/numerics/kernels.h"
#include "core/runtime/draws.h"

namespace emserve {
namespace {

constexpr Support kSupport = {[](double x) { return x >= 0 && std::isfinite(x); },
                              "0 or more and finite"};

class Exponential final : public Univariate {
 public:
  Exponential(const ExponentialOptions& options, const Summary& summary)
      : ridge_(options.ridge), prior_(options.prior), mean_(summary.mean) {}

  const std::vector<UnivariateParameter>& parameters() const override { return parameters_; }
  const std::vector<std::string>& statistics() const override { return statistics_; }
  int num_constants() const override { return 2; }
  const Support& support() const override { return kSupport; }

  // The variance is 1 / rate^2.
  Range Limits(int, int column) const override {
    return {.low = 0, .high = 1 / (std::sqrt(ridge_) * mean_[column])};
  }
  void Reference(int column, std::span<double> params) const override {
    params[0] = 1 / mean_[column];
  }

  void Prepare(int, std::span<const double> params, double* constants) const override {
    constants[0] = std::log(params[0]);
    constants[1] = params[0];
  }
  void AddLogDensity(const Run& run, const double* constants, double* log_density) const override {
    const double log_rate = constants[0];
    const double rate = constants[1];
    for (int i = 0; i < run.stride; ++i) log_density[i] += log_rate - rate * run.x[i];
  }
  void AddStatistics(const Run& run, const double*, const double* resp,
                     std::span<double> sums) const override {
    sums[0] += WeightedSum(run.x, resp, run.stride);
  }

  double Expected(const CellStatistics& cell, std::span<const double> params) const override {
    return TimesLog(cell.sums[0], params[0]) - cell.sums[1] * params[0];
  }
  void MaximizeOne(const CellStatistics& cell, int, std::span<double> params) const override {
    const double events = cell.sums[0] + cell.num_cells * (prior_.shape - 1);
    const double time = cell.sums[1] + cell.num_cells * prior_.rate;
    params[0] = std::min(events / time, cell.ranges[0].high);
  }
  void ExpectedSums(std::span<const double> params, std::span<double> sums) const override {
    sums[1] = sums[0] / params[0];
  }

  double LogPrior(std::span<const double> params) const override {
    return prior_.LogDensity(params[0]);
  }
  double Mean(std::span<const double> params) const override { return 1 / params[0]; }
  double Variance(std::span<const double> params) const override {
    return 1 / (params[0] * params[0]);
  }
  double Draw(std::span<const double> params, Random& random) const override {
    return DrawExponential(random) / params[0];
  }
  Cumulatives CumulativesOf(std::span<const double> params, double x) const override {
    const double scaled = x > 0 ? params[0] * x : 0;
    return {.below = -std::expm1(-scaled), .at = 0, .above = std::exp(-scaled)};
  }

 private:
  const double ridge_;
  const GammaPrior prior_;
  const std::vector<double> mean_;
  const std::vector<UnivariateParameter> parameters_ = {
      {.name = "rates", .domain = Domain::kPositive, .limit_reason = kVarianceFloored}};
  const std::vector<std::string> statistics_ = {"sums"};
};

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeExponential(const ExponentialOptions& options,
                                                          int num_components,
                                                          const Summary& summary,
                                                          const std::vector<std::string>& names) {
  if (absl::Status status = CheckRidge(options.ridge); !status.ok()) return status;
  if (absl::Status status = options.prior.Check("prior"); !status.ok()) return status;
  if (absl::Status status = CheckColumns(summary, names, kSupport); !status.ok()) return status;
  for (size_t d = 0; d < names.size(); ++d) {
    if (Contains(Domain::kPositive, summary.mean[d])) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("columns[", names[d], "]: got a mean of ", summary.mean[d],
                     ", must be positive; leave the column out or rescale it"));
  }
  return MakeColumns(std::make_unique<Exponential>(options, summary), num_components, summary,
                     names);
}

}  // namespace emserve
