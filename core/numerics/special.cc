#include "core/numerics/special.h"

#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace emserve {
namespace {

// From here on the series below are exact to rounding.
constexpr double kSeries = 16;
const double kHalfLog2Pi = 0.5 * std::log(2 * std::numbers::pi);

// log x! - Stirling's formula by its asymptotic series; x >= kSeries.
double StirlingSeries(double x) {
  const double y = 1 / (x * x);
  return (1.0 / 12 +
          y * (-1.0 / 360 +
               y * (1.0 / 1260 + y * (-1.0 / 1680 + y * (1.0 / 1188 - y * 691.0 / 360360))))) /
         x;
}

// log x - psi(x) by its asymptotic series; x >= kSeries.
double LogMinusDigammaSeries(double x) {
  const double y = 1 / (x * x);
  return 0.5 / x +
         y * (1.0 / 12 +
              y * (-1.0 / 120 +
                   y * (1.0 / 252 +
                        y * (-1.0 / 240 + y * (1.0 / 132 - y * (691.0 / 32760 - y / 12))))));
}

// psi'(x) - 1 / x by its asymptotic series; x >= kSeries.
double TrigammaSeries(double x) {
  const double y = 1 / (x * x);
  return y *
         (0.5 + (1.0 / 6 +
                 y * (-1.0 / 30 +
                      y * (1.0 / 42 +
                           y * (-1.0 / 30 + y * (5.0 / 66 - y * (691.0 / 2730 - y * 7.0 / 6)))))) /
                    x);
}

constexpr int kFactorials = 256;

std::array<double, kFactorials> LogFactorials() {
  std::array<double, kFactorials> table{};
  for (int n = 2; n < kFactorials; ++n) table[n] = LogGamma(n + 1.0);
  return table;
}

}  // namespace

double LogGamma(double x) {
  // Gamma(x) = Gamma(x + n) / (x (x + 1) ... (x + n - 1)); the product stays below 16^16.
  double product = 1;
  while (x < kSeries) product *= x++;
  const double series = (x - 0.5) * std::log(x) - x + kHalfLog2Pi + StirlingSeries(x);
  return product == 1 ? series : series - std::log(product);
}

double LogFactorial(double x) {
  static const std::array<double, kFactorials> table = LogFactorials();
  if (!(x >= 0)) return 0;
  if (x < kFactorials) {
    const int whole = static_cast<int>(x);
    if (whole == x) return table[whole];
  }
  return LogGamma(x + 1);
}

double StirlingError(double x) {
  if (x >= kSeries) return StirlingSeries(x);
  return LogGamma(x + 1) - (kHalfLog2Pi + (x + 0.5) * std::log(x) - x);
}

double HalfDeviance(double t) {
  if (!(std::abs(t) < 0.1)) return t == -1 ? 1 : (1 + t) * std::log1p(t) - t;
  // log(1 + t) = 2 atanh(v).
  const double v = t / (2 + t);
  const double y = v * v;
  double tail = 0;
  for (int j = 19; j >= 3; j -= 2) tail = y * (1.0 / j + tail);
  return t * v + 2 * (1 + t) * v * tail;
}

double LogDeficit(double u) { return LogDeficit(u, std::log1p(u)); }

double Digamma(double x) {
  double sum = 0;
  while (x < kSeries) sum += 1 / x++;
  return std::log(x) - LogMinusDigammaSeries(x) - sum;
}

double Trigamma(double x) {
  double sum = 0;
  while (x < kSeries) {
    sum += 1 / (x * x);
    ++x;
  }
  return 1 / x + TrigammaSeries(x) + sum;
}

double LogMinusDigamma(double x) {
  return x >= kSeries ? LogMinusDigammaSeries(x) : std::log(x) - Digamma(x);
}

double InverseLogMinusDigamma(double value) {
  // 1/(2x) < log x - psi(x) < 1/x (Alzer 1997): the solution lies between 1/(2 value) and 1/value.
  const double low = 0.5 / value;
  const double high = 1 / value;
  if (!(low < 1e300)) return std::numeric_limits<double>::infinity();
  double x = (3 - value + std::sqrt((value - 3) * (value - 3) + 24 * value)) / (12 * value);
  if (!(x > low && x < high)) x = 0.75 / value;
  for (int i = 0; i < 50; ++i) {
    // In log x, where the function is nearly -log x: its derivative is 1 - x psi'(x).
    const double slope = x >= kSeries ? -x * TrigammaSeries(x) : 1 - x * Trigamma(x);
    double next = x * std::exp((value - LogMinusDigamma(x)) / slope);
    if (next < low) next = 0.5 * (x + low);
    if (next > high) next = 0.5 * (x + high);
    const bool done = std::abs(next - x) <= 1e-9 * x;  // the next step would be below rounding
    x = next;
    if (done) break;
  }
  return x;
}

double InverseDigamma(double value) {
  double x = value >= -2.22 ? std::exp(value) + 0.5 : -1 / (value + std::numbers::egamma);
  for (int i = 0; i < 50; ++i) {
    // psi is concave: from below Newton may only overshoot towards 0, where halving is safe.
    const double next = x - (Digamma(x) - value) / Trigamma(x);
    const double kept = next > 0 ? next : 0.5 * x;
    const bool done = std::abs(kept - x) <= 1e-9 * x;  // the next step would be below rounding
    x = kept;
    if (done) break;
  }
  return x;
}

double DigammaRise(double r, double x) {
  if (x < 2 * kSeries) {
    double sum = 0;
    for (double j = 0; j < x; ++j) sum += 1 / (r + j);
    return sum;
  }
  if (r < kSeries) return Digamma(r + x) - Digamma(r);
  return std::log1p(x / r) + LogMinusDigammaSeries(r) - LogMinusDigammaSeries(r + x);
}

double TrigammaFall(double r, double x) {
  if (x < 2 * kSeries) {
    double sum = 0;
    for (double j = 0; j < x; ++j) sum += 1 / ((r + j) * (r + j));
    return sum;
  }
  if (r < kSeries) return Trigamma(r) - Trigamma(r + x);
  return x / (r * (r + x)) + TrigammaSeries(r) - TrigammaSeries(r + x);
}

}  // namespace emserve
