#include "core/emission/negative_binomial.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "core/distribution/columns.h"
#include "core/numerics/cumulative.h"
#include "core/numerics/special.h"
#include "core/runtime/draws.h"

namespace emserve {
namespace {

constexpr Support kSupport = {
    [](double x) { return x >= 0 && x == std::floor(x) && std::isfinite(x); },
    "a count: 0, 1, 2, ..."};

constexpr double kLargestDispersion = 1e6;  // relative to the larger of 1 and the mean
constexpr double kSmallestDispersion = 1e-10;

// Densities and statistics of counts up to this, or the largest of the data, are looked up.
constexpr int kTabulated = 255;
// All tables together, in doubles.
constexpr double kTableSize = 1 << 24;

// Differences of psi between dispersions below and counts above this lose no digits.
constexpr double kCancels = 16;

// Of an expected log density, relative.
constexpr double kRounding = 1e-12;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// log p(x), without cancellation for counts and dispersions of any size: Loader (2000).
// `stirling_error` is that of the dispersion.
double LogDensityOf(double x, double mean, double dispersion, double stirling_error) {
  if (!(x >= 0 && x <= 1e300)) return -kInfinity;
  if (x == 0) return -dispersion * std::log1p(mean / dispersion);
  if (!(mean > 0)) return -kInfinity;
  const double total = dispersion + x;
  const double scale = total / (dispersion + mean);
  const double off = (mean - x) / total;
  return 0.5 * std::log(dispersion / (2 * std::numbers::pi * x * total)) + StirlingError(total) -
         stirling_error - StirlingError(x) - dispersion * scale * HalfDeviance(off) -
         mean * scale * HalfDeviance(-off * (dispersion / mean));
}

// What minorises f(r) = sum_j T_j log(r + j), T_j >= 0 the weight of counts above j, up to a
// constant: the same f' = rise and f'' = -fall at r0, and
//   for r >= r0  shape log(r + offset)   because 1 / f' is concave (a harmonic mean of r + j), so
//                                        f' >= g', the reciprocal of its tangent;
//   for r <= r0  shape log r + slope r   because r f' is concave (a sum of r / (r + j)), so f' <=
//                                        g', its tangent divided by r.
class Minorant {
 public:
  Minorant(double r0, double rise, double fall) : r0_(r0) {
    if (!(rise > 0 && fall > 0)) return;  // all counts are 0
    upper_shape_ = rise * rise / fall;
    offset_ = std::max(rise / fall - r0, 0.0);
    lower_shape_ = r0 * r0 * fall;
    slope_ = std::max(rise - r0 * fall, 0.0);
  }
  double Value(double r) const {  // less that at r0
    const double t = (r - r0_) / r0_;
    return r >= r0_ ? upper_shape_ * std::log1p((r - r0_) / (r0_ + offset_))
                    : lower_shape_ * std::log1p(t) + slope_ * (r - r0_);
  }
  double Rise(double r) const {
    return r >= r0_ ? upper_shape_ / (r + offset_) : lower_shape_ / r + slope_;
  }
  double Fall(double r) const { return r >= r0_ ? Rise(r) / (r + offset_) : lower_shape_ / r / r; }
  // Rise(r) - sum / (r + mean), whose terms cancel where r is large.
  double RiseLess(double r, double sum, double mean) const {
    if (r < r0_) return Rise(r) - sum / (r + mean);
    return ((upper_shape_ - sum) * r + upper_shape_ * mean - sum * offset_) /
           ((r + offset_) * (r + mean));
  }

 private:
  const double r0_;
  double upper_shape_ = 0, offset_ = 0, lower_shape_ = 0, slope_ = 0;
};

class NegativeBinomial final : public Univariate {
 public:
  NegativeBinomial(const NegativeBinomialOptions& options, int num_components,
                   const Summary& summary)
      : options_(options), mean_(summary.mean), variance_(summary.variance) {
    const double cells = static_cast<double>(num_components) * static_cast<double>(mean_.size());
    const double largest = *std::max_element(summary.maximum.begin(), summary.maximum.end());
    tabulated_ = static_cast<int>(
        std::min({static_cast<double>(kTabulated), largest, kTableSize / (3 * cells)}));
  }

  const std::vector<UnivariateParameter>& parameters() const override { return parameters_; }
  const std::vector<std::string>& statistics() const override { return statistics_; }
  int num_constants() const override { return kTables + 3 * (tabulated_ + 1); }
  const Support& support() const override { return kSupport; }
  bool starts_hard() const override { return false; }

  Range Limits(int p, int column) const override {
    if (p == kMean) return {};
    return {.low = 0, .high = kLargestDispersion * std::max(1.0, mean_[column])};
  }
  // By the moments, but not so far towards Poisson that a start would see nothing else.
  void Reference(int column, std::span<double> params) const override {
    const double mean = mean_[column];
    const double excess = variance_[column] - mean;
    const double largest = 10 * (1 + mean);
    params[kMean] = mean;
    params[kDispersion] =
        excess > 0 && mean > 0 ? std::clamp(mean * (mean / excess), 1e-3, largest) : largest;
  }

  // Tables by recurrence: p(x + 1) / p(x) = (r + x) / (x + 1) * mean / (r + mean).
  void Prepare(int, std::span<const double> params, double* constants) const override {
    const double mean = params[kMean];
    const double r = params[kDispersion];
    constants[kMean] = mean;
    constants[kDispersion] = r;
    constants[kStirlingError] = StirlingError(r);
    constants[kDigamma] = Digamma(r);
    constants[kTrigamma] = Trigamma(r);
    double* const density = Table(constants, 0);
    double* const rise = Table(constants, 1);
    double* const fall = Table(constants, 2);
    density[0] = LogDensityOf(0, mean, r, 0);
    rise[0] = fall[0] = 0;
    const double share = mean / (r + mean);
    for (int x = 0; x < tabulated_; ++x) {
      const double inverse = 1 / (r + x);
      density[x + 1] = density[x] + std::log((r + x) / (x + 1) * share);
      rise[x + 1] = rise[x] + inverse;
      fall[x + 1] = fall[x] + inverse * inverse;
    }
  }

  void AddLogDensity(const Run& run, const double* constants, double* log_density) const override {
    const double* const table = Table(constants, 0);
    for (int i = 0; i < run.stride; ++i) {
      const double x = run.x[i];
      log_density[i] += IsTabulated(x) ? table[static_cast<int>(x)]
                                       : LogDensityOf(x, constants[kMean], constants[kDispersion],
                                                      constants[kStirlingError]);
    }
  }
  void AddStatistics(const Run& run, const double* constants, const double* resp,
                     std::span<double> sums) const override {
    const double r = constants[kDispersion];
    const double* const rise = Table(constants, 1);
    const double* const fall = Table(constants, 2);
    double sum = 0, sum_of_rises = 0, sum_of_falls = 0;
    for (int i = 0; i < run.stride; ++i) {
      const double x = run.x[i];
      if (!(resp[i] > 0)) continue;
      sum += resp[i] * x;
      if (IsTabulated(x)) {
        sum_of_rises += resp[i] * rise[static_cast<int>(x)];
        sum_of_falls += resp[i] * fall[static_cast<int>(x)];
      } else if (r < kCancels && x > kCancels) {
        sum_of_rises += resp[i] * (Digamma(r + x) - constants[kDigamma]);
        sum_of_falls += resp[i] * (constants[kTrigamma] - Trigamma(r + x));
      } else {
        sum_of_rises += resp[i] * DigammaRise(r, x);
        sum_of_falls += resp[i] * TrigammaFall(r, x);
      }
    }
    sums[0] += sum;
    sums[1] += sum_of_rises;
    sums[2] += sum_of_falls;
  }

  double Expected(const CellStatistics& cell, std::span<const double> params) const override {
    if (!(cell.sums[0] > 0)) return 0;
    const double mean = params[kMean];
    const double r = params[kDispersion];
    const double of_sum = cell.sums[1] > 0 ? cell.sums[1] * std::log1p(r / mean) : 0;
    return MinorantOf(cell).Value(r) - cell.sums[0] * r * std::log1p(mean / r) - of_sum;
  }

  void MaximizeOne(const CellStatistics& cell, int p, std::span<double> params) const override {
    if (p == kMean) {
      params[kMean] = BestMean(cell, params[kDispersion]);
    } else {
      const double before = params[kDispersion];
      const double at_before = Penalised(cell, params);
      params[kDispersion] = BestDispersion(cell, params);
      // A slope that changes its sign twice between two looks would lead astray.
      if (!(Penalised(cell, params) >= at_before - kRounding * (1 + std::abs(at_before)))) {
        params[kDispersion] = std::min(before, cell.ranges[kDispersion].high);
      }
    }
  }

  void Recenter(std::span<const double> old, std::span<const double> centre,
                std::span<double> sums) const override {
    const Minorant minorant(old[kDispersion], sums[2], sums[3]);
    if (centre[kDispersion] == old[kDispersion]) return;
    sums[2] = minorant.Rise(centre[kDispersion]);
    sums[3] = minorant.Fall(centre[kDispersion]);
  }

  // E psi(x + r) - psi(r) = log(1 + mean / r). The falls, which decide only how fast the M-step
  // goes, are those of x = mean, within the bounds that any distribution keeps.
  void ExpectedSums(std::span<const double> params, std::span<double> sums) const override {
    const double mean = params[kMean];
    const double r = params[kDispersion];
    const double rise = std::log1p(mean / r);
    sums[1] = sums[0] * mean;
    sums[2] = sums[0] * rise;
    sums[3] = 0;
    if (mean > 0) {
      sums[3] = sums[0] * std::clamp(mean / (r * (r + mean)), rise * rise / mean, rise / r);
    }
  }

  double LogPrior(std::span<const double> params) const override {
    return options_.mean_prior.LogDensity(params[kMean]) +
           options_.dispersion_prior.LogDensity(params[kDispersion]);
  }
  double Mean(std::span<const double> params) const override { return params[kMean]; }
  double Variance(std::span<const double> params) const override {
    return params[kMean] * (1 + params[kMean] / params[kDispersion]);
  }
  double Draw(std::span<const double> params, Random& random) const override {
    return DrawNegativeBinomial(params[kMean], params[kDispersion], random);
  }
  Cumulatives CumulativesOf(std::span<const double> params, double x) const override {
    const double mean = params[kMean];
    const double r = params[kDispersion];
    return NegativeBinomialCumulatives(mean, r, x, LogDensityOf(x, mean, r, StirlingError(r)));
  }

 private:
  enum Parameter { kMean, kDispersion };
  // The parameters, functions of the dispersion, and the tables.
  enum Constant { kStirlingError = kDispersion + 1, kDigamma, kTrigamma, kTables };

  bool IsTabulated(double x) const { return x >= 0 && x <= tabulated_; }
  const double* Table(const double* constants, int table) const {
    return constants + kTables + table * (tabulated_ + 1);
  }
  double* Table(double* constants, int table) const {
    return constants + kTables + table * (tabulated_ + 1);
  }
  static Minorant MinorantOf(const CellStatistics& cell) {
    return Minorant(cell.old[kDispersion], cell.sums[2], cell.sums[3]);
  }

  double Penalised(const CellStatistics& cell, std::span<const double> params) const {
    return Expected(cell, params) + cell.num_cells * LogPrior(params);
  }

  // The mean of the counts, or with a prior the positive root of
  //   rate mean^2 + (n r + rate r - (shape - 1)) mean - (sum + shape - 1) r = 0.
  double BestMean(const CellStatistics& cell, double r) const {
    const double events = cell.num_cells * (options_.mean_prior.shape - 1);
    const double rate = cell.num_cells * options_.mean_prior.rate;
    const double n = cell.sums[0];
    if (rate == 0) return cell.sums[1] / n;
    const double b = (n + rate) * r - events;
    const double c = (cell.sums[1] + events) * r;
    const double root = std::sqrt(b * b + 4 * rate * c);
    return b > 0 ? 2 * c / (b + root) : (root - b) / (2 * rate);
  }

  // Uphill from the old dispersion to where the derivative of the minorant and the rest changes its
  // sign, by bisection of log r.
  double BestDispersion(const CellStatistics& cell, std::span<const double> params) const {
    const Minorant minorant = MinorantOf(cell);
    const double mean = params[kMean];
    const double events = cell.num_cells * (options_.dispersion_prior.shape - 1);
    const double rate = cell.num_cells * options_.dispersion_prior.rate;
    // -log(1 + z) + z / (1 + z) of z = mean / r, the derivative of -r log(1 + mean / r) less that
    // of log(r + mean), is -HalfDeviance(z) / (1 + z).
    const auto slope = [&](double r) {
      const double z = mean / r;
      return minorant.RiseLess(r, cell.sums[1], mean) - cell.sums[0] * HalfDeviance(z) / (1 + z) +
             events / r - rate;
    };
    const double highest = cell.ranges[kDispersion].high;
    const double start = std::clamp(params[kDispersion], kSmallestDispersion, highest);
    const double at_start = slope(start);
    if (!(at_start != 0)) return start;
    const double sign = at_start > 0 ? 1 : -1;
    const double end = sign > 0 ? highest : kSmallestDispersion;
    double near = start;
    double far = start;
    for (double factor = 1.1; far != end; factor *= factor) {
      far = sign > 0 ? std::min(near * factor, end) : std::max(near / factor, end);
      if (!(sign * slope(far) > 0)) break;
      near = far;
    }
    if (sign * slope(far) > 0) return far;
    for (int i = 0; i < 200 && std::abs(far - near) > 1e-15 * near; ++i) {
      const double middle = near * std::sqrt(far / near);
      if (middle == near || middle == far) break;
      (sign * slope(middle) > 0 ? near : far) = middle;
    }
    return near;
  }

  const NegativeBinomialOptions options_;
  const std::vector<double> mean_, variance_;  // of the columns
  int tabulated_;                              // largest count in the tables
  const std::vector<UnivariateParameter> parameters_ = {
      {.name = "means", .domain = Domain::kNonNegative, .limit_reason = ""},
      {.name = "dispersions", .domain = Domain::kPositive, .limit_reason = kPoissonLimit}};
  const std::vector<std::string> statistics_ = {"sums", "rises", "falls"};
};

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeNegativeBinomial(
    const NegativeBinomialOptions& options, int num_components, const Summary& summary,
    const std::vector<std::string>& names) {
  if (absl::Status status = options.mean_prior.Check("mean_prior"); !status.ok()) return status;
  if (absl::Status status = options.dispersion_prior.Check("dispersion_prior"); !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckColumns(summary, names, kSupport); !status.ok()) return status;
  return MakeColumns(std::make_unique<NegativeBinomial>(options, num_components, summary),
                     num_components, summary, names);
}

}  // namespace emserve
