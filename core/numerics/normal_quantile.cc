#include "core/numerics/normal_quantile.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace emserve {
namespace {

// Each cubes the error, from 4.5e-4.
constexpr int kSteps = 2;
// From here on P(Z <= z) - 1/2 has more digits than P(Z <= z).
constexpr double kCentral = 0.25;

// 0 < p < 1/2.
double OfLowerHalf(double p) {
  // Hastings' approximation: Abramowitz & Stegun (1964), 26.2.23.
  const double t = std::sqrt(-2 * std::log(p));
  double z = (2.515517 + t * (0.802853 + t * 0.010328)) /
                 (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) -
             t;
  // Halley's steps: the density's logarithmic derivative is -z.
  for (int step = 0; step < kSteps; ++step) {
    const double x = z / std::numbers::sqrt2;
    const double excess = p > kCentral ? std::erf(x) / 2 - (p - 0.5) : std::erfc(-x) / 2 - p;
    const double newton = excess * std::sqrt(2 * std::numbers::pi) / std::exp(-x * x);
    z -= newton / (1 + z * newton / 2);
  }
  return z;
}

}  // namespace

double NormalQuantile(double p) {
  if (!(p >= 0 && p <= 1)) return std::numeric_limits<double>::quiet_NaN();
  if (p == 0) return -std::numeric_limits<double>::infinity();
  if (p == 1) return std::numeric_limits<double>::infinity();
  if (p == 0.5) return 0;
  return p < 0.5 ? OfLowerHalf(p) : -OfLowerHalf(1 - p);
}

}  // namespace emserve
