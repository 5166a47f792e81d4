// Concentrations of directions: the maximum, and rows drawn about a mean.
#include "core/emission/concentration.h"

#include <cmath>
#include <span>
#include <vector>

#include "core/numerics/bessel.h"
#include "gtest/gtest.h"

namespace emserve::testing {
namespace {

double Dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t d = 0; d < a.size(); ++d) sum += a[d] * b[d];
  return sum;
}

std::vector<double> RandomUnit(int num_columns, Random& random) {
  std::vector<double> v(num_columns);
  for (double& x : v) x = random.Normal();
  const double length = std::sqrt(Dot(v, v));
  for (double& x : v) x /= length;
  return v;
}

TEST(Concentration, IsSolvedForAnySize) {
  for (const int num_columns : {2, 3, 10, 100, 1000, 10000}) {
    for (const double kappa : {1e-6, 0.1, 3.0, 40.0, 900.0, 2e4, 1e6, 1e8, 3e11}) {
      const BesselRatio ratio = BesselIRatio(0.5 * num_columns - 1, kappa);
      std::vector<Repair> repairs;
      const double found = MaximizeConcentration(
          num_columns, {.weight = 4, .cosines = 4 * ratio.value, .deficit = 4 * ratio.complement},
          1e12, 0, repairs);
      EXPECT_NEAR(found, kappa, 1e-12 * kappa * (1 + num_columns / kappa * 1e-3)) << num_columns;
      EXPECT_TRUE(repairs.empty());
    }
  }
}

TEST(Concentration, IsZeroForRowsThatCancelAndAtMostTheCeiling) {
  std::vector<Repair> repairs;
  for (const double cosines : {0.0, -3.0}) {
    EXPECT_EQ(MaximizeConcentration(5, {.weight = 4, .cosines = cosines, .deficit = 4 - cosines},
                                    1e6, 2, repairs),
              0);
  }
  EXPECT_TRUE(repairs.empty());
  EXPECT_EQ(MaximizeConcentration(5, {.weight = 4, .cosines = 4, .deficit = 4e-7}, 1e6, 2, repairs),
            1e6);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].reason, kVarianceFloored);
  EXPECT_EQ(repairs[0].component, 2);
  // From 2 x 1e-7 / (D - 1) to 1e-6.
  EXPECT_NEAR(repairs[0].amount, 1e-6 - 5e-8, 1e-15);
}

TEST(SampleDirection, HasTheMoments) {
  Random random(9, 0);
  for (const int num_columns : {2, 3, 20}) {
    for (const double kappa : {0.0, 1.5, 40.0, 1e10}) {
      const std::vector<double> direction = RandomUnit(num_columns, random);
      std::vector<double> x(num_columns), sum(num_columns);
      double deficit = 0;
      constexpr int kDraws = 8000;
      for (int i = 0; i < kDraws; ++i) {
        SampleDirection(direction, kappa, random, x);
        ASSERT_NEAR(Dot(x, x), 1, 1e-14);
        for (int d = 0; d < num_columns; ++d) {
          sum[d] += x[d] / kDraws;
          deficit += 0.5 * (x[d] - direction[d]) * (x[d] - direction[d]) / kDraws;
        }
      }
      const BesselRatio ratio = BesselIRatio(0.5 * num_columns - 1, kappa);
      EXPECT_NEAR(deficit / ratio.complement, 1, 0.06) << num_columns << " " << kappa;
      for (int d = 0; d < num_columns; ++d) {
        EXPECT_NEAR(sum[d], ratio.value * direction[d], 0.05 * std::sqrt(ratio.complement));
      }
    }
  }
}

}  // namespace
}  // namespace emserve::testing
