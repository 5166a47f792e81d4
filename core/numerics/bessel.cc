#include "core/numerics/bessel.h"

#include <array>
#include <cmath>
#include <numbers>

#include "core/numerics/special.h"

namespace emserve {
namespace {

// From this sqrt(nu^2 + x^2) on, kTerms of Debye's expansion leave less than 1e-15.
constexpr double kDebyeFrom = 20;
constexpr int kTerms = 21;

// sum_k (x^2 / 4)^k / (k! (nu + 1) ... (nu + k)) - 1, the power series of Gamma(nu + 1) (2 / x)^nu
// I_nu(x) without its first term. All terms are positive.
double SeriesLessOne(double nu, double x) {
  const double q = 0.25 * x * x;
  double sum = 0;
  double term = 1;
  for (int k = 1; term > 1e-17 * sum; ++k) sum += term *= q / (k * (nu + k));
  return sum;
}

// Coefficients of Debye's polynomials u_k(t) = t^k sum_j u[k][j] t^2j, with
//   u_{k+1}(t) = t^2 (1 - t^2) u_k'(t) / 2 + integral_0^t (1 - 5 s^2) u_k(s) ds / 8,
// and likewise of u_k(t) / 2 + t u_k'(t), by which those of the derivative of I differ:
//   v_{k+1}(t) = u_{k+1}(t) - t (1 - t^2) (u_k(t) / 2 + t u_k'(t)).
using Coefficients = std::array<std::array<double, kTerms>, kTerms>;
struct DebyePolynomials {
  DebyePolynomials() {
    u[0][0] = 1;
    for (int k = 0; k < kTerms; ++k) {
      for (int j = 0; j <= k; ++j) {
        const double power = k + 2 * j;
        const double c = u[k][j];
        slope[k][j] = c * (0.5 + power);
        if (k + 1 == kTerms) continue;
        u[k + 1][j] += c * (power / 2 + 1 / (8 * (power + 1)));
        u[k + 1][j + 1] -= c * (power / 2 + 5 / (8 * (power + 3)));
      }
    }
  }
  Coefficients u{}, slope{};
};

const DebyePolynomials& Polynomials() {
  static const DebyePolynomials polynomials;
  return polynomials;
}

// sum_k p_k(t) / nu^k with t = nu / w, w = sqrt(nu^2 + x^2): since p_k(t) = t^k (...), nu cancels
// and order 0 is like any other.
double DebyeSum(const Coefficients& polynomials, double t, double w) {
  const double t2 = t * t;
  double sum = 0;
  for (int k = kTerms - 1; k >= 0; --k) {
    double value = 0;
    for (int j = k; j >= 0; --j) value = value * t2 + polynomials[k][j];
    sum = sum / w + value;
  }
  return sum;
}

// log Gamma(nu + 1) + nu - nu log nu - log(2 pi nu) / 2, Stirling's remainder.
double StirlingRemainder(double nu) {
  const double i = 1 / (nu * nu);
  return (1.0 / 12 - i * (1.0 / 360 - i * (1.0 / 1260 - i * (1.0 / 1680 - i * (1.0 / 1188))))) / nu;
}

}  // namespace

double LogReducedBesselI(double nu, double x) {
  const double w = std::hypot(nu, x);
  if (w < kDebyeFrom) return std::log1p(SeriesLessOne(nu, x)) - x;
  // log I_nu(x) = w + nu log(x / (nu + w)) - log(2 pi w) / 2 + log sum_k u_k(t) / nu^k.
  const double log_sum = std::log(DebyeSum(Polynomials().u, nu / w, w));
  const double w_less_x = nu == 0 ? 0 : nu * (nu / (w + x));
  if (nu < kDebyeFrom) {
    return LogGamma(nu + 1) + nu * std::log(2 / (nu + w)) + w_less_x -
           0.5 * std::log(2 * std::numbers::pi * w) + log_sum;
  }
  // Stirling's formula for Gamma(nu + 1), so that its large terms cancel before they are rounded.
  // With r = (w - nu) / (2 nu): nu log(2 nu / (nu + w)) = -nu log(1 + r).
  const double w_less_nu = x * (x / (w + nu));
  return (x < nu ? w_less_nu - x : w_less_x - nu) - nu * std::log1p(w_less_nu / (2 * nu)) +
         StirlingRemainder(nu) - 0.5 * std::log(w / nu) + log_sum;
}

BesselRatio BesselIRatio(double nu, double x) {
  const double w = std::hypot(nu, x);
  if (w < kDebyeFrom) {
    const double value =
        x / (2 * (nu + 1)) * (1 + SeriesLessOne(nu + 1, x)) / (1 + SeriesLessOne(nu, x));
    return {value, 1 - value};
  }
  // I_{nu+1} / I_nu = I'_nu / I_nu - nu / x with I'_nu / I_nu = w / x sum v / sum u, written so
  // that nothing cancels.
  const double t = nu / w;
  const double less =
      x / w / w * DebyeSum(Polynomials().slope, t, w) / DebyeSum(Polynomials().u, t, w);
  const double w_less_x = nu == 0 ? 0 : nu * (nu / (w + x));
  return {x / (w + nu) - less, (nu + w_less_x) / (w + nu) + less};
}

}  // namespace emserve
