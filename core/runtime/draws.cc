#include "core/runtime/draws.h"

#include <cmath>
#include <numbers>

#include "core/numerics/special.h"

namespace emserve {
namespace {

constexpr double kSmallMean = 10;  // from which PTRS holds

// log of the Poisson probability of x >= 0; without the cancellation of x log mean - mean - log x!.
double LogPoisson(double x, double mean) {
  if (x == 0) return -mean;
  return -mean * HalfDeviance((x - mean) / mean) - StirlingError(x) -
         0.5 * std::log(2 * std::numbers::pi * x);
}

}  // namespace

double DrawExponential(Random& random) {
  return -std::log1p(-random.Uniform());  // 1 - u is in (0, 1]
}

double DrawGamma(double shape, Random& random) {
  if (shape < 1) {
    const double larger = DrawGamma(shape + 1, random);
    return larger * std::pow(1 - random.Uniform(), 1 / shape);
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double normal = random.Normal();
    const double root = 1 + c * normal;
    if (!(root > 0)) continue;
    const double v = root * root * root;
    if (std::log(1 - random.Uniform()) < 0.5 * normal * normal + d * (1 - v + std::log(v))) {
      return d * v;
    }
  }
}

double DrawPoisson(double mean, Random& random) {
  if (!(mean > 0)) return 0;
  if (mean < kSmallMean) {
    // Arrivals in one unit of time.
    const double none = std::exp(-mean);
    double product = 1 - random.Uniform();
    double count = 0;
    while (product > none) {
      product *= 1 - random.Uniform();
      ++count;
    }
    return count;
  }
  // Names and constants as in the paper.
  const double b = 0.931 + 2.53 * std::sqrt(mean);
  const double a = -0.059 + 0.02483 * b;
  const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
  const double v_r = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    const double u = random.Uniform() - 0.5;
    const double v = random.Uniform();
    const double us = 0.5 - std::abs(u);
    if (!(us > 0)) continue;
    const double k = std::floor((2 * a / us + b) * u + mean + 0.43);
    if (us >= 0.07 && v <= v_r) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v * inverse_alpha / (a / (us * us) + b)) <= LogPoisson(k, mean)) return k;
  }
}

double DrawNegativeBinomial(double mean, double dispersion, Random& random) {
  return DrawPoisson(DrawGamma(dispersion, random) * (mean / dispersion), random);
}

}  // namespace emserve
