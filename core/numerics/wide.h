// Nonnegative numbers of any size: significand x 2^(512 exponent). Sums of products of
// probabilities that leave a double's range, without a logarithm or an exponential for each.
//
// A settled number has a significand in [2^-256, 2^256), so that products of two stay in a double's
// range, or is 0 with kWideZero as its exponent, which no sum of others changes. Exponents are
// whole numbers, as doubles, and take any finite logarithm; products that would go below kWideZero
// stay there. What is made of a NaN has one as its significand, and an exponent that is finite.
#ifndef EMSERVE_CORE_NUMERICS_WIDE_H_
#define EMSERVE_CORE_NUMERICS_WIDE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

namespace emserve {

inline constexpr double kWideUnit = 0x1p512;
inline constexpr double kWideLow = 0x1p-256;
inline constexpr double kWideHigh = 0x1p256;
inline constexpr double kWideZero = -1e307;

struct Wide {
  double significand = 0;
  double exponent = kWideZero;
};

// Arrays of them.
struct ConstWides {
  const double* significand = nullptr;
  const double* exponent = nullptr;

  ConstWides From(int64_t j) const { return {significand + j, exponent + j}; }
  Wide operator[](int64_t j) const { return {significand[j], exponent[j]}; }
};
struct Wides {
  double* significand = nullptr;
  double* exponent = nullptr;

  operator ConstWides() const { return {significand, exponent}; }  // NOLINT: as of pointers
  Wides From(int64_t j) const { return {significand + j, exponent + j}; }
  Wide operator[](int64_t j) const { return {significand[j], exponent[j]}; }
  void Set(int64_t j, Wide value) const {
    significand[j] = value.significand;
    exponent[j] = value.exponent;
  }
};

// Settles a number whose significand is NaN, 0 or in [2^-768, 2^768). No branches, which would
// often be mispredicted.
inline Wide Settled(double significand, double exponent) {
  constexpr double kFactors[] = {kWideUnit, 1, 1 / kWideUnit};
  const int place =
      static_cast<int>(significand >= kWideLow) + static_cast<int>(significand >= kWideHigh);
  return {significand * kFactors[place],
          significand > 0 ? std::max(exponent + (place - 1), kWideZero) : kWideZero};
}

// What settled significands of an exponent that differs by `difference` <= 0 count for in a sum; of
// NaN nothing.
inline double WideShare(double difference) {
  constexpr double kShares[] = {0, 1 / kWideUnit, 1};
  return kShares[static_cast<int>(std::max(-2.0, difference)) + 2];
}

inline Wide operator*(Wide a, Wide b) {
  return Settled(a.significand * b.significand, a.exponent + b.exponent);
}

// 1 / a. Precondition: a > 0.
inline Wide Inverse(Wide a) { return Settled(1 / a.significand, -a.exponent); }

inline Wide operator+(Wide a, Wide b) {
  const double exponent = std::max(a.exponent, b.exponent);
  return Settled(a.significand * WideShare(a.exponent - exponent) +
                     b.significand * WideShare(b.exponent - exponent),
                 exponent);
}

// NaN of +infinity. The logarithm of the result is `log` but for rounding: of any that is finite.
inline Wide WideExp(double log) {
  if (log == -std::numeric_limits<double>::infinity()) return {};
  if (!std::isfinite(log)) return {std::numeric_limits<double>::quiet_NaN(), 0};
  // 512 log 2 in two parts, of which the first has products without rounding with exponents below
  // 2^21. What rounding of larger ones makes of the rest is less than the logarithm's own, but may
  // be more than an exponential holds: where the rest exceeds 256 log 2 it is only rounding.
  constexpr double kHigh = 512 * 6.93147180369123816490e-01;
  constexpr double kLow = 512 * 1.90821492927058770002e-10;
  constexpr double kMost = 178;
  const double exponent = std::nearbyint(log / (512 * std::numbers::ln2));
  const double rest = (log - exponent * kHigh) - exponent * kLow;
  return Settled(std::exp(std::clamp(rest, -kMost, kMost)), exponent);
}

inline double LogOf(Wide a) {
  if (a.significand == 0) return -std::numeric_limits<double>::infinity();
  return std::log(a.significand) + a.exponent * (512 * std::numbers::ln2);
}

// The nearest double of a settled number; what is above 2^1008 becomes that, so that thousands of
// them can be added.
inline double ToDouble(Wide a) {
  if (a.exponent == 0) return a.significand;
  if (a.exponent == -1) return a.significand / kWideUnit;
  if (a.exponent == -2) return a.significand / kWideUnit / kWideUnit;
  if (a.exponent == 1) return a.significand * kWideUnit;
  if (a.exponent == 2) return std::min(a.significand, 0x1p-16) * kWideUnit * kWideUnit;
  return a.exponent > 0 ? 0x1p1008 : 0 * a.significand;  // NaN remains
}

// Loops over arrays of settled numbers; an `out` may be one of their own arguments. O(count).

// out[j] = a[j] b[j], or a[j] b.
void MultiplyAll(ConstWides a, ConstWides b, int count, Wides out);
void MultiplyAll(ConstWides a, Wide b, int count, Wides out);
// out[j] = a[j] b as doubles. Precondition: all below 2^512.
void ToDoubles(ConstWides a, Wide b, int count, double* out);

Wide SumOf(ConstWides values, int count);

double LargestExponent(const double* exponents, int count);

// exp(log) of count logarithms; where exp(log) is known as doubles too (or null), few need another.
void WideExps(const double* log, const double* plain, int64_t count, Wides out);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_WIDE_H_
