// Draws against the moments, and for small counts the probabilities, of their distributions.
#include "core/runtime/draws.h"

#include <cmath>
#include <functional>
#include <vector>

#include "core/numerics/special.h"
#include "gtest/gtest.h"

namespace emserve {
namespace {

// Mean, variance and third central moment of a distribution, and its kurtosis excess.
struct Shape {
  double mean;
  double variance;
  double excess_kurtosis;
};

void ExpectMoments(const Shape& shape, const std::function<double(Random&)>& draw) {
  constexpr int kDraws = 400000;
  Random random(11, 2);
  double first = 0;
  double second = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double away = draw(random) - shape.mean;
    first += away / kDraws;
    second += away * away / kDraws;
  }
  EXPECT_LE(std::abs(first), 5 * std::sqrt(shape.variance / kDraws)) << "mean " << shape.mean;
  EXPECT_LE(std::abs(second - shape.variance),
            5 * shape.variance * std::sqrt((2 + shape.excess_kurtosis) / kDraws))
      << "variance " << second << " against " << shape.variance;
}

TEST(DrawExponential, HasItsMoments) {
  ExpectMoments({1, 1, 6}, [](Random& random) { return DrawExponential(random); });
}

TEST(DrawGamma, HasItsMomentsForEveryShape) {
  for (const double shape : {0.05, 0.5, 1.0, 3.3, 1e4}) {
    ExpectMoments({shape, shape, 6 / shape},
                  [shape](Random& random) { return DrawGamma(shape, random); });
  }
}

TEST(DrawPoisson, HasItsMomentsForEveryMean) {
  for (const double mean : {0.01, 1.0, 9.9, 10.0, 37.0, 1e4, 1e9}) {
    ExpectMoments({mean, mean, 1 / mean},
                  [mean](Random& random) { return DrawPoisson(mean, random); });
  }
}

TEST(DrawPoisson, IsZeroForAMeanOfZero) {
  Random random(1, 1);
  EXPECT_EQ(DrawPoisson(0, random), 0);
}

TEST(DrawPoisson, HasItsProbabilitiesOnBothSidesOfTheSwitch) {
  for (const double mean : {9.5, 10.5}) {
    constexpr int kDraws = 400000;
    Random random(5, 9);
    std::vector<int> counts(200);
    for (int i = 0; i < kDraws; ++i) ++counts.at(static_cast<size_t>(DrawPoisson(mean, random)));
    for (int x = 0; x < 30; ++x) {
      const double p = std::exp(x * std::log(mean) - mean - LogFactorial(x));
      EXPECT_LE(std::abs(counts[x] - kDraws * p), 5 * std::sqrt(kDraws * p * (1 - p)) + 1)
          << x << " with mean " << mean;
    }
  }
}

TEST(DrawNegativeBinomial, HasItsMoments) {
  for (const auto& [mean, r] : {std::pair(3.0, 0.7), {40.0, 5.0}, {0.2, 100.0}}) {
    const double variance = mean + mean * mean / r;
    ExpectMoments({mean, variance, 6 / r + 1 / variance}, [mean = mean, r = r](Random& random) {
      return DrawNegativeBinomial(mean, r, random);
    });
  }
}

TEST(DrawIndex, HasItsProbabilitiesAndNeverWhatHasNone) {
  const double probabilities[] = {0, 0.5, 0, 0.25, 0.25 - 1e-9, 0};
  Random random(3, 0);
  constexpr int kDraws = 100000;
  int counts[6] = {};
  for (int i = 0; i < kDraws; ++i) {
    ++counts[DrawIndex(
        6, [&](int64_t k) { return probabilities[k]; }, random)];
  }
  for (int k = 0; k < 6; ++k) {
    EXPECT_NEAR(counts[k], kDraws * probabilities[k], 5 * std::sqrt(kDraws * 0.25)) << k;
    EXPECT_EQ(counts[k] > 0, probabilities[k] > 0) << k;
  }
  EXPECT_EQ(DrawIndex(
                2, [](int64_t k) { return k == 0 ? 1e-300 : 0; }, random),
            0);
}

}  // namespace
}  // namespace emserve
