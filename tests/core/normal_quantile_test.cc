#include "core/numerics/normal_quantile.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "gtest/gtest.h"

namespace emserve {
namespace {

// mpmath, 40 digits, of the doubles nearest to these probabilities.
TEST(NormalQuantile, HasTheDigitsOfALongerArithmetic) {
  for (const auto& [p, z] : {std::pair(1e-300, -37.047096299361199237),
                             {1e-100, -21.273453560965324294},
                             {1e-20, -9.2623400897984075796},
                             {1e-5, -4.2648907939228246102},
                             {0.01, -2.3263478740408410931},
                             {0.2, -0.84162123357291416552},
                             {0.3, -0.52440051270804081597},
                             {0.4999, -0.00025066283008800749239},
                             {0.75, 0.6744897501960817432},
                             {0.999, 3.0902323061678132778}}) {
    EXPECT_NEAR(NormalQuantile(p), z, 1e-15 * std::max(1.0, std::abs(z))) << p;
  }
}

// Over all of the lower tail, and through the change of formula at 1/4.
TEST(NormalQuantile, InvertsTheDistribution) {
  for (double z = -37; z <= 0; z += 0.01) {
    const double p = std::erfc(-z / std::sqrt(2.0)) / 2;
    // An error of a relative 1e-16 in p is one of 1e-16 / |z| in z.
    EXPECT_NEAR(NormalQuantile(p), z, 2e-15 * std::max(1.0, std::abs(z)));
  }
}

TEST(NormalQuantile, IsSymmetricAndKnowsItsEnds) {
  EXPECT_EQ(NormalQuantile(0.5), 0);
  EXPECT_EQ(NormalQuantile(0.75), -NormalQuantile(0.25));
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(NormalQuantile(0), -infinity);
  EXPECT_EQ(NormalQuantile(1), infinity);
  EXPECT_TRUE(std::isnan(NormalQuantile(-1e-9)));
  EXPECT_TRUE(std::isnan(NormalQuantile(1.5)));
  EXPECT_TRUE(std::isnan(NormalQuantile(std::numeric_limits<double>::quiet_NaN())));
  // Smaller than any probability with all digits, still a number.
  EXPECT_NEAR(NormalQuantile(5e-324), -38.4, 0.1);
}

}  // namespace
}  // namespace emserve
