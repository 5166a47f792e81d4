// Exact draws from distributions beyond the normal.
//
// Our own for the same reason as Random's: those of the standard library differ between
// implementations, so the same seed would not give the same rows.
#ifndef EMSERVE_CORE_RUNTIME_DRAWS_H_
#define EMSERVE_CORE_RUNTIME_DRAWS_H_

#include <cstdint>

#include "core/runtime/random.h"

namespace emserve {

// Exponential with mean 1.
double DrawExponential(Random& random);

// Gamma with rate 1 and `shape` > 0. Marsaglia & Tsang (2000), "A simple method for generating
// gamma variables". May round to 0 where shape is far below 1.
double DrawGamma(double shape, Random& random);

// Poisson, a whole number; mean >= 0, at most 1e15. O(mean) below 10, else O(1): transformed
// rejection with squeeze, algorithm PTRS of Hörmann (1993), "The transformed rejection method for
// generating Poisson random variables".
double DrawPoisson(double mean, Random& random);

// Negative binomial with `mean` >= 0 and size `dispersion` > 0: a Poisson number whose mean is
// gamma distributed, so its variance is mean + mean^2 / dispersion.
double DrawNegativeBinomial(double mean, double dispersion, Random& random);

// Index below `count` with probability(index); those sum to 1 up to rounding, of which the last one
// with mass takes the rest. O(count).
template <typename Probability>
int64_t DrawIndex(int64_t count, Probability probability, Random& random) {
  double left = random.Uniform();
  int64_t drawn = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double p = probability(i);
    if (!(p > 0)) continue;
    drawn = i;
    left -= p;
    if (left < 0) break;
  }
  return drawn;
}

}  // namespace emserve

#endif  // EMSERVE_CORE_RUNTIME_DRAWS_H_
