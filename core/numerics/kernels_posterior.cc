// Rows of posteriors: log-sum-exp over components, row weights and sums over rows.
//
// Compiled once per instruction set, so apart from everything that is not a kernel.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/numerics/kernels_posterior.cc"
#include "hwy/foreach_target.h"
// Highway requires the order above.
#include <cstddef>
#include <limits>

#include "core/numerics/kernels.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace emserve {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Strides are multiples of kRowPad, so whole vectors of at most that many lanes never straddle the
// end of a column.
using D = hn::CappedTag<double, kRowPad>;
using V = hn::Vec<D>;
constexpr D kTag;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(kTag));
constexpr int kPadVectors = kRowPad / kLanes;  // every stride is a multiple of this many vectors

HWY_INLINE ptrdiff_t At(int row, int stride) { return static_cast<ptrdiff_t>(row) * stride; }

// exp(z) for z <= 0, to about an ulp; 0 below -708, where normal numbers end. Twice as fast as
// Highway's, which serves all arguments. With n = round(z / ln 2) and r = z - n ln 2 it is
// 2^n times the Taylor series of exp(r) to r^13, whose remainder is below 4e-18 for
// |r| <= ln(2) / 2; summed by Estrin's scheme to keep the chain of multiply-adds short.
HWY_INLINE V ExpOfNegative(V z) {
  const V lowest = hn::Set(kTag, -708.0);
  const auto in_range = hn::Ge(z, lowest);
  z = hn::Max(z, lowest);
  // Adding 1.5 x 2^52 rounds to an integer and leaves it in the low bits of the significand.
  const V magic = hn::Set(kTag, 0x1.8p52);
  const V shifted = hn::MulAdd(z, hn::Set(kTag, 1.4426950408889634), magic);
  const V n = hn::Sub(shifted, magic);
  // ln 2 in two parts, the first short enough that n times it is exact without fused arithmetic.
  V r = hn::NegMulAdd(n, hn::Set(kTag, 0x1.62e42fee00000p-1), z);
  r = hn::NegMulAdd(n, hn::Set(kTag, 0x1.a39ef35793c76p-33), r);

  const auto pair = [&](double low, double high)
                        HWY_ATTR { return hn::MulAdd(hn::Set(kTag, high), r, hn::Set(kTag, low)); };
  const V r2 = hn::Mul(r, r);
  const V r4 = hn::Mul(r2, r2);
  const V r8 = hn::Mul(r4, r4);
  const V c0 = hn::MulAdd(pair(1.0 / 2, 1.0 / 6), r2, pair(1, 1));
  const V c4 = hn::MulAdd(pair(1.0 / 720, 1.0 / 5040), r2, pair(1.0 / 24, 1.0 / 120));
  const V c8 = hn::MulAdd(pair(1.0 / 3628800, 1.0 / 39916800), r2, pair(1.0 / 40320, 1.0 / 362880));
  const V c12 = pair(1.0 / 479001600, 1.0 / 6227020800);
  const V p = hn::MulAdd(hn::MulAdd(c12, r4, c8), r8, hn::MulAdd(c4, r4, c0));

  // p is in [2^-1/2, 2^1/2] and n >= -1021: adding n to its exponent gives a normal number.
  const hn::RebindToSigned<D> bits;
  const auto exponent = hn::ShiftLeft<52>(hn::BitCast(bits, shifted));
  const V scaled = hn::BitCast(kTag, hn::Add(hn::BitCast(bits, p), exponent));
  return hn::IfThenElseZero(in_range, scaled);
}

// kRowPad rows at a time: whole cache lines of every component, and enough independent work to hide
// latencies.
HWY_INLINE void NormalizePad(double* HWY_RESTRICT log_density, int components, int stride,
                             const double* HWY_RESTRICT log_weights,
                             double* HWY_RESTRICT row_log_density) {
  const V minus_infinity = hn::Set(kTag, -std::numeric_limits<double>::infinity());
  V top[kPadVectors], shift[kPadVectors], sum[kPadVectors];
  V poison[kPadVectors];  // 0, or NaN once a term of the row is NaN
  for (int w = 0; w < kPadVectors; ++w) {
    top[w] = minus_infinity;
    poison[w] = sum[w] = hn::Zero(kTag);
  }
  for (int k = 0; k < components; ++k) {
    double* HWY_RESTRICT column = log_density + At(k, stride);
    const V log_weight = hn::Set(kTag, log_weights[k]);
    for (int w = 0; w < kPadVectors; ++w) {
      const V term = hn::Add(hn::Load(kTag, column + w * kLanes), log_weight);
      poison[w] = hn::IfThenElse(hn::Eq(term, term), poison[w], term);
      top[w] = hn::IfThenElse(hn::Gt(term, top[w]), term, top[w]);
      hn::Store(term, kTag, column + w * kLanes);
    }
  }
  for (int w = 0; w < kPadVectors; ++w) {
    // A row without any mass: shifted by 0 every term stays -infinity and every exp is 0.
    shift[w] = hn::IfThenElse(hn::Eq(top[w], minus_infinity), hn::Zero(kTag), top[w]);
  }
  for (int k = 0; k < components; ++k) {
    double* HWY_RESTRICT column = log_density + At(k, stride);
    for (int w = 0; w < kPadVectors; ++w) {
      const V e = ExpOfNegative(hn::Sub(hn::Load(kTag, column + w * kLanes), shift[w]));
      sum[w] = hn::Add(sum[w], e);
      hn::Store(e, kTag, column + w * kLanes);
    }
  }
  const V one = hn::Set(kTag, 1.0);
  for (int w = 0; w < kPadVectors; ++w) {
    const auto empty = hn::Eq(top[w], minus_infinity);
    const V safe = hn::IfThenElse(empty, one, sum[w]);
    const V total = hn::Add(shift[w], hn::Log(kTag, safe));
    hn::Store(hn::Add(hn::IfThenElse(empty, minus_infinity, total), poison[w]), kTag,
              row_log_density + w * kLanes);
    sum[w] = hn::Div(one, safe);
  }
  for (int k = 0; k < components; ++k) {
    double* HWY_RESTRICT column = log_density + At(k, stride);
    for (int w = 0; w < kPadVectors; ++w) {
      hn::Store(hn::Mul(hn::Load(kTag, column + w * kLanes), sum[w]), kTag, column + w * kLanes);
    }
  }
}

void NormalizeLogDensitiesT(double* log_density, int components, int stride,
                            const double* log_weights, double* row_log_density) {
  for (int i = 0; i < stride; i += kRowPad) {
    NormalizePad(log_density + i, components, stride, log_weights, row_log_density + i);
  }
}

void ScaleRowsT(double* HWY_RESTRICT resp, int components, int stride,
                const double* HWY_RESTRICT weights) {
  for (int k = 0; k < components; ++k) {
    double* HWY_RESTRICT row = resp + At(k, stride);
    for (int i = 0; i < stride; i += kLanes) {
      hn::Store(hn::Mul(hn::Load(kTag, row + i), hn::Load(kTag, weights + i)), kTag, row + i);
    }
  }
}

double SumT(const double* HWY_RESTRICT a, int stride) {
  V sum = hn::Zero(kTag);
  for (int i = 0; i < stride; i += kLanes) sum = hn::Add(sum, hn::Load(kTag, a + i));
  return hn::GetLane(hn::SumOfLanes(kTag, sum));
}

double WeightedSumT(const double* HWY_RESTRICT a, const double* HWY_RESTRICT b, int stride) {
  V sum = hn::Zero(kTag);
  for (int i = 0; i < stride; i += kLanes) {
    const V w = hn::Load(kTag, b + i);
    const V product = hn::Mul(hn::Load(kTag, a + i), w);
    sum = hn::Add(sum, hn::IfThenElse(hn::Eq(w, hn::Zero(kTag)), hn::Zero(kTag), product));
  }
  return hn::GetLane(hn::SumOfLanes(kTag, sum));
}

const char* TargetNameT() { return hwy::TargetName(HWY_TARGET); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace emserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace emserve {

HWY_EXPORT(NormalizeLogDensitiesT);
HWY_EXPORT(ScaleRowsT);
HWY_EXPORT(SumT);
HWY_EXPORT(WeightedSumT);
HWY_EXPORT(TargetNameT);

void NormalizeLogDensities(double* log_density, int components, int stride,
                           const double* log_weights, double* row_log_density) {
  HWY_DYNAMIC_DISPATCH(NormalizeLogDensitiesT)
  (log_density, components, stride, log_weights, row_log_density);
}

void ScaleRows(double* resp, int components, int stride, const double* weights) {
  HWY_DYNAMIC_DISPATCH(ScaleRowsT)(resp, components, stride, weights);
}

double Sum(const double* a, int stride) { return HWY_DYNAMIC_DISPATCH(SumT)(a, stride); }

double WeightedSum(const double* a, const double* b, int stride) {
  return HWY_DYNAMIC_DISPATCH(WeightedSumT)(a, b, stride);
}

const char* KernelTarget() { return HWY_DYNAMIC_DISPATCH(TargetNameT)(); }

}  // namespace emserve
#endif  // HWY_ONCE
