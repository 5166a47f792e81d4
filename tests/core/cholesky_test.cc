#include "core/numerics/cholesky.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/runtime/random.h"

namespace emserve {
namespace {

// A A^T + I, symmetric positive definite.
std::vector<double> RandomCovariance(int dims, uint64_t seed) {
  Random random(seed, 0);
  const auto size = static_cast<size_t>(dims);
  std::vector<double> a(size * size), m(size * size);
  for (double& v : a) v = random.Normal();
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j < size; ++j) {
      m[i * size + j] = i == j ? 1 : 0;
      for (size_t k = 0; k < size; ++k) m[i * size + j] += a[i * size + k] * a[j * size + k];
    }
  }
  return m;
}

TEST(InverseCholesky, WhitensTheMatrix) {
  for (const int dims : {1, 2, 3, 5, 17}) {
    const auto size = static_cast<size_t>(dims);
    const std::vector<double> m = RandomCovariance(dims, 4);
    std::vector<double> w(size * size, 9), chol(size * size, 9);
    const auto log_det = InverseCholesky(m, dims, w);
    ASSERT_TRUE(log_det.has_value());
    ASSERT_TRUE(Cholesky(m, dims, chol));
    double expected = 0;
    for (size_t i = 0; i < size; ++i) expected += 2 * std::log(chol[i * size + i]);
    EXPECT_NEAR(*log_det, expected, 1e-12 * (1 + std::abs(expected)));
    for (size_t i = 0; i < size; ++i) {
      for (size_t j = 0; j < size; ++j) {
        double product = 0;  // (W M W^T)[i, j]
        for (size_t a = 0; a < size; ++a) {
          for (size_t b = 0; b < size; ++b)
            product += w[i * size + a] * m[a * size + b] * w[j * size + b];
        }
        EXPECT_NEAR(product, i == j ? 1 : 0, 1e-11);
        if (j > i) {
          EXPECT_EQ(w[i * size + j], 0);
          EXPECT_EQ(chol[i * size + j], 0);
        }
      }
    }
  }
}

TEST(InverseCholesky, RefusesWhatIsNotPositiveDefinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<double> out(9);
  EXPECT_FALSE(InverseCholesky(std::vector<double>{0}, 1, out).has_value());
  EXPECT_FALSE(InverseCholesky(std::vector<double>{-1}, 1, out).has_value());
  EXPECT_FALSE(InverseCholesky(std::vector<double>{nan}, 1, out).has_value());
  EXPECT_FALSE(InverseCholesky(std::vector<double>{1, 1, 1, 1}, 2, out).has_value());
  EXPECT_FALSE(InverseCholesky(std::vector<double>{1, 2, 2, 1}, 2, out).has_value());
  EXPECT_FALSE(InverseCholesky(std::vector<double>{1, 0, 0, nan}, 2, out).has_value());
  EXPECT_FALSE(InverseCholesky(std::vector<double>{inf, 0, 0, 1}, 2, out).has_value());
  EXPECT_FALSE(
      InverseCholesky(std::vector<double>{1, 0, 0, 0, nan, 0, 0, 0, 1}, 3, out).has_value());
  EXPECT_FALSE(InverseCholesky(std::vector<double>{1, 0, 0, 0, 1, 2, 0, 2, 1}, 3, out).has_value());
  EXPECT_FALSE(Cholesky(std::vector<double>{nan}, 1, out));
}

TEST(FloorEigenvalues, LeavesAHealthyMatrixUntouched) {
  std::vector<double> m = RandomCovariance(4, 9);
  const std::vector<double> before = m;
  EXPECT_EQ(FloorEigenvalues(m, 4, std::vector<double>(4, 1.0), 0.5).largest, 0);
  EXPECT_EQ(m, before);
}

TEST(FloorEigenvalues, RaisesASingularDirectionToTheFloor) {
  std::vector<double> m = {2, 2, 2, 2};  // eigenvalues 4 along (1, 1) and 0 along (1, -1)
  EXPECT_NEAR(FloorEigenvalues(m, 2, std::vector<double>{1, 1}, 0.1).largest, 0.05, 1e-15);
  EXPECT_NEAR(m[0], 2.05, 1e-14);
  EXPECT_NEAR(m[1], 1.95, 1e-14);
  EXPECT_EQ(m[1], m[2]);
  EXPECT_NEAR(m[3], 2.05, 1e-14);
}

TEST(FloorEigenvalues, ReadsTheLowerTriangleOnly) {
  std::vector<double> m = {2, 77, 2, 2};
  FloorEigenvalues(m, 2, std::vector<double>{1, 1}, 0.1);
  EXPECT_NEAR(m[0], 2.05, 1e-14);
  EXPECT_NEAR(m[1], 1.95, 1e-14);
  EXPECT_EQ(m[1], m[2]);
}

TEST(FloorEigenvalues, LeavesAMatrixThatPassesTheFloor) {
  for (const int dims : {1, 2, 3, 6, 20}) {
    // Rank one, so that all but one eigenvalue must be raised.
    const auto size = static_cast<size_t>(dims);
    Random random(8, size);
    std::vector<double> v(size), scale(size), m(size * size), inverse(size * size);
    for (size_t d = 0; d < size; ++d) {
      scale[d] = std::pow(10.0, 20 * random.Uniform() - 10);
      v[d] = std::sqrt(scale[d]) * random.Normal();
    }
    for (size_t a = 0; a < size; ++a) {
      for (size_t b = 0; b < size; ++b) m[a * size + b] = v[a] * v[b];
    }
    const double raised = FloorEigenvalues(m, dims, scale, 1e-6).largest;
    EXPECT_EQ(raised > 0, dims > 1);
    EXPECT_TRUE(InverseCholesky(m, dims, inverse).has_value());
    const std::vector<double> once = m;
    EXPECT_EQ(FloorEigenvalues(m, dims, scale, 0.999e-6).largest, 0);
    EXPECT_EQ(m, once);
  }
}

// A A^T with A [dims x rank] of columns whose lengths fall from 1 to below the floor.
std::vector<double> LowRank(int dims, int rank, std::vector<double>& a) {
  Random random(12, static_cast<uint64_t>(rank));
  const auto size = static_cast<size_t>(dims);
  const auto columns = static_cast<size_t>(rank);
  a.assign(size * columns, 0);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = random.Normal() *
           std::pow(10.0, -4.0 * static_cast<double>(i % columns) / static_cast<double>(columns));
  }
  std::vector<double> m(size * size);
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j < size; ++j) {
      for (size_t c = 0; c < columns; ++c)
        m[i * size + j] += a[i * columns + c] * a[j * columns + c];
    }
  }
  return m;
}

// Large matrices of low rank take a way of their own. A matrix of twice the size, block diagonal
// with the same matrix and one of full rank, is too rich for it and says what must come out.
TEST(FloorEigenvalues, LowRankGivesWhatFullRankGives) {
  for (const int dims : {32, 40, 75}) {
    for (const int rank : {1, 3, 12}) {
      const auto size = static_cast<size_t>(dims);
      std::vector<double> a;
      std::vector<double> low = LowRank(dims, rank, a);
      std::vector<double> block(4 * size * size);
      for (size_t i = 0; i < size; ++i) {
        block[(size + i) * 2 * size + size + i] = 5;
        for (size_t j = 0; j < size; ++j) block[i * 2 * size + j] = low[i * size + j];
      }
      std::vector<double> scale(2 * size, 0.5);
      const double floor = 1e-4;
      const EigenvalueLift of_block = FloorEigenvalues(block, 2 * dims, scale, floor);
      scale.resize(size);
      const EigenvalueLift of_low = FloorEigenvalues(low, dims, scale, floor);
      EXPECT_NEAR(of_low.largest, of_block.largest, 1e-9 * floor);
      for (size_t i = 0; i < size; ++i) {
        for (size_t j = 0; j < size; ++j) {
          const double expected = block[i * 2 * size + j];
          EXPECT_NEAR(low[i * size + j], expected, 1e-12) << dims << " " << rank;
          EXPECT_EQ(low[i * size + j], low[j * size + i]);
        }
      }
      std::vector<double> inverse(size * size);
      EXPECT_TRUE(InverseCholesky(low, dims, inverse).has_value());
      const std::vector<double> once = low;
      EXPECT_EQ(FloorEigenvalues(low, dims, scale, 0.99 * floor).largest, 0);
      EXPECT_EQ(low, once);
    }
  }
}

// log det S + tr(S^-1 matrix) of the result, with every entry moved to the next double.
TEST(FloorEigenvalues, KnowsHowFarRoundingMovesTheObjective) {
  Random random(13, 0);
  double largest = 0;  // relative to what is claimed
  for (int trial = 0; trial < 200; ++trial) {
    const int dims = 2 + trial % 5;
    const auto size = static_cast<size_t>(dims);
    std::vector<double> a;
    const std::vector<double> m = LowRank(dims, 1 + trial % 2, a);
    std::vector<double> s = m, scale(size), w(size * size);
    for (size_t d = 0; d < size; ++d) scale[d] = m[d * size + d] + 1e-3;
    const EigenvalueLift lift = FloorEigenvalues(s, dims, scale, 1e-9);
    const auto objective = [&] {
      double value = InverseCholesky(s, dims, w).value();
      for (size_t i = 0; i < size; ++i) {  // |row i of A^T W^T|^2 by columns of A
        for (size_t c = 0; c < a.size() / size; ++c) {
          double whitened = 0;
          for (size_t j = 0; j < size; ++j)
            whitened += w[i * size + j] * a[j * a.size() / size + c];
          value += whitened * whitened;
        }
      }
      return value;
    };
    if (!(lift.largest > 0)) continue;
    const double before = objective();
    for (size_t i = 0; i < size; ++i) {
      for (size_t j = 0; j <= i; ++j) {
        double& entry = s[i * size + j];
        s[j * size + i] = entry = std::nextafter(entry, random.Uniform() < 0.5 ? -1e9 : 1e9);
      }
    }
    largest = std::max(largest, std::abs(objective() - before) / lift.rounding);
  }
  EXPECT_LT(largest, 1);
  EXPECT_GT(largest, 0.05) << "not a wild guess either";
}

TEST(FloorEigenvalues, DoesNotDependOnUnits) {
  std::vector<double> plain = {2, 2, 2, 2};
  std::vector<double> scaled = {2e-16, 2e0, 2e0, 2e16};
  FloorEigenvalues(plain, 2, std::vector<double>{1, 1}, 0.1);
  FloorEigenvalues(scaled, 2, std::vector<double>{1e-16, 1e16}, 0.1);
  EXPECT_NEAR(scaled[0] * 1e16, plain[0], 1e-12);
  EXPECT_NEAR(scaled[1], plain[1], 1e-12);
  EXPECT_NEAR(scaled[3] * 1e-16, plain[3], 1e-12);
}

TEST(FloorEigenvalues, ReportsNonFiniteInput) {
  std::vector<double> m = {std::numeric_limits<double>::quiet_NaN()};
  EXPECT_TRUE(std::isnan(FloorEigenvalues(m, 1, std::vector<double>{1}, 0.1).largest));
}

}  // namespace
}  // namespace emserve
