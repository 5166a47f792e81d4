#include "core/emission/concentration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/numerics/bessel.h"
#include "core/numerics/special.h"

namespace emserve {
namespace {

double Order(int num_columns) { return 0.5 * num_columns - 1; }

// Newton's method stops at steps of this size in log kappa, or after so many.
constexpr double kStep = 1e-14;
constexpr int kMaxSteps = 100;

// kappa with A(kappa) = mean, 1 - A(kappa) = deficit; it lies in (0, ceiling).
double Solve(int num_columns, double mean, double deficit, double ceiling) {
  const double dims = num_columns;
  double low = 0;
  double high = ceiling;
  // Banerjee et al. (2005), equation 4.4.
  double kappa = mean * (dims - mean * mean) / (deficit * (1 + mean));
  for (int step = 0; step < kMaxSteps; ++step) {
    if (!(kappa > low && kappa < high))
      kappa = low > 0 ? std::sqrt(low) * std::sqrt(high) : high / 2;
    const BesselRatio ratio = BesselIRatio(Order(num_columns), kappa);
    const double slope = ratio.complement * (1 + ratio.value) - (dims - 1) / kappa * ratio.value;
    // Both sides as logarithms of what is small, which are all but linear in log kappa.
    const double of = mean < 0.5 ? ratio.value : ratio.complement;
    const double error =
        mean < 0.5 ? std::log(ratio.value / mean) : std::log(deficit / ratio.complement);
    (error < 0 ? low : high) = kappa;
    const double move = -error * of / (kappa * slope);
    kappa *= std::exp(move);
    if (std::abs(move) <= kStep) break;
  }
  return std::clamp(kappa, 0.0, ceiling);
}

}  // namespace

double LogDirectionalPeak(int num_columns, double concentration) {
  // 1 / C(0) is the surface of the sphere, 2 pi^(D/2) / Gamma(D/2).
  const double half = 0.5 * num_columns;
  return LogGamma(half) - std::numbers::ln2 - half * std::log(std::numbers::pi) -
         LogReducedBesselI(Order(num_columns), concentration);
}

double MeanCosineDeficit(int num_columns, double concentration) {
  return BesselIRatio(Order(num_columns), concentration).complement;
}

double MaximizeConcentration(int num_columns, const Resultant& resultant, double ceiling,
                             int component, std::vector<Repair>& repairs) {
  const double mean = resultant.cosines / resultant.weight;
  const double deficit = std::max(resultant.deficit / resultant.weight, 0.0);
  if (!(mean > 0)) return 0;
  if (deficit > MeanCosineDeficit(num_columns, ceiling)) {
    return Solve(num_columns, mean, deficit, ceiling);
  }
  // About the mean the distribution is normal with variance 1 / kappa in D - 1 dimensions, which
  // the deficit estimates. Rounding of cells moves a distance by epsilon, the objective by kappa
  // times as much as the deficit.
  constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
  repairs.push_back(
      {.reason = kVarianceFloored,
       .component = component,
       .amount = 1 / ceiling - 2 * deficit / (num_columns - 1),
       .rounding = resultant.weight * ceiling * kEpsilon * (std::sqrt(2 * deficit) + kEpsilon)});
  return ceiling;
}

void SampleDirection(std::span<const double> direction, double concentration, Random& random,
                     std::span<double> x) {
  const auto num_columns = static_cast<int>(direction.size());
  const double less_one = num_columns - 1;
  // Wood's (1994) algorithm VM*, in terms of t = 1 - w, w the cosine, so that digits survive large
  // concentrations.
  const double b = less_one / (2 * concentration + std::hypot(2 * concentration, less_one));
  const double t0 = 2 * b / (1 + b);  // 1 - x_0
  double t = 0;
  for (bool accepted = false; !accepted;) {
    // Beta((D - 1) / 2, (D - 1) / 2), a ratio of sums of squares.
    double ours = 0;
    double others = 0;
    for (int d = 1; d < num_columns; ++d) {
      const double a = random.Normal();
      const double c = random.Normal();
      ours += a * a;
      others += c * c;
    }
    const double z = ours / (ours + others);
    t = 2 * b * z / (1 - (1 - b) * z);
    const double log_ratio = concentration * (t0 - t) +
                             less_one * (std::log(t0 + (1 - t0) * t) - std::log(t0 * (2 - t0)));
    accepted = log_ratio >= std::log(1 - random.Uniform());
  }
  // A uniform direction at right angles to the mean.
  double along = 0;
  for (int d = 0; d < num_columns; ++d) {
    x[d] = random.Normal();
    along += x[d] * direction[d];
  }
  double squares = 0;
  for (int d = 0; d < num_columns; ++d) {
    x[d] -= along * direction[d];
    squares += x[d] * x[d];
  }
  const double across = std::sqrt(t * (2 - t) / squares);
  double length = 0;
  for (int d = 0; d < num_columns; ++d) {
    x[d] = (1 - t) * direction[d] + across * x[d];
    length += x[d] * x[d];
  }
  for (double& value : x) value /= std::sqrt(length);
}

}  // namespace emserve
