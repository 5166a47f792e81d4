#include "core/emission/tails.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/distribution/components.h"
#include "core/numerics/special.h"

namespace emserve {
namespace {

constexpr char kName[] = "degrees_of_freedom";

// Relative accuracy of degrees of freedom: the next step of Newton's is below rounding.
constexpr double kAccuracy = 1e-9;
constexpr int kMaxSteps = 200;

// The nu in [low, high] where ExpectedTail is -value, or the nearer end. Newton's method on
// logarithms of both sides, between which the function has slopes of -1 to -2.
double SolveTail(double value, int num_cells, double low, double high) {
  if (!(value < -ExpectedTail(low, num_cells))) return low;
  if (!(value > -ExpectedTail(high, num_cells))) return high;
  double nu = std::sqrt(num_cells / value);  // where nu >> num_cells
  for (int step = 0; step < kMaxSteps; ++step) {
    if (!(nu > low && nu < high)) nu = std::sqrt(low) * std::sqrt(high);
    const double x = 0.5 * nu;
    const double a = 0.5 * (nu + num_cells);
    const double here = -ExpectedTail(nu, num_cells);
    (here > value ? low : high) = nu;
    const double slope = x * ((1 / x - Trigamma(x)) - (1 / a - Trigamma(a))) / here;
    const double next = nu * std::exp(std::log(value / here) / slope);
    const bool done = !(std::abs(next - nu) > kAccuracy * nu) || !(high - low > kAccuracy * nu);
    nu = next;
    if (done) break;
  }
  return nu;
}

}  // namespace

Tails::Tails(const TailOptions& options, int num_components, int num_columns)
    : options_(options),
      num_components_(num_components),
      num_columns_(num_columns),
      constraints_(size()) {
  if (options_.estimated) return;
  Layout own;
  AddParameters(own);
  constraints_ = *Constraints::Make(own, {.fixed = {{kName, {}, {options_.start}}}, .tied = {}});
}

int64_t Tails::num_free(const std::vector<bool>& active) const {
  return options_.shared ? constraints_.NumFree() : NumFree(constraints_, 1, active);
}

void Tails::AddParameters(Layout& parameters) const {
  parameters.Add(kName, {size()}, !options_.shared);
}

absl::Status Tails::Constrain(const Constraints& constraints) {
  if (constraints.empty()) return absl::OkStatus();
  if (!options_.estimated) {
    return absl::InvalidArgumentError(absl::StrCat(
        "constraints: got some on ", kName,
        ", must be none where they are not estimated; set estimate_degrees_of_freedom"));
  }
  for (int64_t j = 0; j < size(); ++j) {
    if (!constraints.IsFixed(j) || IsWithinBounds(constraints.value(j))) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("constraints: got ", kName, "[", j, "] fixed at ", constraints.value(j),
                     ", must be in [", options_.minimum, ", ", options_.maximum, "]"));
  }
  constraints_ = constraints;
  return absl::OkStatus();
}

absl::Status Tails::Validate(std::span<const double> params) const {
  for (int64_t j = 0; j < size(); ++j) {
    if (IsWithinBounds(params[j])) continue;
    return absl::InvalidArgumentError(absl::StrCat(kName, "[", j, "]: got ", params[j],
                                                   ", must be in [", options_.minimum, ", ",
                                                   options_.maximum, "]"));
  }
  return absl::OkStatus();
}

void Tails::Reference(std::span<double> params) const {
  std::fill(params.begin(), params.end(), options_.start);
  constraints_.Apply(params);
}

void Tails::ToUnconstrained(std::span<const double> params, std::span<double> coordinates) const {
  for (int64_t j = 0; j < size(); ++j) coordinates[j] = std::log(params[j]);
}

void Tails::FromUnconstrained(std::span<const double> coordinates, std::span<double> params) const {
  for (int64_t j = 0; j < size(); ++j) {
    params[j] = std::clamp(std::exp(coordinates[j]), options_.minimum, options_.maximum);
  }
  constraints_.Apply(params);
}

// The derivative by nu / 2 is tail - rows ExpectedTail(nu), which falls in nu: where it vanishes
// beyond a bound, the bound is the maximum.
void Tails::Maximize(std::span<const double> occupancy, std::span<const double> tail,
                     std::span<const double> params, std::span<double> next,
                     const MaximizeContext& context) const {
  std::vector<double> rows(size());
  std::vector<double> sum(size());
  for (int k = 0; k < num_components_; ++k) {
    if (!(occupancy[k] > 0)) continue;
    const int64_t leader = constraints_.Leader(Element(k));
    rows[leader] += occupancy[k];
    sum[leader] += tail[k];
  }
  for (int64_t j = 0; j < size(); ++j) {
    const int64_t leader = constraints_.Leader(j);
    if (constraints_.IsFixed(j)) {
      next[j] = constraints_.value(j);
    } else if (!(rows[leader] > 0)) {
      next[j] = params[j];
    } else {
      next[j] =
          SolveTail(-sum[leader] / rows[leader], num_columns_, options_.minimum, options_.maximum);
      if (next[j] > options_.minimum && next[j] < options_.maximum) continue;
      context.repairs.push_back({.reason = kDegreesOfFreedomBounded,
                                 .component = options_.shared ? -1 : static_cast<int>(j),
                                 .amount = next[j]});
    }
  }
}

// The integral of log x - psi(x) is log(x) / 2 - StirlingError(x) up to a constant.
double Tails::ExpectedLogDensity(std::span<const double> occupancy, std::span<const double> tail,
                                 std::span<const double> params) const {
  double sum = 0;
  for (int k = 0; k < num_components_; ++k) {
    if (!(occupancy[k] > 0)) continue;
    const double nu = of(params, k);
    const double of_row = StirlingError(0.5 * (nu + num_columns_)) - StirlingError(0.5 * nu) -
                          0.5 * std::log1p(num_columns_ / nu);
    sum += occupancy[k] * of_row + 0.5 * nu * tail[k];
  }
  return sum;
}

// By Stirling's formula at x = nu / 2 and x (1 + t).
double TailLogConstant(double nu, double num_cells) {
  const double x = 0.5 * nu;
  const double t = num_cells / nu;
  return x * HalfDeviance(t) - 0.5 * std::log1p(t) + StirlingError(0.5 * (nu + num_cells)) -
         StirlingError(x);
}

double ExpectedTail(double nu, int num_cells) {
  return LogMinusDigamma(0.5 * (nu + num_cells)) - LogMinusDigamma(0.5 * nu);
}

double MissingTail(double nu, int num_observed, int num_cells) {
  return ExpectedTail(nu + num_observed, num_cells - num_observed);
}

}  // namespace emserve
