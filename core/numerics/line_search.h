// The maximum of a function of one variable.
#ifndef EMSERVE_CORE_NUMERICS_LINE_SEARCH_H_
#define EMSERVE_CORE_NUMERICS_LINE_SEARCH_H_

#include "absl/functional/function_ref.h"

namespace emserve {

// A local maximiser of `f` on [low, high] (either may be infinite), uphill from `start`, to about
// the square root of rounding, as values alone allow; f there is never below f(start). Steps away
// from `start` begin at 1/8 and double, so the variable should have a scale of about 1 (a
// logarithm). Where f is NaN it counts as -infinity. Golden section with parabolas, Brent (1973),
// "Algorithms for minimization without derivatives", chapter 5. About 20 calls of `f`.
double MaximizeOnLine(absl::FunctionRef<double(double)> f, double start, double low, double high);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_LINE_SEARCH_H_
