#include "core/emission/log_normal.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/columns.h"
#include "core/distribution/components.h"
#include "core/em/model.h"
#include "core/numerics/cumulative.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

constexpr Support kSupport = {[](double x) { return Contains(Domain::kPositive, x); },
                              "positive and finite"};
const double kHalfLog2Pi = 0.5 * std::log(2 * std::numbers::pi);

class LogNormal final : public Univariate {
 public:
  LogNormal(const LogNormalOptions& options, const Summary& summary) : prior_(options.prior) {
    for (size_t d = 0; d < summary.mean.size(); ++d) {
      const double variation = std::sqrt(summary.variance[d]) / summary.mean[d];
      log_variance_.push_back(std::log1p(variation * variation));
      log_mean_.push_back(std::log(summary.mean[d]) - 0.5 * log_variance_[d]);
      floor_.push_back(options.ridge * log_variance_[d]);
    }
  }

  const std::vector<UnivariateParameter>& parameters() const override { return parameters_; }
  const std::vector<std::string>& statistics() const override { return statistics_; }
  int num_constants() const override { return kNumConstants; }
  int num_features() const override { return 1; }
  const Support& support() const override { return kSupport; }
  double neutral() const override { return 1; }

  Range Limits(int p, int column) const override {
    Range range;
    if (p == kVariance) range.low = floor_[column];
    return range;
  }
  // By the moments of the cells themselves.
  void Reference(int column, std::span<double> params) const override {
    params[kMean] = log_mean_[column];
    params[kVariance] = log_variance_[column];
  }

  void Prepare(int, std::span<const double> params, double* constants) const override {
    constants[kLogMean] = params[kMean];
    constants[kInverseSd] = 1 / std::sqrt(params[kVariance]);
    constants[kLogNorm] = -kHalfLog2Pi - 0.5 * std::log(params[kVariance]);
  }
  void Features(const Run& run, double* features) const override {
    for (int i = 0; i < run.stride; ++i) features[i] = run.x[i] > 0 ? std::log(run.x[i]) : 0;
  }
  void AddBase(const Run& run, double* log_density) const override {
    for (int i = 0; i < run.stride; ++i) log_density[i] -= run.features[i];
  }
  void AddLogDensity(const Run& run, const double* constants, double* log_density) const override {
    const double mean = constants[kLogMean];
    const double inverse_sd = constants[kInverseSd];
    const double log_norm = constants[kLogNorm];
    for (int i = 0; i < run.stride; ++i) {
      const double z = (run.features[i] - mean) * inverse_sd;
      log_density[i] += log_norm - 0.5 * z * z;
    }
  }
  void AddStatistics(const Run& run, const double* constants, const double* resp,
                     std::span<double> sums) const override {
    AddDiagonalMoments(run.features, run.stride, 1, &constants[kLogMean], resp, &sums[0], &sums[1]);
  }

  double Expected(const CellStatistics& cell, std::span<const double> params) const override {
    if (!(cell.sums[0] > 0)) return 0;
    return -0.5 * (cell.sums[0] * std::log(params[kVariance]) +
                   Scatter(cell, params[kMean]) / params[kVariance]);
  }

  // With m0 the mean that the sums are centred on, the mean is m0 + first / n, between the virtual
  // observations' and that; the variance is the scatter about it with the prior's.
  void MaximizeOne(const CellStatistics& cell, int p, std::span<double> params) const override {
    const double n = cell.sums[0];
    const double old_mean = cell.old[kMean];
    const double c = cell.num_cells;
    if (p == kMean) {
      const double virtual_n = prior_ ? c * prior_->observations : 0;
      const double virtual_first = prior_ ? virtual_n * (prior_->mean - old_mean) : 0;
      params[kMean] = old_mean + (cell.sums[1] + virtual_first) / (n + virtual_n);
      return;
    }
    double scatter = Scatter(cell, params[kMean]);
    double weight = n;
    if (prior_) {
      const double away = params[kMean] - prior_->mean;
      scatter += c * (2 * prior_->scale + prior_->observations * away * away);
      weight += c * (2 * prior_->shape + 3);
    }
    params[kVariance] = std::max(scatter / weight, cell.ranges[kVariance].low);
  }

  void Recenter(std::span<const double> old, std::span<const double> centre,
                std::span<double> sums) const override {
    const double shift = centre[kMean] - old[kMean];
    sums[2] += shift * (sums[0] * shift - 2 * sums[1]);
    sums[1] -= sums[0] * shift;
  }
  void ExpectedSums(std::span<const double> params, std::span<double> sums) const override {
    sums[1] = 0;
    sums[2] = sums[0] * params[kVariance];
  }

  double LogPrior(std::span<const double> params) const override {
    if (!prior_) return 0;
    const double away = params[kMean] - prior_->mean;
    return -(prior_->shape + 1.5) * std::log(params[kVariance]) -
           (prior_->scale + 0.5 * prior_->observations * away * away) / params[kVariance];
  }
  double Mean(std::span<const double> params) const override {
    return std::exp(params[kMean] + 0.5 * params[kVariance]);
  }
  double Variance(std::span<const double> params) const override {
    return std::expm1(params[kVariance]) * std::exp(2 * params[kMean] + params[kVariance]);
  }
  double Draw(std::span<const double> params, Random& random) const override {
    return std::clamp(std::exp(params[kMean] + std::sqrt(params[kVariance]) * random.Normal()),
                      std::numeric_limits<double>::min(), std::numeric_limits<double>::max());
  }
  Cumulatives CumulativesOf(std::span<const double> params, double x) const override {
    if (!(x > 0)) return {.below = 0, .at = 0, .above = 1};
    return NormalCumulatives((std::log(x) - params[kMean]) / std::sqrt(params[kVariance]));
  }

 private:
  enum Parameter { kMean, kVariance };
  enum Constant { kLogMean, kInverseSd, kLogNorm, kNumConstants };

  // sum_i r_i (log x_i - mean)^2.
  static double Scatter(const CellStatistics& cell, double mean) {
    const double shift = mean - cell.old[kMean];
    return cell.sums[2] + shift * (cell.sums[0] * shift - 2 * cell.sums[1]);
  }

  const std::optional<LogNormalOptions::Prior> prior_;
  std::vector<double> log_mean_, log_variance_;  // of the columns
  std::vector<double> floor_;
  const std::vector<UnivariateParameter> parameters_ = {
      {.name = "log_means", .domain = Domain::kReal, .limit_reason = ""},
      {.name = "log_variances", .domain = Domain::kPositive, .limit_reason = kVarianceFloored}};
  const std::vector<std::string> statistics_ = {"first", "second"};
};

absl::Status CheckPrior(const LogNormalOptions::Prior& prior) {
  if (!std::isfinite(prior.mean)) {
    return absl::InvalidArgumentError(
        absl::StrCat("prior.mean: got ", prior.mean, ", must be finite"));
  }
  for (const auto& [name, value] : {std::pair("observations", prior.observations),
                                    {"shape", prior.shape},
                                    {"scale", prior.scale}}) {
    if (Contains(Domain::kPositive, value)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("prior.", name, ": got ", value, ", must be positive and finite"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeLogNormal(const LogNormalOptions& options,
                                                        int num_components, const Summary& summary,
                                                        const std::vector<std::string>& names) {
  if (absl::Status status = CheckRidge(options.ridge); !status.ok()) return status;
  if (options.prior) {
    if (absl::Status status = CheckPrior(*options.prior); !status.ok()) return status;
  }
  if (absl::Status status = CheckColumns(summary, names, kSupport); !status.ok()) return status;
  if (absl::Status status = CheckVaries(summary, names); !status.ok()) return status;
  return MakeColumns(std::make_unique<LogNormal>(options, summary), num_components, summary, names);
}

}  // namespace emserve
