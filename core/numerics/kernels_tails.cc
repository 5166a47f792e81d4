// Rows of Student's t: log densities and precision factors from squared distances.
//
// Compiled once per instruction set, so apart from everything that is not a kernel.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/numerics/kernels_tails.cc"
#include "hwy/foreach_target.h"
// Highway requires the order above.
#include "core/numerics/kernels.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace emserve {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<double, kRowPad>;
using V = hn::Vec<D>;
constexpr D kTag;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(kTag));

void TailLogDensitiesT(double* HWY_RESTRICT squares, int stride, double nu, double num_cells,
                       double log_norm) {
  const V scale = hn::Set(kTag, nu);
  const V exponent = hn::Set(kTag, 0.5 * (nu + num_cells));
  const V norm = hn::Set(kTag, log_norm);
  for (int i = 0; i < stride; i += kLanes) {
    const V log = hn::Log1p(kTag, hn::Div(hn::Load(kTag, squares + i), scale));
    hn::Store(hn::NegMulAdd(exponent, log, norm), kTag, squares + i);
  }
}

TailSums WeighTailsT(const double* HWY_RESTRICT squares, const double* HWY_RESTRICT resp,
                     int stride, double nu, double num_cells, double* HWY_RESTRICT weighted) {
  const V one = hn::Set(kTag, 1.0);
  const V scale = hn::Set(kTag, nu);
  const V numerator = hn::Set(kTag, nu + num_cells);
  V precision = hn::Zero(kTag);
  V tail = hn::Zero(kTag);
  for (int i = 0; i < stride; i += kLanes) {
    const V r = hn::Load(kTag, resp + i);
    const V u = hn::Div(numerator, hn::Add(scale, hn::Load(kTag, squares + i)));
    const V w = hn::Mul(r, u);
    hn::Store(w, kTag, weighted + i);
    precision = hn::Add(precision, w);
    // Flat at u = 1, so that the rounding of u does no harm there.
    tail = hn::MulAdd(r, hn::Sub(hn::Log(kTag, u), hn::Sub(u, one)), tail);
  }
  return {.precision = hn::GetLane(hn::SumOfLanes(kTag, precision)),
          .tail = hn::GetLane(hn::SumOfLanes(kTag, tail))};
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace emserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace emserve {

HWY_EXPORT(TailLogDensitiesT);
HWY_EXPORT(WeighTailsT);

void TailLogDensities(double* squares, int stride, double nu, double num_cells, double log_norm) {
  HWY_DYNAMIC_DISPATCH(TailLogDensitiesT)(squares, stride, nu, num_cells, log_norm);
}

TailSums WeighTails(const double* squares, const double* resp, int stride, double nu,
                    double num_cells, double* weighted) {
  return HWY_DYNAMIC_DISPATCH(WeighTailsT)(squares, resp, stride, nu, num_cells, weighted);
}

}  // namespace emserve
#endif  // HWY_ONCE
