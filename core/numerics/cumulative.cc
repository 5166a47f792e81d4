#include "core/numerics/cumulative.h"

#include <algorithm>
#include <boost/math/policies/policy.hpp>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/numerics/special.h"

namespace emserve {
namespace {

namespace policies = boost::math::policies;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// No exception: what overflows or underflows ends there, and arguments are checked before.
using Quiet = policies::policy<policies::domain_error<policies::ignore_error>,
                               policies::pole_error<policies::ignore_error>,
                               policies::overflow_error<policies::ignore_error>,
                               policies::underflow_error<policies::ignore_error>,
                               policies::denorm_error<policies::ignore_error>,
                               policies::rounding_error<policies::ignore_error>,
                               policies::evaluation_error<policies::ignore_error>,
                               policies::indeterminate_result_error<policies::ignore_error>>;

// From this shape on tails of the gamma distribution are integrated; Boost's series need some
// sqrt(shape) terms.
constexpr double kLargeShape = 1e4;
// Nothing that a double could hold lies beyond this where shapes are not large.
constexpr double kFarthest = 1e6;
// Smaller shapes and degrees of freedom are taken for this: Boost multiplies and divides by them.
constexpr double kSmallestShape = 1e-290;

// Positive nodes and weights of Gauss and Legendre's rule with 32 points on [-1, 1].
constexpr int kHalfRule = 16;
constexpr double kRule[kHalfRule][2] = {
    {0.048307665687738316, 0.096540088514727801}, {0.14447196158279649, 0.095638720079274859},
    {0.23928736225213707, 0.093844399080804566},  {0.33186860228212765, 0.091173878695763885},
    {0.42135127613063535, 0.087652093004403811},  {0.50689990893222939, 0.083311924226946755},
    {0.58771575724076233, 0.078193895787070306},  {0.6630442669302152, 0.072345794108848506},
    {0.73218211874028968, 0.065822222776361847},  {0.79448379596794241, 0.058684093478535547},
    {0.84936761373256997, 0.050998059262376176},  {0.89632115576605212, 0.042835898022226681},
    {0.93490607593773969, 0.034273862913021433},  {0.96476225558750643, 0.025392065309262059},
    {0.98561151154526834, 0.016274394730905671},  {0.99726386184948156, 0.0070186100094700966}};

// The tail of a large shape that begins at x > 0 and leads away from the mode m = shape - 1: the
// density p(x) times the integral of
//   p(x (1 + u)) / p(x) = exp(-m (u - log(1 + u)) - |u| |x - m|)
// over x |u|, where nothing cancels.
double LargeTail(double shape, double x) {
  const double mode = shape - 1;
  const double away = std::abs(x - mode);
  const double sign = x >= mode ? 1 : -1;
  const double log_density = 0.5 * std::log(shape / (2 * std::numbers::pi)) - StirlingError(shape) -
                             shape * LogDeficit((x - shape) / shape);  // of log x
  // Up to where the exponent is about -44.
  const double length = 88 / (away + std::sqrt(away * away + 88 * mode));
  double sum = 0;
  for (const auto& [node, weight] : kRule) {
    for (const double at : {1 - node, 1 + node}) {
      const double u = 0.5 * length * at;
      sum += weight * std::exp(-mode * LogDeficit(sign * u) - u * away);
    }
  }
  return 0.5 * length * sum * std::exp(log_density);
}

double LowerGamma(double shape, double x) {
  if (!(x > 0)) return 0;
  if (!(x < kInfinity)) return 1;
  if (shape < kLargeShape) {
    return x < kFarthest ? boost::math::gamma_p(std::max(shape, kSmallestShape), x, Quiet()) : 1;
  }
  return x < shape - 1 ? LargeTail(shape, x) : 1 - LargeTail(shape, x);
}

double UpperGamma(double shape, double x) {
  if (!(x > 0)) return 1;
  if (!(x < kInfinity)) return 0;
  if (shape < kLargeShape) {
    return x < kFarthest ? boost::math::gamma_q(std::max(shape, kSmallestShape), x, Quiet()) : 0;
  }
  return x < shape - 1 ? 1 - LargeTail(shape, x) : LargeTail(shape, x);
}

// P(T > t), t >= 0.
double StudentTail(double t, double degrees_of_freedom) {
  // Beyond these the relative difference from the limit is below 1e-10.
  constexpr double kNormal = 1e16;
  constexpr double kFarOut = 1e8;
  if (!(degrees_of_freedom < kNormal)) return NormalCumulatives(t).above;
  const double half = std::max(0.5 * degrees_of_freedom, kSmallestShape);
  const double scaled = t / std::sqrt(degrees_of_freedom);
  if (scaled > kFarOut) {
    // (1 / 2) x^a / (a B(a, 1 / 2)), the first term of a series in x = 1 / scaled^2.
    const double log_beta = LogGamma(half + 1) + LogGamma(0.5) - LogGamma(half + 0.5);
    return 0.5 * std::exp(-degrees_of_freedom * std::log(scaled) - log_beta);
  }
  const double square = scaled * scaled;
  return square < 1 ? 0.5 * boost::math::ibetac(0.5, half, square / (1 + square), Quiet())
                    : 0.5 * boost::math::ibeta(half, 0.5, 1 / (1 + square), Quiet());
}

}  // namespace

Cumulatives NormalCumulatives(double z) {
  if (std::isnan(z)) return {.below = 0, .at = 0, .above = 1};
  const double scaled = z / std::numbers::sqrt2;
  return {.below = 0.5 * std::erfc(-scaled), .at = 0, .above = 0.5 * std::erfc(scaled)};
}

Cumulatives StudentCumulatives(double t, double degrees_of_freedom) {
  if (std::isnan(t)) return {.below = 0, .at = 0, .above = 1};
  const double tail = StudentTail(std::abs(t), degrees_of_freedom);
  return t > 0 ? Cumulatives{.below = 1 - tail, .at = 0, .above = tail}
               : Cumulatives{.below = tail, .at = 0, .above = 1 - tail};
}

Cumulatives GammaCumulatives(double shape, double x) {
  return {.below = LowerGamma(shape, x), .at = 0, .above = UpperGamma(shape, x)};
}

// Fewer than x events come before a time `rate` if the x-th, gamma distributed, comes after it.
Cumulatives PoissonCumulatives(double rate, double count) {
  if (!(count >= 0)) return {.below = 0, .at = 0, .above = 1};
  if (!(count < kInfinity)) return {.below = 1, .at = 0, .above = 0};
  if (!(rate > 0)) {
    return count > 0 ? Cumulatives{.below = 1, .at = 0, .above = 0}
                     : Cumulatives{.below = 0, .at = 1, .above = 0};
  }
  if (count == 0) return {.below = 0, .at = std::exp(-rate), .above = -std::expm1(-rate)};
  // Loader (2000); far above the rate nothing cancels, and a ratio may be beyond any number.
  const double off = (count - rate) / rate;
  const double half_deviance = off < 1
                                   ? rate * HalfDeviance(off)
                                   : count * (std::log(count) - std::log(rate)) - (count - rate);
  const double log_density =
      -StirlingError(count) - 0.5 * std::log(2 * std::numbers::pi * count) - half_deviance;
  return {.below = UpperGamma(count, rate),
          .at = std::exp(log_density),
          .above = LowerGamma(count + 1, rate)};
}

Cumulatives NegativeBinomialCumulatives(double mean, double dispersion, double count,
                                        double log_density) {
  if (!(count >= 0)) return {.below = 0, .at = 0, .above = 1};
  if (!(count < kInfinity)) return {.below = 1, .at = 0, .above = 0};
  if (!(mean > 0)) {
    return count > 0 ? Cumulatives{.below = 1, .at = 0, .above = 0}
                     : Cumulatives{.below = 0, .at = 1, .above = 0};
  }
  Cumulatives result{.below = 0, .at = std::exp(log_density), .above = 0};
  // I_p(dispersion, count) and I_1-p(count + 1, dispersion), by the smaller of p and 1 - p, which
  // has the digits.
  const double total = dispersion + mean;
  if (dispersion < mean) {
    const double p = dispersion / total;
    if (count > 0) result.below = boost::math::ibeta(dispersion, count, p, Quiet());
    result.above = boost::math::ibetac(dispersion, count + 1, p, Quiet());
  } else {
    const double q = mean / total;
    if (count > 0) result.below = boost::math::ibetac(count, dispersion, q, Quiet());
    result.above = boost::math::ibeta(count + 1, dispersion, q, Quiet());
  }
  return result;
}

}  // namespace emserve
