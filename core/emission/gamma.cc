#include "core/emission/gamma.h"

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
#include "core/numerics/special.h"
#include "core/numerics/sums.h"
#include "core/runtime/draws.h"

namespace emserve {
namespace {

constexpr Support kSupport = {[](double x) { return Contains(Domain::kPositive, x); },
                              "positive and finite"};

// Up to this shape the two terms of the excess cancel by so little that it costs no more than 1e-12
// nats a cell.
constexpr double kConcentrated = 1e4;

// With m = shape / rate,
//   log p(x) = Normalizer(shape) - shape (x / m - 1 - log(x / m)) - log x.
// The large terms of shape log rate - log Gamma(shape) have cancelled by algebra.
double Normalizer(double shape) {
  return 0.5 * std::log(shape / (2 * std::numbers::pi)) - StirlingError(shape);
}

class Gamma final : public Univariate {
 public:
  Gamma(const GammaOptions& options, const Summary& summary)
      : prior_(options.prior), mean_(summary.mean) {
    for (size_t d = 0; d < mean_.size(); ++d) {
      const double variation = std::sqrt(summary.variance[d]) / mean_[d];
      squared_variation_.push_back(variation * variation);
      floor_.push_back(options.ridge * std::log1p(squared_variation_[d]));
    }
  }

  const std::vector<UnivariateParameter>& parameters() const override { return parameters_; }
  const std::vector<std::string>& statistics() const override { return statistics_; }
  int num_constants() const override { return kNumConstants; }
  int num_features() const override { return 1; }
  const Support& support() const override { return kSupport; }
  double neutral() const override { return 1; }

  Range Limits(int p, int column) const override {
    return p == kShape ? Range{.low = 0, .high = 1 / floor_[column]} : Range{};
  }
  // By the moments.
  void Reference(int column, std::span<double> params) const override {
    params[kShape] = std::min(1 / squared_variation_[column], 1 / floor_[column]);
    params[kRate] = params[kShape] / mean_[column];
  }

  void Prepare(int column, std::span<const double> params, double* constants) const override {
    const double shape = params[kShape];
    const double mean = shape / params[kRate];
    constants[kNormalizer] = Normalizer(shape);
    constants[kShapeOf] = shape;
    constants[kMean] = mean;
    constants[kInverseMean] = 1 / mean;
    constants[kLogMean] = std::log(mean / mean_[column]);
  }

  // log(x / c).
  void Features(const Run& run, double* features) const override {
    const double inverse = 1 / mean_[run.column];
    for (int i = 0; i < run.stride; ++i) {
      features[i] = run.x[i] > 0 ? std::log(run.x[i] * inverse) : 0;
    }
  }
  void AddBase(const Run& run, double* log_density) const override {
    const double log_scale = std::log(mean_[run.column]);
    for (int i = 0; i < run.stride; ++i) log_density[i] -= run.features[i] + log_scale;
  }
  void AddLogDensity(const Run& run, const double* constants, double* log_density) const override {
    const Deviation deviation(run, constants);
    const double normalizer = constants[kNormalizer];
    const double shape = constants[kShapeOf];
    if (shape < kConcentrated) {
      for (int i = 0; i < run.stride; ++i) {
        log_density[i] += normalizer - shape * deviation.WideExcess(i);
      }
    } else {
      for (int i = 0; i < run.stride; ++i) {
        log_density[i] += normalizer - shape * deviation.Excess(i);
      }
    }
  }
  void AddStatistics(const Run& run, const double* constants, const double* resp,
                     std::span<double> sums) const override {
    const Deviation deviation(run, constants);
    sums[0] += SumOverRows(run.stride, [=](int i) { return resp[i] * deviation.First(i); });
    if (constants[kShapeOf] < kConcentrated) {
      sums[1] += SumOverRows(run.stride, [=](int i) { return resp[i] * deviation.WideExcess(i); });
    } else {
      sums[1] += SumOverRows(run.stride, [=](int i) { return resp[i] * deviation.Excess(i); });
    }
  }

  // With q = m0 / m, m0 the mean that the sums are centred on: the excess about m is what Recenter
  // makes of it.
  double Expected(const CellStatistics& cell, std::span<const double> params) const override {
    if (!(cell.sums[0] > 0)) return 0;
    double sums[] = {cell.sums[0], cell.sums[1], cell.sums[2]};
    Recenter(cell.old, params, sums);
    return sums[0] * Normalizer(params[kShape]) - params[kShape] * sums[kExcessSum];
  }

  void MaximizeOne(const CellStatistics& cell, int p, std::span<double> params) const override {
    const Moments moments(cell, prior_);
    if (p == kRate) {
      params[kRate] = params[kShape] / moments.mean;
    } else {
      // psi(shape) = log rate + mean(log x).
      const double log_x = moments.log_mean_ratio + std::log(params[kRate] * moments.centre);
      params[kShape] =
          std::clamp(InverseDigamma(log_x), cell.ranges[kShape].low, cell.ranges[kShape].high);
    }
  }
  // Thom (1958): log shape - psi(shape) = log mean(x) - mean(log x), and rate = shape / mean(x).
  void Maximize(const CellStatistics& cell, std::span<double> params) const override {
    const Moments moments(cell, prior_);
    const double spread = moments.spread;
    const double shape =
        spread > 0 ? InverseLogMinusDigamma(spread) : std::numeric_limits<double>::infinity();
    params[kShape] = std::min(shape, cell.ranges[kShape].high);
    params[kRate] = params[kShape] / moments.mean;
  }

  void Recenter(std::span<const double> old, std::span<const double> centre,
                std::span<double> sums) const override {
    const double q = old[kShape] / old[kRate] / (centre[kShape] / centre[kRate]);
    const double n = sums[0];
    const double first = sums[kFirstSum];
    sums[kExcessSum] += n * LogDeficit(q - 1) + first * (q - 1);
    sums[kFirstSum] = n * (q - 1) + first * q;
  }
  void ExpectedSums(std::span<const double> params, std::span<double> sums) const override {
    sums[kFirstSum] = 0;
    sums[kExcessSum] = sums[0] * LogMinusDigamma(params[kShape]);
  }

  // The expected log density of the virtual observations.
  double LogPrior(std::span<const double> params) const override {
    if (!(prior_.observations > 0)) return 0;
    const double q = prior_.mean / (params[kShape] / params[kRate]);
    return prior_.observations *
           (Normalizer(params[kShape]) -
            params[kShape] * (LogDeficit(q - 1) + LogMinusDigamma(prior_.shape)));
  }
  double Mean(std::span<const double> params) const override {
    return params[kShape] / params[kRate];
  }
  double Variance(std::span<const double> params) const override {
    return params[kShape] / params[kRate] / params[kRate];
  }
  double Draw(std::span<const double> params, Random& random) const override {
    // Tiny shapes draw numbers that round to 0, which is no longer in the support.
    return std::max(DrawGamma(params[kShape], random) / params[kRate],
                    std::numeric_limits<double>::min());
  }
  Cumulatives CumulativesOf(std::span<const double> params, double x) const override {
    return GammaCumulatives(params[kShape], params[kRate] * x);
  }

 private:
  enum Parameter { kShape, kRate };
  enum Constant { kNormalizer, kShapeOf, kMean, kInverseMean, kLogMean, kNumConstants };
  enum Statistic { kWeightSum, kFirstSum, kExcessSum };

  // x / m - 1 and x / m - 1 - log(x / m) of the cells of a run.
  class Deviation {
   public:
    Deviation(const Run& run, const double* constants)
        : x_(run.x),
          log_(run.features),
          mean_(constants[kMean]),
          inverse_mean_(constants[kInverseMean]),
          log_mean_(constants[kLogMean]) {}
    double First(int i) const { return (x_[i] - mean_) * inverse_mean_; }
    double WideExcess(int i) const { return First(i) - (log_[i] - log_mean_); }
    // The same, where most cells are close to m and the terms cancel.
    double Excess(int i) const { return LogDeficit(First(i), log_[i] - log_mean_); }

   private:
    const double* const x_;
    const double* const log_;
    const double mean_, inverse_mean_, log_mean_;
  };

  // Means over real and virtual observations.
  struct Moments {
    Moments(const CellStatistics& cell, const GammaOptions::Prior& prior)
        : centre(cell.old[kShape] / cell.old[kRate]) {
      const double q = prior.mean / centre;
      const double virtual_weight = cell.num_cells * prior.observations;
      double n = cell.sums[kWeightSum];
      double first = cell.sums[kFirstSum];
      double excess = cell.sums[kExcessSum];
      if (virtual_weight > 0) {
        n += virtual_weight;
        first += virtual_weight * (q - 1);
        excess += virtual_weight * (LogDeficit(q - 1) + LogMinusDigamma(prior.shape));
      }
      mean = centre * (1 + first / n);
      spread = excess / n - LogDeficit(first / n);
      log_mean_ratio = (first - excess) / n;
    }

    double centre;          // m0
    double mean;            // of x
    double spread;          // log mean(x) - mean(log x)
    double log_mean_ratio;  // mean(log(x / m0))
  };

  const GammaOptions::Prior prior_;
  const std::vector<double> mean_;         // of the columns, and their scale c
  std::vector<double> squared_variation_;  // variance / mean^2
  std::vector<double> floor_;              // of 1 / shape
  const std::vector<UnivariateParameter> parameters_ = {
      {.name = "shapes", .domain = Domain::kPositive, .limit_reason = kVarianceFloored},
      {.name = "rates", .domain = Domain::kPositive, .limit_reason = ""}};
  const std::vector<std::string> statistics_ = {"first", "excess"};
};

absl::Status CheckPrior(const GammaOptions::Prior& prior) {
  if (!(prior.observations >= 0 && std::isfinite(prior.observations))) {
    return absl::InvalidArgumentError(absl::StrCat("prior.observations: got ", prior.observations,
                                                   ", must be finite and 0 or more"));
  }
  for (const auto& [name, value] : {std::pair("mean", prior.mean), {"shape", prior.shape}}) {
    if (Contains(Domain::kPositive, value)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("prior.", name, ": got ", value, ", must be positive and finite"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeGamma(const GammaOptions& options, int num_components,
                                                    const Summary& summary,
                                                    const std::vector<std::string>& names) {
  if (absl::Status status = CheckRidge(options.ridge); !status.ok()) return status;
  if (absl::Status status = CheckPrior(options.prior); !status.ok()) return status;
  if (absl::Status status = CheckColumns(summary, names, kSupport); !status.ok()) return status;
  if (absl::Status status = CheckVaries(summary, names); !status.ok()) return status;
  return MakeColumns(std::make_unique<Gamma>(options, summary), num_components, summary, names);
}

}  // namespace emserve
