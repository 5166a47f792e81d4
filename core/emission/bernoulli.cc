#include "core/emission/bernoulli.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/columns.h"
#include "core/numerics/cumulative.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

constexpr Support kSupport = {[](double x) { return x == 0 || x == 1; }, "0 or 1"};

class Bernoulli final : public Univariate {
 public:
  Bernoulli(const BernoulliOptions& options, const Summary& summary)
      : options_(options), mean_(summary.mean) {}

  const std::vector<UnivariateParameter>& parameters() const override { return parameters_; }
  const std::vector<std::string>& statistics() const override { return statistics_; }
  int num_constants() const override { return 2; }
  const Support& support() const override { return kSupport; }
  bool starts_hard() const override { return false; }

  void Reference(int column, std::span<double> params) const override { params[0] = mean_[column]; }

  void Prepare(int, std::span<const double> params, double* constants) const override {
    constants[0] = std::log1p(-params[0]);
    constants[1] = std::log(params[0]);
  }

  // A choice and not a product, because either logarithm may be infinite.
  void AddLogDensity(const Run& run, const double* constants, double* log_density) const override {
    const double log_of_zero = constants[0];
    const double log_of_one = constants[1];
    for (int i = 0; i < run.stride; ++i) {
      log_density[i] += run.x[i] != 0 ? log_of_one : log_of_zero;
    }
  }

  void AddStatistics(const Run& run, const double*, const double* resp,
                     std::span<double> sums) const override {
    sums[0] += WeightedSum(run.x, resp, run.stride);
  }

  double Expected(const CellStatistics& cell, std::span<const double> params) const override {
    const double ones = cell.sums[1];
    const double zeros = std::max(cell.sums[0] - ones, 0.0);
    return TimesLog(ones, params[0]) + TimesLog(zeros, 1 - params[0]);
  }

  void MaximizeOne(const CellStatistics& cell, int, std::span<double> params) const override {
    const double ones = cell.sums[1] + cell.num_cells * (options_.alpha - 1);
    const double all = cell.sums[0] + cell.num_cells * (options_.alpha + options_.beta - 2);
    params[0] = std::clamp(ones / all, 0.0, 1.0);
  }

  void ExpectedSums(std::span<const double> params, std::span<double> sums) const override {
    sums[1] = sums[0] * params[0];
  }

  double LogPrior(std::span<const double> params) const override {
    return TimesLog(options_.alpha - 1, params[0]) + TimesLog(options_.beta - 1, 1 - params[0]);
  }
  double Mean(std::span<const double> params) const override { return params[0]; }
  double Variance(std::span<const double> params) const override {
    return params[0] * (1 - params[0]);
  }
  double Draw(std::span<const double> params, Random& random) const override {
    return random.Uniform() < params[0] ? 1 : 0;
  }
  Cumulatives CumulativesOf(std::span<const double> params, double x) const override {
    const double one = params[0];
    return x > 0 ? Cumulatives{.below = 1 - one, .at = one, .above = 0}
                 : Cumulatives{.below = 0, .at = 1 - one, .above = one};
  }

 private:
  const BernoulliOptions options_;
  const std::vector<double> mean_;
  const std::vector<UnivariateParameter> parameters_ = {
      {.name = "probabilities", .domain = Domain::kUnit, .limit_reason = ""}};
  const std::vector<std::string> statistics_ = {"sums"};
};

absl::Status CheckCount(const char* path, double value) {
  if (value >= 1 && std::isfinite(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": got ", value, ", must be finite and at least 1"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeBernoulli(const BernoulliOptions& options,
                                                        int num_components, const Summary& summary,
                                                        const std::vector<std::string>& names) {
  if (absl::Status status = CheckCount("alpha", options.alpha); !status.ok()) return status;
  if (absl::Status status = CheckCount("beta", options.beta); !status.ok()) return status;
  return MakeColumns(std::make_unique<Bernoulli>(options, summary), num_components, summary, names);
}

}  // namespace emserve
