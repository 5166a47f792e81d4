#include "core/emission/poisson.h"

#include <cmath>
#include <numbers>
#include <utility>

#include "core/distribution/columns.h"
#include "core/numerics/cumulative.h"
#include "core/numerics/kernels.h"
#include "core/numerics/special.h"
#include "core/runtime/draws.h"

namespace emserve {
namespace {

constexpr Support kSupport = {
    [](double x) { return x >= 0 && x == std::floor(x) && std::isfinite(x); },
    "a count: 0, 1, 2, ..."};

// In x log rate - rate - log x! the terms grow like x log x and cancel. Up to this count that costs
// no more than 1e-8 nats.
constexpr double kLargeCount = 1e6;

class Poisson final : public Univariate {
 public:
  Poisson(const PoissonOptions& options, const Summary& summary)
      : prior_(options.prior), mean_(summary.mean), maximum_(summary.maximum) {}

  const std::vector<UnivariateParameter>& parameters() const override { return parameters_; }
  const std::vector<std::string>& statistics() const override { return statistics_; }
  int num_constants() const override { return 2; }
  const Support& support() const override { return kSupport; }
  bool starts_hard() const override { return false; }

  void Reference(int column, std::span<double> params) const override { params[0] = mean_[column]; }

  void Prepare(int, std::span<const double> params, double* constants) const override {
    constants[0] = params[0];
    constants[1] = std::log(params[0]);
  }

  // log p = [-log x!] + [x log rate - rate], or for large counts the density at a rate of x and
  // half the deviance: Loader (2000).
  void AddBase(const Run& run, double* log_density) const override {
    if (!IsLarge(run.column)) {
      for (int i = 0; i < run.stride; ++i) log_density[i] -= LogFactorial(run.x[i]);
      return;
    }
    for (int i = 0; i < run.stride; ++i) {
      const double x = run.x[i];
      if (x > 0) log_density[i] -= StirlingError(x) + 0.5 * std::log(2 * std::numbers::pi * x);
    }
  }
  void AddLogDensity(const Run& run, const double* constants, double* log_density) const override {
    const double rate = constants[0];
    const double log_rate = constants[1];
    if (!(rate > 0)) {
      for (int i = 0; i < run.stride; ++i) log_density[i] += run.x[i] == 0 ? 0 : log_rate;
    } else if (IsLarge(run.column)) {
      for (int i = 0; i < run.stride; ++i) {
        const double x = run.x[i] > 0 ? run.x[i] : 0;
        log_density[i] -= rate * HalfDeviance((x - rate) / rate);
      }
    } else {
      for (int i = 0; i < run.stride; ++i) log_density[i] += run.x[i] * log_rate - rate;
    }
  }

  void AddStatistics(const Run& run, const double*, const double* resp,
                     std::span<double> sums) const override {
    sums[0] += WeightedSum(run.x, resp, run.stride);
  }

  double Expected(const CellStatistics& cell, std::span<const double> params) const override {
    return TimesLog(cell.sums[1], params[0]) - cell.sums[0] * params[0];
  }

  void MaximizeOne(const CellStatistics& cell, int, std::span<double> params) const override {
    params[0] = (cell.sums[1] + cell.num_cells * (prior_.shape - 1)) /
                (cell.sums[0] + cell.num_cells * prior_.rate);
  }

  void ExpectedSums(std::span<const double> params, std::span<double> sums) const override {
    sums[1] = sums[0] * params[0];
  }

  double LogPrior(std::span<const double> params) const override {
    return prior_.LogDensity(params[0]);
  }
  double Mean(std::span<const double> params) const override { return params[0]; }
  double Variance(std::span<const double> params) const override { return params[0]; }
  double Draw(std::span<const double> params, Random& random) const override {
    return DrawPoisson(params[0], random);
  }
  Cumulatives CumulativesOf(std::span<const double> params, double x) const override {
    return PoissonCumulatives(params[0], x);
  }

 private:
  bool IsLarge(int column) const { return maximum_[column] > kLargeCount; }

  const GammaPrior prior_;
  const std::vector<double> mean_;
  const std::vector<double> maximum_;
  const std::vector<UnivariateParameter> parameters_ = {
      {.name = "rates", .domain = Domain::kNonNegative, .limit_reason = ""}};
  const std::vector<std::string> statistics_ = {"sums"};
};

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakePoisson(const PoissonOptions& options,
                                                      int num_components, const Summary& summary,
                                                      const std::vector<std::string>& names) {
  if (absl::Status status = options.prior.Check("prior"); !status.ok()) return status;
  return MakeColumns(std::make_unique<Poisson>(options, summary), num_components, summary, names);
}

}  // namespace emserve
