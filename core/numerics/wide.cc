#include "core/numerics/wide.h"

namespace emserve {

double LargestExponent(const double* exponents, int count) {
  // Several, so that comparisons need not wait for each other.
  double largest[4] = {kWideZero, kWideZero, kWideZero, kWideZero};
  int j = 0;
  for (; j + 4 <= count; j += 4) {
    for (int n = 0; n < 4; ++n) {
      largest[n] = exponents[j + n] > largest[n] ? exponents[j + n] : largest[n];
    }
  }
  for (; j < count; ++j) largest[0] = exponents[j] > largest[0] ? exponents[j] : largest[0];
  return std::max(std::max(largest[0], largest[1]), std::max(largest[2], largest[3]));
}

void MultiplyAll(ConstWides a, ConstWides b, int count, Wides out) {
  for (int j = 0; j < count; ++j) {
    const Wide product = a[j] * b[j];
    out.significand[j] = product.significand;
    out.exponent[j] = product.exponent;
  }
}

void MultiplyAll(ConstWides a, Wide b, int count, Wides out) {
  for (int j = 0; j < count; ++j) {
    const Wide product = a[j] * b;
    out.significand[j] = product.significand;
    out.exponent[j] = product.exponent;
  }
}

void ToDoubles(ConstWides a, Wide b, int count, double* out) {
  // Of exponents -3 to 1, in two steps, as 2^-1024 is not in full precision. Two significands can
  // be as small together as 2^-512, so that 1 may have exponents that add up to 1, but not to more.
  constexpr double kFirst[] = {0, 1 / kWideUnit, 1 / kWideUnit, 1, kWideUnit};
  constexpr double kSecond[] = {0, 1 / kWideUnit, 1, 1, 1};
  for (int j = 0; j < count; ++j) {
    const int place = static_cast<int>(std::max(-3.0, a.exponent[j] + b.exponent)) + 3;
    out[j] = a.significand[j] * b.significand * kFirst[place] * kSecond[place];
  }
}

Wide SumOf(ConstWides values, int count) {
  const double top = LargestExponent(values.exponent, count);
  double sums[4] = {0, 0, 0, 0};
  int j = 0;
  for (; j + 4 <= count; j += 4) {
    for (int n = 0; n < 4; ++n) {
      sums[n] += values.significand[j + n] * WideShare(values.exponent[j + n] - top);
    }
  }
  for (; j < count; ++j) sums[0] += values.significand[j] * WideShare(values.exponent[j] - top);
  return Settled((sums[0] + sums[1]) + (sums[2] + sums[3]), top);
}

void WideExps(const double* log, const double* plain, int64_t count, Wides out) {
  for (int64_t j = 0; j < count; ++j) {
    const bool known = plain != nullptr && plain[j] >= kWideLow && plain[j] < kWideHigh;
    out.Set(j, known ? Wide{plain[j], 0} : WideExp(log[j]));
  }
}

}  // namespace emserve
