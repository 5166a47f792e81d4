// Exact draws from distributions beyond the normal, by rejection.
//
// Our own for the same reason as Random's: those of the standard library differ between
// implementations, so the same seed would not give the same rows.
#ifndef EMSERVE_CORE_RUNTIME_DRAWS_H_
#define EMSERVE_CORE_RUNTIME_DRAWS_H_

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

}  // namespace emserve

#endif  // EMSERVE_CORE_RUNTIME_DRAWS_H_
