// Every kernel against a plain loop, at sizes that are no multiple of any tile, on every
// instruction set that this machine has.
#include "core/numerics/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <tuple>
#include <vector>

#include "core/data/block.h"
#include "core/runtime/random.h"
#include "hwy/targets.h"

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

// Makes the kernels run on one instruction set while it lives.
class ChosenTarget {
 public:
  explicit ChosenTarget(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
  }
  ~ChosenTarget() {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().DeInit();
  }
};

class OnTarget : public testing::TestWithParam<int64_t> {
  ChosenTarget chosen_{GetParam()};
};

struct Case {
  int dims;
  int rows;
};

class Kernels : public testing::TestWithParam<std::tuple<int64_t, Case>> {
 protected:
  Kernels()
      : chosen(std::get<0>(GetParam())),
        dims(std::get<1>(GetParam()).dims),
        rows(std::get<1>(GetParam()).rows),
        stride(PaddedRows(rows)),
        x(static_cast<size_t>(dims * stride)),
        resp(static_cast<size_t>(stride)),
        scratch(static_cast<size_t>((dims + 1) * stride)),
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

  ChosenTarget chosen;
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

INSTANTIATE_TEST_SUITE_P(
    Sizes, Kernels,
    testing::Combine(testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                     testing::Values(Case{1, 1}, Case{1, 17}, Case{2, 5}, Case{2, 272}, Case{3, 31},
                                     Case{4, 150}, Case{5, 48}, Case{6, 33}, Case{7, 100},
                                     Case{8, 80}, Case{9, 96}, Case{10, 64}, Case{11, 16},
                                     Case{16, 480}, Case{17, 111}, Case{31, 65}, Case{64, 192},
                                     Case{130, 49})),
    [](const auto& param_info) {
      const int64_t target = std::get<0>(param_info.param);
      const Case sizes = std::get<1>(param_info.param);
      std::string name = hwy::TargetName(target);
      name += "D" + std::to_string(sizes.dims);
      name += "N" + std::to_string(sizes.rows);
      return name;
    });

INSTANTIATE_TEST_SUITE_P(Targets, OnTarget, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& param_info) {
                           return std::string(hwy::TargetName(param_info.param));
                         });

TEST_P(OnTarget, RunsOnTheChosenInstructionSet) {
  EXPECT_STREQ(KernelTarget(), hwy::TargetName(GetParam()));
}

TEST_P(OnTarget, PosteriorsEqualThePlainLogSumExp) {
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

// Two components with log densities 0 and z: the second's posterior is exp(z) / (1 + exp(z)), which
// shows the exponential at every size of its argument.
TEST_P(OnTarget, PosteriorsAreExactDownToTheSmallestNormalNumber) {
  Aligned density(32), row(16);
  const double log_weights[] = {0, 0};
  for (double z = 0; z > -708; z -= 0.37) {
    for (size_t i = 0; i < 16; ++i) {
      density[i] = 0;
      density[16 + i] = z - static_cast<double>(i) / 64;
    }
    NormalizeLogDensities(density.data(), 2, 16, log_weights, row.data());
    for (size_t i = 0; i < 16; ++i) {
      const double e = std::exp(z - static_cast<double>(i) / 64);
      const double expected = e < std::exp(-708.0) ? 0 : e / (1 + e);
      ASSERT_NEAR(density[16 + i], expected, 1e-15 * expected) << z << "," << i;
      ASSERT_NEAR(row[i], std::log1p(e), 4e-16) << z << "," << i;
    }
  }
  density[0] = density[16] = 0;
  NormalizeLogDensities(density.data(), 1, 16, log_weights, row.data());
  EXPECT_EQ(density[0], 1);
  EXPECT_EQ(row[0], 0);
}

TEST_P(OnTarget, PosteriorsHandleRowsAndComponentsWithoutMass) {
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

TEST_P(OnTarget, WeightedSumLeavesOutRowsWithoutWeight) {
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

TEST_P(OnTarget, TailsEqualThePlainFormulas) {
  for (const double nu : {0.1, 1.0, 7.5, 1e3, 1e6}) {
    constexpr int kStride = 32;
    Aligned squares(kStride), resp(kStride), weighted(kStride);
    for (int i = 0; i < kStride; ++i) {
      squares[i] = i == 0 ? 0 : std::pow(10.0, i - 8);  // 1e-7 to 1e23
      resp[i] = i % 5 == 4 ? 0 : 0.1 * i;
    }
    const TailSums sums = WeighTails(squares.data(), resp.data(), kStride, nu, 3, weighted.data());
    long double precision = 0;
    long double tail = 0;
    for (int i = 0; i < kStride; ++i) {
      const long double u = (nu + 3.0L) / (nu + static_cast<long double>(squares[i]));
      EXPECT_NEAR(weighted[i], static_cast<double>(resp[i] * u), 1e-15 * resp[i] * (1 + 3 / nu));
      precision += resp[i] * u;
      tail += resp[i] * (std::log(u) - u + 1);
    }
    EXPECT_NEAR(sums.precision, static_cast<double>(precision),
                1e-14 * static_cast<double>(precision));
    EXPECT_NEAR(sums.tail, static_cast<double>(tail), -1e-14 * static_cast<double>(tail));
    TailLogDensities(squares.data(), kStride, nu, 3, -2.5);
    for (int i = 0; i < kStride; ++i) {
      const long double square = i == 0 ? 0 : std::pow(10.0, i - 8);
      const long double log = (nu + 3) / 2 * std::log1p(square / nu);
      EXPECT_NEAR(squares[i], static_cast<double>(-2.5L - log),
                  1e-14 * static_cast<double>(log) + 1e-15);
    }
  }
}

TEST_P(OnTarget, TailsOfNearlyNormalRowsLoseNoDigits) {
  Aligned squares(kRowPad), resp(kRowPad), weighted(kRowPad);
  for (int i = 0; i < kRowPad; ++i) {
    squares[i] = 2.0 + 0.5 * i;
    resp[i] = 1;
  }
  const double nu = 1e6;
  long double tail = 0;
  for (int i = 0; i < kRowPad; ++i) {
    const long double t = (3 - static_cast<long double>(squares[i])) / (nu + squares[i]);
    tail += std::log1p(t) - t;
  }
  const TailSums sums = WeighTails(squares.data(), resp.data(), kRowPad, nu, 3, weighted.data());
  EXPECT_NEAR(sums.tail / static_cast<double>(tail), 1, 1e-9);
}

TEST_P(OnTarget, ScaleRowsMultipliesEveryComponentByTheRowWeights) {
  Aligned resp(32), weights(16);
  for (size_t i = 0; i < 32; ++i) resp[i] = static_cast<double>(i);
  for (size_t i = 0; i < 16; ++i) weights[i] = i % 2 == 0 ? 3 : 0;
  ScaleRows(resp.data(), 2, 16, weights.data());
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(resp[i], i % 2 == 0 ? 3.0 * static_cast<double>(i) : 0);
}

template <typename T>
void ExpectTransposed(void (*transpose)(const std::byte*, int64_t, int, int, double*, int),
                      const std::vector<T>& specials) {
  for (const int columns : {1, 2, 3, 4, 5, 8, 11}) {
    for (const int rows : {1, 2, 3, 4, 7, 16, 17, 45}) {
      const int stride = PaddedRows(rows);
      const int64_t row_bytes = static_cast<int64_t>((columns + 2) * sizeof(T));
      // At an odd address, and not a byte longer than the last cell.
      std::vector<std::byte> bytes(static_cast<size_t>((rows - 1) * row_bytes) +
                                   columns * sizeof(T) + 1);
      Random random(1, static_cast<uint64_t>(rows));
      const auto cell = [&](int r, int c) {
        return bytes.data() + 1 + r * row_bytes + c * static_cast<int64_t>(sizeof(T));
      };
      for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < columns; ++c) {
          T value = static_cast<T>(1e6 * random.Normal());
          if (random.Below(4) == 0) value = specials[random.Below(specials.size())];
          std::memcpy(cell(r, c), &value, sizeof(T));
        }
      }
      std::vector<double> out(static_cast<size_t>(columns * stride), -7);
      transpose(bytes.data() + 1, row_bytes, rows, columns, out.data(), stride);
      for (int c = 0; c < columns; ++c) {
        for (int r = 0; r < stride; ++r) {
          double expected = -7;
          if (r < rows) {
            T value;
            std::memcpy(&value, cell(r, c), sizeof(T));
            expected = static_cast<double>(value);
          }
          const double actual = out[static_cast<size_t>(c * stride + r)];
          ASSERT_EQ(std::memcmp(&actual, &expected, sizeof(double)), 0)
              << actual << " is not " << expected << " at " << r << "," << c;
        }
      }
    }
  }
}

TEST_P(OnTarget, TransposesEveryTypeOfCellExactly) {
  using Float = std::numeric_limits<float>;
  using Integer = std::numeric_limits<int64_t>;
  ExpectTransposed<double>(TransposeFloat64, {-0.0, kInfinity, 5e-324, 1e308});
  ExpectTransposed<float>(TransposeFloat32,
                          {-0.0f, Float::infinity(), Float::denorm_min(), Float::max()});
  ExpectTransposed<int64_t>(TransposeInt64, {Integer::min(), Integer::max(), -1, 0,
                                             (int64_t{1} << 53) + 1, -(int64_t{1} << 62) - 257});
}

}  // namespace
}  // namespace emserve
