// Sums over rows that the compiler can make vectors of.
#ifndef EMSERVE_CORE_NUMERICS_SUMS_H_
#define EMSERVE_CORE_NUMERICS_SUMS_H_

#include "core/numerics/kernels.h"

namespace emserve {

// sum_i term(i) over rows [0, stride) in a fixed order. Partial sums of kSumLanes rows run side by
// side, as floating-point sums must not be reordered by the compiler. Precondition: stride is a
// multiple of kRowPad.
template <typename Term>
double SumOverRows(int stride, Term term) {
  constexpr int kSumLanes = 8;
  static_assert(kRowPad % kSumLanes == 0);
  double sums[kSumLanes] = {};
  for (int i = 0; i < stride; i += kSumLanes) {
    for (int j = 0; j < kSumLanes; ++j) sums[j] += term(i + j);
  }
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_SUMS_H_
