// Every kernel against a plain loop, at sizes that are no multiple of any tile.
#include "core/numerics/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "core/data/block.h"
#include "core/runtime/random.h"

namespace emserve {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A 64-byte aligned array; what lies behind it is not ours, so reads past the end show under
// AddressSanitizer.
class Aligned {
 public:
  explicit Aligned(size_t size) : size_(size), p_(new (std::align_val_t{64}) double[size]()) {}
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  ~Aligned() { ::operator delete[](p_, std::align_val_t{64}); }
  double* data() { return p_; }
  double& operator[](size_t i) { return p_[i]; }
  size_t size() const { return size_; }

 private:
  size_t size_;
  double* p_;
};

struct Case {
  int dims;
  int rows;
};

class Kernels : public testing::TestWithParam<Case> {
 protected:
  Kernels()
      : dims(GetParam().dims),
        rows(GetParam().rows),
        stride(PaddedRows(rows)),
        x(static_cast<size_t>(dims * stride)),
        resp(static_cast<size_t>(stride)),
        scratch(static_cast<size_t>(2 * dims * stride)),
        out(static_cast<size_t>(stride)),
        mean(static_cast<size_t>(dims)),
        lower(static_cast<size_t>(dims * dims)) {
    Random random(7, static_cast<uint64_t>(dims * 1000 + rows));
    for (int d = 0; d < dims; ++d) {
      mean[static_cast<size_t>(d)] = random.Normal();
      for (int i = 0; i < rows; ++i) X(i, d) = 3 * random.Normal() + 1;
      for (int j = 0; j <= d; ++j) lower[static_cast<size_t>(d * dims + j)] = random.Normal();
    }
    for (int i = 0; i < rows; ++i) resp[static_cast<size_t>(i)] = random.Uniform();
  }
  double& X(int i, int d) { return x[static_cast<size_t>(d * stride + i)]; }
  double Centred(int i, int d) { return X(i, d) - mean[static_cast<size_t>(d)]; }

  int dims, rows, stride;
  Aligned x, resp, scratch, out;
  std::vector<double> mean, lower;
};

TEST_P(Kernels, WhitenedSquaresEqualThePlainLoop) {
  WhitenedSquares(x.data(), stride, dims, mean.data(), lower.data(), scratch.data(), out.data());
  for (int i = 0; i < rows; ++i) {
    double expected = 0;
    for (int d = 0; d < dims; ++d) {
      double y = 0;
      for (int j = 0; j <= d; ++j) y += lower[static_cast<size_t>(d * dims + j)] * Centred(i, j);
      expected += y * y;
    }
    ASSERT_NEAR(out[static_cast<size_t>(i)], expected, 1e-12 * (1 + expected)) << i;
  }
}

TEST_P(Kernels, WhitenedSquaresIgnoreTheUpperTriangle) {
  WhitenedSquares(x.data(), stride, dims, mean.data(), lower.data(), scratch.data(), out.data());
  const std::vector<double> before(out.data(), out.data() + rows);
  for (int d = 0; d < dims; ++d) {
    for (int j = d + 1; j < dims; ++j) lower[static_cast<size_t>(d * dims + j)] = kInfinity;
  }
  WhitenedSquares(x.data(), stride, dims, mean.data(), lower.data(), scratch.data(), out.data());
  EXPECT_EQ(before, std::vector<double>(out.data(), out.data() + rows));
}

TEST_P(Kernels, DiagonalSquaresEqualThePlainLoop) {
  std::vector<double> inv_sd(mean.size());
  for (size_t d = 0; d < inv_sd.size(); ++d) inv_sd[d] = 0.5 + static_cast<double>(d % 3);
  DiagonalSquares(x.data(), stride, dims, mean.data(), inv_sd.data(), out.data());
  for (int i = 0; i < rows; ++i) {
    double expected = 0;
    for (int d = 0; d < dims; ++d)
      expected += std::pow(Centred(i, d) * inv_sd[static_cast<size_t>(d)], 2);
    ASSERT_NEAR(out[static_cast<size_t>(i)], expected, 1e-12 * (1 + expected)) << i;
  }
}

TEST_P(Kernels, ScatterAddsToTheLowerTriangleOnly) {
  std::vector<double> first(mean.size(), 0.5), second(lower.size(), 0.25);
  AddScatter(x.data(), stride, dims, mean.data(), resp.data(), scratch.data(), first.data(),
             second.data());
  for (int a = 0; a < dims; ++a) {
    double expected_first = 0.5;
    for (int i = 0; i < rows; ++i) expected_first += resp[static_cast<size_t>(i)] * Centred(i, a);
    ASSERT_NEAR(first[static_cast<size_t>(a)], expected_first, 1e-12 * rows);
    for (int b = 0; b < dims; ++b) {
      double expected = 0.25;
      for (int i = 0; i < rows && b <= a; ++i) {
        expected += resp[static_cast<size_t>(i)] * Centred(i, a) * Centred(i, b);
      }
      ASSERT_NEAR(second[static_cast<size_t>(a * dims + b)], expected, 1e-11 * rows)
          << a << "," << b;
    }
  }
}

TEST_P(Kernels, DiagonalMomentsEqualThePlainLoop) {
  std::vector<double> first(mean.size(), 0.5), second(mean.size(), 0.25);
  AddDiagonalMoments(x.data(), stride, dims, mean.data(), resp.data(), first.data(), second.data());
  for (int d = 0; d < dims; ++d) {
    double expected_first = 0.5, expected_second = 0.25;
    for (int i = 0; i < rows; ++i) {
      expected_first += resp[static_cast<size_t>(i)] * Centred(i, d);
      expected_second += resp[static_cast<size_t>(i)] * Centred(i, d) * Centred(i, d);
    }
    ASSERT_NEAR(first[static_cast<size_t>(d)], expected_first, 1e-12 * rows);
    ASSERT_NEAR(second[static_cast<size_t>(d)], expected_second, 1e-11 * rows);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Kernels,
                         testing::Values(Case{1, 1}, Case{1, 17}, Case{2, 5}, Case{2, 272},
                                         Case{3, 31}, Case{4, 150}, Case{5, 48}, Case{6, 33},
                                         Case{7, 100}, Case{16, 480}, Case{17, 111}, Case{31, 65},
                                         Case{64, 192}, Case{130, 49}),
                         [](const auto& param_info) {
                           return "D" + std::to_string(param_info.param.dims) + "N" +
                                  std::to_string(param_info.param.rows);
                         });

TEST(NormalizeLogDensities, EqualsThePlainLogSumExp) {
  for (const int components : {1, 2, 3, 7, 10}) {
    const int stride = 48;
    Aligned density(static_cast<size_t>(components * stride)), row(static_cast<size_t>(stride));
    std::vector<double> log_weights(static_cast<size_t>(components));
    Random random(3, static_cast<uint64_t>(components));
    for (double& w : log_weights) w = std::log(random.Uniform());
    std::vector<double> term(density.size());
    for (size_t i = 0; i < density.size(); ++i) {
      density[i] = 300 * random.Normal() - 5000 * random.Uniform();
      term[i] = density[i] + log_weights[i / static_cast<size_t>(stride)];
    }
    NormalizeLogDensities(density.data(), components, stride, log_weights.data(), row.data());
    for (size_t i = 0; i < static_cast<size_t>(stride); ++i) {
      double top = -kInfinity, sum = 0, total = 0;
      for (size_t k = 0; k < static_cast<size_t>(components); ++k) {
        top = std::max(top, term[k * static_cast<size_t>(stride) + i]);
      }
      for (size_t k = 0; k < static_cast<size_t>(components); ++k) {
        sum += std::exp(term[k * static_cast<size_t>(stride) + i] - top);
      }
      ASSERT_NEAR(row[i], top + std::log(sum), 1e-12 * std::abs(top));
      for (size_t k = 0; k < static_cast<size_t>(components); ++k) {
        const size_t at = k * static_cast<size_t>(stride) + i;
        ASSERT_NEAR(density[at], std::exp(term[at] - top) / sum, 1e-14);
        total += density[at];
      }
      ASSERT_NEAR(total, 1, 1e-13);
    }
  }
}

TEST(NormalizeLogDensities, HandlesRowsAndComponentsWithoutMass) {
  const int stride = 16;
  Aligned density(3 * 16), row(16);
  const double log_weights[] = {std::log(0.5), -kInfinity, std::log(0.5)};
  for (size_t i = 0; i < 16; ++i) {
    density[i] = i == 1 ? -kInfinity : -2.0;
    density[16 + i] = 0;
    density[32 + i] = i == 1 || i == 2 ? -kInfinity : -2.0;
  }
  density[3] = std::numeric_limits<double>::quiet_NaN();
  NormalizeLogDensities(density.data(), 3, stride, log_weights, row.data());
  EXPECT_NEAR(row[0], -2, 1e-15);
  EXPECT_NEAR(density[0], 0.5, 1e-15);
  EXPECT_EQ(density[16], 0);
  EXPECT_EQ(row[1], -kInfinity);
  EXPECT_EQ(density[1], 0);
  EXPECT_EQ(density[33], 0);
  EXPECT_NEAR(row[2], -2 + std::log(0.5), 1e-15);
  EXPECT_EQ(density[2], 1);
  EXPECT_TRUE(std::isnan(row[3]));
}

TEST(WeightedSum, LeavesOutRowsWithoutWeight) {
  Aligned a(16), b(16);
  for (size_t i = 0; i < 16; ++i) {
    a[i] = static_cast<double>(i);
    b[i] = 2;
  }
  a[5] = -kInfinity;
  b[5] = 0;
  EXPECT_EQ(WeightedSum(a.data(), b.data(), 16), 2 * (120 - 5));
  EXPECT_EQ(Sum(b.data(), 16), 30);
}

TEST(ScaleRows, MultipliesEveryComponentByTheRowWeights) {
  Aligned resp(32), weights(16);
  for (size_t i = 0; i < 32; ++i) resp[i] = static_cast<double>(i);
  for (size_t i = 0; i < 16; ++i) weights[i] = i % 2 == 0 ? 3 : 0;
  ScaleRows(resp.data(), 2, 16, weights.data());
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(resp[i], i % 2 == 0 ? 3.0 * static_cast<double>(i) : 0);
}

}  // namespace
}  // namespace emserve
